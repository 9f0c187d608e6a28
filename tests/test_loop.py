"""The agent loop: rounds, ends, limits and what the model is told, with tools that need no container."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agentmem.agent.limits import Budget, Limits
from agentmem.agent.loop import Judgement, Loop, LoopState
from agentmem.agent.specs import ROLES
from agentmem.agent.tools import Toolbox
from agentmem.context.policy import Full
from agentmem.errors import LimitError, ProviderError
from agentmem.model.base import Lane, Message, Reply, ToolCall
from agentmem.sandbox.base import Completed
from tests.scripted import Line, Scripted

TASK: list[Message] = [{"role": "system", "content": "s"}, {"role": "user", "content": "t"}]
SUBMIT: Line = [("submit_patch", {"explanation": "done"})]


class Folder:
    """As much of a sandbox as these tests need: files in a folder; only `cat a` answers with one."""

    root = "/workspace"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[str] = []

    def run(self, command: str, timeout: float) -> Completed:
        self.commands.append(command)
        output = (self.folder / "a").read_text() if command == "cat a" else "same\n"
        return Completed(0, output, False, False, 0.0)

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        (self.folder / path).write_bytes(data)

    def fork(self) -> Folder:
        raise NotImplementedError

    def close(self) -> None:
        pass


class Shelf(dict[str, str]):
    def put(self, text: str) -> str:
        self["obs"] = text
        return "obs"


class Work:
    """A loop of role `patch` that a script drives; `verdicts` answer its submissions in turn."""

    def __init__(
        self,
        folder: Path,
        lines: list[Line],
        verdicts: list[bool] | None = None,
        *,
        turns: int = 50,
        window: int | None = None,
        max_steps: int = 50,
    ) -> None:
        self.model = Scripted({"patch": lines}, window=window)
        self.sandbox = Folder(folder)
        self.state = LoopState("patch")
        self.saved: list[tuple[int, int, int]] = []
        self.events: list[dict[str, Any]] = []
        self.submissions: list[Mapping[str, Any]] = []
        self._verdicts = list(verdicts or [])
        self.loop = Loop(
            model=self.model,
            policy=Full(),
            task=TASK,
            tools=Toolbox(
                self.sandbox, ROLES["patch"], lambda _q, _n: "", lambda _p: False, Shelf(), 1000, 5
            ),
            budget=Budget(Limits(max_steps, 1_000_000, 10.0, 60)),
            judge=self._judge,
            save=lambda s: self.saved.append((s.round, s.turn, len(s.steps))),
            emit=lambda kind, **data: self.events.append({"kind": kind, **data}),
            rounds=3,
            turns=turns,
            max_tokens=1000,
        )

    def _judge(self, submission: Mapping[str, Any]) -> Judgement:
        self.submissions.append(submission)
        accepted = self._verdicts.pop(0)
        return Judgement(accepted, "accepted" if accepted else "not yet")

    def run(self) -> str:
        return self.loop.run(self.state)

    def told(self, request: int) -> str:
        """What the model was told last before that request."""
        return str(self.model.requests[request][1][-1]["content"])

    def lanes(self) -> list[str]:
        return [str(lane) for lane, _ in self.model.requests]


def bash(command: str = "ls") -> Line:
    return [("bash", {"command": command})]


def test_an_accepted_submission_ends_it_and_every_step_is_saved(tmp_path: Path) -> None:
    work = Work(tmp_path, [bash(), SUBMIT], [True])
    assert work.run() == "accepted"
    assert work.submissions == [{"explanation": "done"}]
    assert work.saved == [(0, 1, 1), (0, 2, 2)]
    assert [event["kind"] for event in work.events] == ["step", "step"]
    assert work.events[1]["spent"]["steps"] == 2
    assert work.run() == "accepted", "an ended loop stays ended"
    assert len(work.model.requests) == 2


def test_a_refused_submission_begins_a_round_with_its_feedback(tmp_path: Path) -> None:
    work = Work(tmp_path, [SUBMIT, bash(), SUBMIT, SUBMIT, SUBMIT], [False, False, False])
    assert work.run() == "rounds"
    assert work.lanes() == ["patch-c0-r0-000", "patch-c0-r1-000", "patch-c0-r1-001", "patch-c0-r2-000"]
    assert work.told(1) == "not yet"


def test_a_later_round_is_warmer(tmp_path: Path) -> None:
    seen: list[float] = []
    work = Work(tmp_path, [SUBMIT, SUBMIT, SUBMIT], [False, False, False])
    complete = work.model.complete

    def spy(messages: Any, tools: Any, *, lane: Lane, temperature: float, max_tokens: int) -> Reply:
        seen.append(temperature)
        return complete(messages, tools, lane=lane, temperature=temperature, max_tokens=max_tokens)

    work.model.complete = spy  # type: ignore[method-assign]
    work.run()
    assert seen == [0.0, 0.4, 0.8]


def test_calls_run_in_order_up_to_the_first_submission(tmp_path: Path) -> None:
    line: Line = [
        ("edit", {"path": "a", "old": "", "new": "1"}),
        ("submit_patch", {"explanation": "done"}),
        ("bash", {"command": "never"}),
        ("submit_patch", {"explanation": "again"}),
    ]
    work = Work(tmp_path, [line], [True])
    assert work.run() == "accepted"
    assert (tmp_path / "a").read_text() == "1\n"
    assert len(work.submissions) == 1
    assert work.sandbox.commands == []
    results = [call["result"] for call in work.events[0]["tool_calls"]]
    assert results[1:] == ["accepted"] + ["not run: the submission came first"] * 2


def test_a_submission_without_its_arguments_is_not_judged(tmp_path: Path) -> None:
    work = Work(tmp_path, [[("submit_patch", {})], SUBMIT], [True])
    assert work.run() == "accepted"
    assert work.told(1) == "submit_patch needs explanation"
    assert len(work.submissions) == 1


def test_three_malformed_replies_in_a_row_end_it(tmp_path: Path) -> None:
    work = Work(tmp_path, ["a", "b", "c", SUBMIT], [True])
    assert work.run() == "malformed"
    assert work.told(1).startswith("Every reply must call a tool. Go on with one of: bash,")


def test_a_good_reply_between_forgives_malformed_ones(tmp_path: Path) -> None:
    work = Work(tmp_path, ["a", "b", bash(), "c", "d", SUBMIT], [True])
    assert work.run() == "accepted"


def test_calls_that_cannot_be_read_are_malformed_too(tmp_path: Path) -> None:
    work = Work(tmp_path, [bash()] * 3)
    complete = work.model.complete

    def broken(messages: Any, tools: Any, **given: Any) -> Reply:
        reply = complete(messages, tools, **given)
        call = ToolCall(reply.calls[0].id, "bash", {}, problem="not JSON")
        return Reply("", (call,), reply.usage, None, "stop", {"role": "assistant", "content": ""})

    work.model.complete = broken  # type: ignore[method-assign]
    assert work.run() == "malformed"
    assert work.told(1) == "not JSON"
    assert work.events[0]["tool_calls"][0]["problem"] == "not JSON"


def test_a_reply_cut_at_its_length_is_told_so(tmp_path: Path) -> None:
    work = Work(tmp_path, ["half a", SUBMIT], [True])
    complete = work.model.complete

    def cut(messages: Any, tools: Any, **given: Any) -> Reply:
        reply = complete(messages, tools, **given)
        return Reply(reply.text, reply.calls, reply.usage, None, "length", reply.message)

    work.model.complete = cut  # type: ignore[method-assign]
    work.run()
    assert work.told(1).startswith("Your reply was cut at its length limit before any tool call.")


def test_the_same_call_with_the_same_result_three_times_costs_a_round(tmp_path: Path) -> None:
    work = Work(tmp_path, [bash(), bash(), bash(), bash("pwd"), SUBMIT], [True])
    assert work.run() == "accepted"
    assert work.lanes()[3:] == ["patch-c0-r1-000", "patch-c0-r1-001"]
    assert "gave the same result 3 times" in work.told(3)
    shown = [message for message in work.model.requests[3][1] if message["role"] == "assistant"]
    assert len(shown) == 1, "only the last of them is shown again"


def test_the_repeated_tool_is_not_offered_in_the_next_turn(tmp_path: Path) -> None:
    offered: list[bool] = []
    work = Work(tmp_path, [bash(), bash(), bash(), bash("pwd"), SUBMIT], [True])
    complete = work.model.complete

    def spy(messages: Any, tools: Any, **given: Any) -> Reply:
        offered.append("bash" in [tool.name for tool in tools])
        return complete(messages, tools, **given)

    work.model.complete = spy  # type: ignore[method-assign]
    work.run()
    assert offered == [True, True, True, False, True]


@pytest.mark.parametrize(("command", "rounds"), [("cat a", {"r0"}), ("pytest", {"r0", "r1"})])
def test_edits_between_count_only_when_they_change_the_result(
    tmp_path: Path, command: str, rounds: set[str]
) -> None:
    edits: list[Line] = [[("edit", {"path": "a", "old": "", "new": str(n)})] for n in range(3)]
    lines = [line for edit in edits for line in (edit, bash(command))]
    work = Work(tmp_path, [*lines, SUBMIT], [True])
    assert work.run() == "accepted"
    assert {lane.split("-")[2] for lane in work.lanes()} == rounds


def test_the_count_of_the_last_call_corrects_the_estimate_of_the_next(tmp_path: Path) -> None:
    work = Work(tmp_path, [bash(), SUBMIT], [True], window=5_000)
    work.state.ratio = 100.0  # as a resumed run has it: by this a prompt would never fit
    assert work.run() == "window"
    work.state.end, work.state.ratio = "", 1.0
    assert work.run() == "accepted"
    assert 0 < work.state.ratio < 1, "the script counts 100 tokens for any prompt"


def test_it_has_only_so_many_turns(tmp_path: Path) -> None:
    work = Work(tmp_path, [bash("1"), bash("2"), bash("3")], turns=2)
    assert work.run() == "turns"
    assert len(work.model.requests) == 2


def test_a_prompt_that_does_not_fit_the_window_ends_it_without_a_call(tmp_path: Path) -> None:
    work = Work(tmp_path, [bash()], window=300)  # the tools alone need more
    assert work.run() == "window"
    assert work.model.requests == []
    assert "window" in work.events[0]["text"]
    assert work.saved == [(0, 0, 0)]


def test_a_limit_leaves_the_state_of_the_last_step(tmp_path: Path) -> None:
    work = Work(tmp_path, [bash("1"), bash("2")], max_steps=1)
    with pytest.raises(LimitError, match="1 steps"):
        work.run()
    assert (work.state.turn, len(work.state.steps), work.state.end) == (1, 1, "")
    assert work.saved == [(0, 1, 1)]


def test_a_provider_that_fails_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    work = Work(tmp_path, [bash("1"), ProviderError("down"), SUBMIT], [True])
    with pytest.raises(ProviderError):
        work.run()
    assert len(work.state.steps) == 1
    assert work.run() == "accepted", "it goes on where it was"
    assert work.lanes()[1:] == ["patch-c0-r0-001", "patch-c0-r0-001"]
