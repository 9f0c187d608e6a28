"""The one agent loop: model and tools in turns, until a submission is accepted or something ends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from agentmem.agent.limits import Budget
from agentmem.agent.specs import SUBMITS
from agentmem.agent.tools import Toolbox
from agentmem.context.policy import ContextPolicy
from agentmem.context.steps import Step, ToolResult
from agentmem.model.base import Lane, Message, Model, Reply, ToolCall
from agentmem.model.canonical import normalise
from agentmem.text import clip, estimate_tokens, well_formed

End = Literal["accepted", "rounds", "turns", "malformed", "window"]
MALFORMED_IN_A_ROW = 3
SAME_RESULT_LIMIT = 3
SAME_RESULT_WINDOW = 6


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the harness found when it tried a submission; `feedback` goes back to the model."""

    accepted: bool
    feedback: str


Judge = Callable[[Mapping[str, Any]], Judgement]


@dataclass
class LoopState:
    """Where one loop stands: everything but the sandbox that is needed to go on after a crash."""

    role: str
    candidate: int = 0
    round: int = 0
    turn: int = 0
    malformed: int = 0
    shown: int = 0  # the first step that prompts still carry
    withheld: str = ""  # the tool that is not offered in the next turn
    ratio: float = 1.0  # of counted to estimated tokens in the last call
    steps: list[Step] = field(default_factory=list)
    end: str = ""


@dataclass
class Loop:
    """An agent of one role at work in one sandbox.

    `task` is the start of every prompt. `judge` tries a submission. `save` is called after every step, when
    state and sandbox agree. `restart` gives the tools for the round after being stuck, or None when what lies
    in the sandbox proves itself. `rounds` bounds the submissions, `turns` the steps of this loop.
    """

    model: Model
    policy: ContextPolicy
    task: Sequence[Message]
    tools: Toolbox
    budget: Budget
    judge: Judge
    save: Callable[[LoopState], None]
    emit: Callable[..., object]
    rounds: int
    turns: int
    max_tokens: int
    restart: Callable[[LoopState], Toolbox | None] | None = None
    temperatures: Sequence[float] = (0.0, 0.4, 0.8)  # by round: a failed one is not repeated

    def run(self, state: LoopState) -> End:
        """Go on from `state` until an end. Raises LimitError, ProviderError or SandboxError."""
        while True:
            if state.end:
                return state.end  # type: ignore[return-value]  # only this method sets it
            if state.round >= self.rounds:
                state.end = "rounds"
            elif len(state.steps) >= self.turns:
                state.end = "turns"
            else:
                self._step(state)
            self.save(state)

    def _step(self, state: LoopState) -> None:
        messages: list[Message] = well_formed(self.policy.render(self.task, state.steps[state.shown :]))
        estimate = self._estimate(messages)
        size = int(estimate * state.ratio)
        if self.model.window is not None and size + min(self.max_tokens, 256) > self.model.window:
            state.end = "window"
            self.emit("notice", text=f"the model's window of {self.model.window:,} tokens is full")
            return
        reply = self._ask(state, messages, size)
        if reply.usage.exact and reply.usage.prompt:
            state.ratio = reply.usage.prompt / estimate
        step, judgement = self._act(state, reply)
        state.steps.append(step)
        self.policy.after(step)
        self._report(state, step, reply)
        bad = not step.calls or any(not result.ok and _unreadable(result, step) for result in step.results)
        state.malformed = state.malformed + 1 if bad else 0
        state.turn += 1
        if judgement is not None and judgement.accepted:
            state.end = "accepted"
        elif state.malformed >= MALFORMED_IN_A_ROW:
            state.end = "malformed"
        elif judgement is not None:
            state.round, state.turn = state.round + 1, 0
        elif _stuck(state.steps):
            # What it has said three times makes it say it again: only the last time is kept, and the tool is
            # not offered in the next turn.
            state.round, state.turn, state.shown = state.round + 1, 0, len(state.steps) - 1
            state.withheld = step.calls[-1].name
            if self.restart is not None:
                fresh = self.restart(state)
                if fresh is None:
                    state.end = "accepted"
                else:
                    self.tools = fresh

    def _ask(self, state: LoopState, messages: list[Message], size: int) -> Reply:
        reply = self.model.complete(
            messages,
            [spec for spec in self.tools.specs if spec.name != state.withheld],
            lane=Lane(state.role, state.candidate, state.round, state.turn),
            temperature=self.temperatures[min(state.round, len(self.temperatures) - 1)],
            max_tokens=self.budget.before_call(size, self.max_tokens),
        )
        state.withheld = ""
        self.budget.after_call(reply)
        return _well_formed(reply)

    def _estimate(self, messages: Sequence[Message]) -> int:
        return max(1, estimate_tokens(json.dumps([messages, [asdict(spec) for spec in self.tools.specs]])))

    def _act(self, state: LoopState, reply: Reply) -> tuple[Step, Judgement | None]:
        """Run the calls in order up to the first submission, which is judged."""
        results: list[ToolResult] = []
        judgement: Judgement | None = None
        for call in reply.calls:
            if judgement is not None:
                results.append(ToolResult(call.id, call.name, "not run: the submission came first", ok=False))
            elif call.name in SUBMITS and not self.tools.check_submission(call):
                judgement = self.judge(call.arguments)
                results.append(ToolResult(call.id, call.name, judgement.feedback, judgement.accepted))
            else:
                results.append(self.tools.run(call))
        step = Step(state.round, state.turn, reply.message, reply.calls, tuple(results))
        feedback = ""
        if not reply.calls:
            feedback = _no_call(reply, [spec.name for spec in self.tools.specs])
        elif judgement is None and _stuck([*state.steps, step]):
            feedback = (
                f"The same call gave the same result {SAME_RESULT_LIMIT} times. It will not change: "
                "try something different."
            )
        if feedback:
            step = Step(step.round, step.turn, step.message, step.calls, step.results, feedback)
        return step, judgement

    def _report(self, state: LoopState, step: Step, reply: Reply) -> None:
        self.emit(
            "step",
            role=state.role,
            candidate=state.candidate,
            round=step.round,
            turn=step.turn,
            text=clip(reply.text, 4_000),
            tool_calls=[
                {
                    "name": call.name,
                    "summary": _summary(call),
                    "ok": result.ok,
                    "problem": call.problem,
                    "arguments": dict(call.arguments),
                    "result": result.text,
                }
                for call, result in zip(step.calls, step.results, strict=True)
            ],
            feedback=step.feedback,
            usage=asdict(reply.usage),
            cost=reply.cost,
            replayed=reply.replayed,
            stop=reply.stop,
            seconds=round(reply.seconds, 3),
            spent=self.budget.spent.to_json(),
        )


