"""What a sandbox is to the rest of the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agentmem.changes import Changes


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished command. `output` is standard output and error together, in the order they came.

    `exit_code` is 124 after a time-out. `truncated` is True when the middle of the output was left out.
    """

    exit_code: int
    output: str
    truncated: bool
    timed_out: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Check:
    """One line of doctor: what was looked at, whether it is well, what was found, and the mend if not."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


class Sandbox(Protocol):
    """A disposable copy of the prepared environment in which untrusted code runs.

    `root` is the workspace's absolute path inside the sandbox; relative paths are relative to it.
    """

    root: str

    def run(self, command: str, timeout: float) -> Completed:
        """Run a shell command in `root` as the unprivileged user; a time-out (seconds) kills all it started.

        Raises SandboxError when the sandbox itself is gone.
        """

    def read(self, path: str) -> bytes:
        """A regular file. Raises FileNotFoundError, IsADirectoryError or ValueError (too large)."""

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file of the unprivileged user, with its folders; keeps an existing mode."""

    def fork(self) -> Sandbox:
        """A new sandbox from the prepared environment plus the changes here, without processes and /tmp."""

    def close(self) -> None:
        """Destroy the sandbox. Safe to call twice."""


class Workspace(Protocol):
    """The harness's own side of a sandbox: every `Sandbox` here is one too. Agents never see it."""

    def changes(self) -> Changes:
        """What differs from the prepared workspace (links as links; other special files left out)."""

    def restore(self, changes: Changes) -> None:
        """Bring a fresh sandbox to the given state."""


class HarnessSandbox(Sandbox, Workspace, Protocol):
    """Both sides together, as the pipeline holds them."""


class Prepared(Protocol):
    """A project installed at one commit, ready to start sandboxes from."""

    def start(self) -> HarnessSandbox:
        """A fresh sandbox: tracked files exactly as in the base commit. Raises SandboxError."""

    def describe(self) -> Mapping[str, str]:
        """What the run prints: kind, image, the limits in force and those the engine could not enforce."""
