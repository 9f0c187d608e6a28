"""One agent at work: a loop in a sandbox of its own, checkpointed after every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentmem.agent.loop import Judgement, Loop, LoopState
from agentmem.agent.specs import READ_ONLY
from agentmem.agent.tools import Toolbox
from agentmem.changes import Changes, FileState
from agentmem.context.compose import Prompt
from agentmem.context.policy import open_policy
from agentmem.errors import LimitError
from agentmem.repair.bench import Bench
from agentmem.repair.state import State, load_workspace, save_state
from agentmem.sandbox.base import HarnessSandbox

Judge = Callable[[HarnessSandbox, Mapping[str, Any]], Judgement]
Hint = Callable[[str, int], str]
Leave = Callable[[HarnessSandbox, LoopState], bool]


@dataclass
class AgentStage:
    """The agent of one role at its desk: a loop, and the sandbox it works in.

    `judge` tries what is handed in; `hint` says what a command's exit code means for the role; `leave` sees
    the sandbox at the end of the work, also when a limit ended it, and says whether what lies there proves
    itself. With `clean_when_stuck` the round after being stuck begins in a clean sandbox.
    """

    bench: Bench
    state: State
    role: str
    prompt: Prompt
    judge: Judge
    hint: Hint
    rounds: int
    turns: int
    candidate: int = 0
    leave: Leave | None = None
    clean_when_stuck: bool = False

    def run(self) -> None:
        """Run the loop, or go on with that of `state`. Raises LimitError, ProviderError or SandboxError."""
        loop = self.state.loop
        resumed = loop is not None and (loop.role, loop.candidate) == (self.role, self.candidate)
        start = load_workspace(self.bench.run, self.state) if resumed else self._beginning()
        if loop is None or not resumed:
            loop = self.state.loop = LoopState(self.role, self.candidate)
        self._sandbox = self.bench.start(start)
        try:
            self.bench.run.emit(
                "attempt",
                role=self.role,
                candidate=self.candidate,
                round=loop.round,
                resumed=resumed,
                prompt=list(self.prompt.messages),
                manifest=dict(self.prompt.manifest),
            )
            try:
                self._loop().run(loop)
            except LimitError:
                if self.leave:
                    self.leave(self._sandbox, loop)
                raise
            if self.leave:
                self.leave(self._sandbox, loop)
        finally:
            self._sandbox.close()

    def _loop(self) -> Loop:
        bench = self.bench
        return Loop(
            model=bench.model,
            policy=open_policy(bench.settings.context),
            task=self.prompt.messages,
            tools=bench.toolbox(self.role, self._sandbox, self.hint, self.state.reproducer),
            budget=bench.budget,
            judge=lambda submission: self.judge(self._sandbox, submission),
            save=self._save,
            emit=bench.run.emit,
            rounds=self.rounds,
            turns=self.turns,
            max_tokens=bench.reply_tokens,
            restart=self._restart if self.clean_when_stuck else None,
        )

    def _restart(self, loop: LoopState) -> Toolbox | None:
        """Tools in a clean sandbox, once what lies in this one was judged and has not proven itself."""
        if self.leave and self.leave(self._sandbox, loop):
            return None
        self._sandbox.close()
        self._sandbox = self.bench.start(self._beginning())
        self.state.workspace = ""  # what the last checkpoint kept is gone
        return self.bench.toolbox(self.role, self._sandbox, self.hint, self.state.reproducer)

    def _save(self, loop: LoopState) -> None:
        self.state.loop, self.state.spent = loop, self.bench.budget.spent
        last = loop.steps[-1].calls if loop.steps else ()
        unchanged = all(call.name in READ_ONLY for call in last)
        save_state(self.bench.run, self.state, self._sandbox, unchanged=unchanged)

    def _beginning(self) -> Changes | None:
        """The accepted reproducer lies in the workspace of later roles; it never enters their patch."""
        reproducer = self.state.reproducer
        if reproducer is None:
            return None
        return Changes({reproducer.path: FileState(reproducer.content.encode())})