def _well_formed(reply: Reply) -> Reply:
    calls = tuple(replace(call, arguments=well_formed(call.arguments)) for call in reply.calls)
    return replace(reply, text=well_formed(reply.text), calls=calls, message=well_formed(reply.message))


def _stuck(steps: Sequence[Step]) -> bool:
    """True when the last call was made three times of late with one result: edits in between did not help."""
    recent = [
        (call.name, json.dumps(dict(call.arguments), sort_keys=True), normalise(result.text))
        for step in steps[-SAME_RESULT_WINDOW:]
        for call, result in zip(step.calls, step.results, strict=True)
        if not (call.name == "edit" and result.ok)
    ]
    return bool(recent) and recent.count(recent[-1]) >= SAME_RESULT_LIMIT and not _noted(steps)


def _noted(steps: Sequence[Step]) -> bool:
    """True when the model was told so within the window, so that one loop costs one round, not every turn."""
    return any("gave the same result" in step.feedback for step in steps[-SAME_RESULT_LIMIT:-1])


def _unreadable(result: ToolResult, step: Step) -> bool:
    return any(call.id == result.call_id and call.problem for call in step.calls)


def _no_call(reply: Reply, names: Sequence[str]) -> str:
    cut = "Your reply was cut at its length limit before any tool call. " if reply.stop == "length" else ""
    return f"{cut}Every reply must call a tool. Go on with one of: {', '.join(names)}."


def _summary(call: ToolCall) -> str:
    """A call in a few words, for a line of progress."""
    for name in ("command", "path", "query", "explanation"):
        if isinstance(call.arguments.get(name), str):
            return " ".join(call.arguments[name].split())[:100]
    return ""
