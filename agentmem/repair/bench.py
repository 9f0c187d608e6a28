"""The workbench of one run: everything the stages share, put together once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agentmem.agent.limits import Budget
from agentmem.agent.specs import ROLES
from agentmem.agent.tools import Toolbox
from agentmem.changes import Changes
from agentmem.context.compose import Caps
from agentmem.context.places import describe, excerpt
from agentmem.issue import Issue
from agentmem.model.base import Model
from agentmem.repair.outcome import Reproducer
from agentmem.runs import Run
from agentmem.sandbox.base import HarnessSandbox, Prepared, Sandbox

if TYPE_CHECKING:
    from agentmem.checkout import Checkout
    from agentmem.code.index import CodeIndex
    from agentmem.code.locate import Hit
    from agentmem.settings import Settings


class RunArchive:
    """Whole outputs, kept in the run's directory for the `recall` tool."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def put(self, text: str) -> str:
        name = f"obs-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        self._run.save_blob(f"{name}.txt", text.encode())
        return name

    def get(self, name: str) -> str | None:
        try:
            return self._run.load_blob(f"{name}.txt").decode()
        except (FileNotFoundError, ValueError):
            return None


@dataclass(frozen=True)
class Bench:
    """One issue, one commit, one environment, one model, one budget."""

    run: Run
    settings: Settings
    issue: Issue
    checkout: Checkout
    index: CodeIndex
    hits: tuple[Hit, ...]
    prepared: Prepared
    test_command: str
    model: Model
    budget: Budget

    @property
    def caps(self) -> Caps:
        return Caps.for_window(self.model.window)

    @property
    def reply_tokens(self) -> int:
        """The longest reply asked for: at most a quarter of a small window."""
        window = self.model.window
        return 8192 if window is None else min(8192, window // 4)

    def tracked(self, path: str) -> bool:
        return path in self._paths

    def toolbox(
        self, role: str, sandbox: Sandbox, hint: Callable[[str, int], str], reproducer: Reproducer | None
    ) -> Toolbox:
        """The tools of a role; an accepted `reproducer` stays as it is."""
        from agentmem.code.locate import search

        return Toolbox(
            sandbox=sandbox,
            specs=ROLES[role],
            find=lambda query, limit: describe(search(self.index, query, limit=limit)),
            tracked=self.tracked,
            archive=RunArchive(self.run),
            cap=self.caps.observation,
            timeout=self.settings.command_timeout,
            hint=hint,
            clean=self.run.redactor.known,
            protected={reproducer.path: self._protected(reproducer)} if reproducer else {},
        )

    @cached_property
    def source_hits(self) -> tuple[Hit, ...]:
        """The ranked places that lie in source files: not in tests, prose or data."""
        return tuple(hit for hit in self.hits if self.index.files[hit.path].kind == "source")

    @property
    def likely(self) -> str:
        """The best-ranked source file; empty where no source file was ranked."""
        return self.source_hits[0].path if self.source_hits else ""

    def _protected(self, reproducer: Reproducer) -> str:
        example = f", for example {self.likely}" if self.likely else ""
        return f"{reproducer.path} is the reproducer and stays as it is: change the source{example}"

    def start(self, changes: Changes | None = None) -> HarnessSandbox:
        """A fresh sandbox, brought to `changes`."""
        sandbox = self.prepared.start()
        if changes is not None:
            try:
                sandbox.restore(changes)
            except BaseException:
                sandbox.close()
                raise
        return sandbox

    def test_seconds(self) -> float:
        """How long one test run may take now: the setting, but not beyond the run's own time."""
        return max(1.0, min(self.settings.test_timeout, self.budget.seconds_left()))

    @cached_property
    def _paths(self) -> frozenset[str]:
        return frozenset(self.checkout.paths())


def prompt_parts(bench: Bench) -> Mapping[str, Any]:
    """What the prompts of every role say about the repository."""
    return {
        "map": describe(bench.hits),
        "code": excerpt(bench.checkout.read, bench.source_hits, bench.caps.code),
        "test_command": bench.test_command,
    }
