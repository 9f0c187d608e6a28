"""One agent at work: a loop in a sandbox of its own, checkpointed after every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentmem.agent.loop import Judgement, Loop, LoopState
from agentmem.agent.specs import READ_ONLY
from agentmem.changes import Changes, FileState
from agentmem.context.compose import Prompt
from agentmem.context.policy import open_policy
from agentmem.errors import LimitError
from agentmem.repair.bench import Bench
from agentmem.repair.outcome import Reproducer
from agentmem.repair.state import State, load_workspace, save_state
from agentmem.sandbox.base import HarnessSandbox

Judge = Callable[[HarnessSandbox, Mapping[str, Any]], Judgement]
Hint = Callable[[str, int], str]
Leave = Callable[[HarnessSandbox, LoopState], None]


def run_agent(
    bench: Bench,
    state: State,
    role: str,
    prompt: Prompt,
    judge: Judge,
    hint: Hint,
    *,
    rounds: int,
    turns: int,
    candidate: int = 0,
    leave: Leave | None = None,
) -> None:
    """Run the loop of `role`, or go on with the one in `state`.

    `judge` tries what is handed in; `hint` says what a command's exit code means for the role; `leave` sees
    the sandbox at the end of the work, also when a limit ended it. Raises LimitError, ProviderError or
    SandboxError.
    """
    loop = state.loop
    resumed = loop is not None and (loop.role, loop.candidate) == (role, candidate)
    start = load_workspace(bench.run, state) if resumed else _with_reproducer(state.reproducer)
    if loop is None or not resumed:
        loop = state.loop = LoopState(role, candidate)
    sandbox = bench.start(start)
    try:
        bench.run.emit(
            "attempt",
            role=role,
            candidate=candidate,
            round=loop.round,
            resumed=resumed,
            prompt=list(prompt.messages),
            manifest=dict(prompt.manifest),
        )
        work = Loop(
            model=bench.model,
            policy=open_policy(bench.settings.context),
            task=prompt.messages,
            tools=bench.toolbox(role, sandbox, hint),
            budget=bench.budget,
            judge=lambda submission: judge(sandbox, submission),
            save=lambda current: _save(bench, state, current, sandbox),
            emit=bench.run.emit,
            rounds=rounds,
            turns=turns,
            max_tokens=bench.reply_tokens,
        )
        try:
            work.run(loop)
        except LimitError:
            if leave:
                leave(sandbox, loop)
            raise
        if leave:
            leave(sandbox, loop)
    finally:
        sandbox.close()


def _save(bench: Bench, state: State, loop: LoopState, sandbox: HarnessSandbox) -> None:
    state.loop, state.spent = loop, bench.budget.spent
    last = loop.steps[-1].calls if loop.steps else ()
    save_state(bench.run, state, sandbox, unchanged=all(call.name in READ_ONLY for call in last))


def _with_reproducer(reproducer: Reproducer | None) -> Changes | None:
    """The accepted reproducer lies in the workspace of later roles; it never enters their patch."""
    if reproducer is None:
        return None
    return Changes({reproducer.path: FileState(reproducer.content.encode())})
