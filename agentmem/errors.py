"""What can go wrong, said once: every error a user can meet carries its mend and its exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit-code contract of every command (docs/exit-codes.md)."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    CONFIG = 3
    PROVIDER = 4
    NO_PATCH = 5
    LIMIT = 6
    SANDBOX = 7
    INTERRUPTED = 130
    TERMINATED = 143


class AgentmemError(Exception):
    """An error shown to the user as `what` and `mend`, never as a traceback.

    `what` says what went wrong; `mend` says what to do next.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


class UsageError(AgentmemError):
    """The command line, the repository or the issue cannot be used as given."""

    exit_code = ExitCode.USAGE


class ConfigError(AgentmemError):
    """A setting is missing or wrong."""

    exit_code = ExitCode.CONFIG


class ProviderError(AgentmemError):
    """The model provider refused, failed for good, or answered what cannot be used."""

    exit_code = ExitCode.PROVIDER


class NoPatchError(AgentmemError):
    """The run ended without a patch, or without evidence for it."""

    exit_code = ExitCode.NO_PATCH


class LimitError(AgentmemError):
    """A limit of the run was reached: steps, tokens, money or time."""

    exit_code = ExitCode.LIMIT


class SandboxError(AgentmemError):
    """No sandbox could be had, or it was lost."""

    exit_code = ExitCode.SANDBOX


class PatchRefused(AgentmemError):
    """A diff breaks a rule of `agentmem.diff`; `what` names the rule and the path."""

    exit_code = ExitCode.NO_PATCH


class Terminated(BaseException):
    """SIGTERM arrived; a BaseException so that nothing between here and `main` swallows it."""
