"""What every model may be told, apart from its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


def _quiet(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """`cache_dir` keeps what was learnt about providers (None: nothing is kept).

    `request_timeout` is for one request to a provider, `file_timeout` for one reply of a file model, both in
    seconds. `retries` counts the tries after the first. `on_notice` gets one line for the user at a time.
    `protocol` forces native tool calls or the text form. `local_context` is the context of a local model in
    tokens, `local_threads` its threads (None: all cores but one), `seed` fixes what it samples.
    """

    cache_dir: Path | None = None
    request_timeout: float = 600.0
    retries: int = 5
    retry_wait: float = 1.0
    file_timeout: float = 3600.0
    on_notice: Callable[[str], None] = _quiet
    protocol: Literal["auto", "native", "text"] = "auto"
    local_context: int = 8192
    local_threads: int | None = None
    seed: int = 7
