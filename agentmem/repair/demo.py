"""`agentmem demo`: the whole of `fix` on a small bundled repository whose bug is a real one."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agentmem.errors import AgentmemError, SandboxError
from agentmem.issue import Issue, make_issue
from agentmem.repair.request import Request, new_request

if TYPE_CHECKING:
    from agentmem.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "demo"
RECORDING = FOLDER / "recording.jsonl"


@dataclass(frozen=True, slots=True)
class DemoModel:
    """The model of the demo, and the sentence that says which it is."""

    name: str
    kind: Literal["configured", "local", "recorded"]
    sentence: str


def choose_model(settings: Settings, home: Path) -> DemoModel:
    """The configured model, else a GGUF file below `home/models`, else the bundled recording."""
    if settings.model is not None:
        return DemoModel(settings.model, "configured", f"Model: {settings.model}, as configured.")
    files = sorted((home / "models").glob("*.gguf"))
    if files and _has_llama():
        return DemoModel(f"local:{files[0]}", "local", f"Model: {files[0].name}, on this machine.")
    return DemoModel(
        f"replay:{RECORDING}?drift=report",
        "recorded",
        "No model is configured, so this replays the recorded replies of a real model. "
        "Sandbox, tests and evidence are live.",
    )


def choose_sandbox(settings: Settings) -> tuple[Literal["docker", "local"], str]:
    """Docker where an engine answers, else the local sandbox with the reason."""
    if settings.sandbox == "local":
        return "local", ""
    from agentmem.sandbox.engine import connect

    try:
        connect().close()
    except SandboxError as error:
        return "local", f"Docker cannot be used ({error.what}), so the demo runs in the local sandbox."
    return "docker", ""


def demo_issue() -> Issue:
    return make_issue((FOLDER / "issue.md").read_text(encoding="utf-8"), source="bundled")


def unpack_repository(folder: Path) -> Path:
    """The bundled repository, cloned into `folder`. Raises AgentmemError."""
    repo = folder / "boltons"
    command = ["git", "clone", "-q", str(FOLDER / "repo.bundle"), str(repo)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        raise AgentmemError(
            f"the demo repository cannot be unpacked: {why.strip()}", "Install git and see that disk is free."
        ) from None
    return repo


def demo_request(repo: Path, settings: Settings, changes: Mapping[str, object]) -> Request:
    """`settings` with `changes`, asked to repair the bundled bug in `repo`."""
    return new_request(repo, "HEAD", demo_issue(), settings.model_copy(update=dict(changes)), None)


def _has_llama() -> bool:
    from importlib.util import find_spec

    return find_spec("xllamacpp") is not None
