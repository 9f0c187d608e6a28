"""One process at a time makes an image; the others wait and find it made."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

import platformdirs


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds the user's lock of that name."""
    folder = platformdirs.user_cache_path("agentmem", appauthor=False) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # ends with the file
        yield
