"""Recordings: what was recorded is served by lane, and what differs is said."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from agentmem.errors import ConfigError, ProviderError
from agentmem.model import Lane, Message, ModelOptions, Reply, ToolCall, ToolSpec, Usage, open_model
from agentmem.model.canonical import normalise
from agentmem.model.replay import Recorder, ReplayModel

BASH = ToolSpec("bash", "Run.", {"type": "object", "properties": {"command": {"type": "string"}}})


class Scripted:
    """Answers with the number of the call."""

    name = "scripted"
    window: int | None = 1000
    calls = 0

    def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        lane: Lane,
        temperature: float,
        max_tokens: int,
    ) -> Reply:
        self.calls += 1
        call = ToolCall(f"id-{self.calls}", "bash", {"command": "ls ü"}, "" if self.calls % 2 else "wrong")
        message: Message = {
            "role": "assistant",
            "content": "hm",
            "thinking_blocks": [{"signature": "s" * 20, "thinking": "..."}],
        }
        return Reply(f"reply {self.calls}", (call,), Usage(9, 4, 2), 0.25, "tool_calls", message, 1.5)

    def close(self) -> None:
        pass


def history(*texts: str) -> list[Message]:
    return [{"role": "user", "content": text} for text in texts]


def ask(model: Recorder | ReplayModel, lane: Lane, *texts: str, tools: Sequence[ToolSpec] = (BASH,)) -> Reply:
    return model.complete(history(*texts), tools, lane=lane, temperature=0.0, max_tokens=10)


def record(path: Path) -> list[Reply]:
    recorder = Recorder(Scripted(), path, {"prompts": "abc", "policy": "full", "memory": "off"})
    return [ask(recorder, Lane("patch", turn=turn), "Fix it.", f"turn {turn}") for turn in range(3)]


def opened(target: str, notices: list[str] | None = None) -> ReplayModel:
    options = ModelOptions(on_notice=(notices if notices is not None else []).append)
    model = open_model(f"replay:{target}", options=options)
    assert isinstance(model, ReplayModel)
    return model


def test_replies_come_back_by_lane_in_any_order(tmp_path: Path) -> None:
    told = record(tmp_path / "a.jsonl")
    model = opened(str(tmp_path / "a.jsonl"))
    assert (model.recorded["prompts"], model.recorded["model"], model.window) == ("abc", "scripted", 1000)
    for turn in (2, 0, 1):
        reply = ask(model, Lane("patch", turn=turn), "Fix it.", f"turn {turn}")
        assert reply.replayed
        assert (reply.text, reply.calls, reply.usage) == (told[turn].text, told[turn].calls, told[turn].usage)
        assert (reply.cost, reply.seconds, reply.message) == (0.25, 1.5, told[turn].message)
    assert model.drifted == []


def test_a_changed_request_is_an_error_that_shows_the_change(tmp_path: Path) -> None:
    record(tmp_path / "a.jsonl")
    model = opened(str(tmp_path / "a.jsonl"))
    with pytest.raises(ProviderError) as caught:
        ask(model, Lane("patch", turn=1), "Fix it.", "turn one")
    assert "patch-c0-r0-001" in caught.value.what
    assert "message 2 of 2" in caught.value.what
    assert "-turn 1\n+turn one" in caught.value.what
    assert "drift=report" in caught.value.mend
    with pytest.raises(ProviderError, match=r"message 1 of 2.*The last message is the same"):
        ask(model, Lane("patch", turn=1), "Fix that.", "turn 1")
    with pytest.raises(ProviderError, match="the tools changed"):
        ask(model, Lane("patch", turn=1), "Fix it.", "turn 1", tools=[])
    with pytest.raises(ProviderError, match="has no reply for patch-c0-r1-000"):
        ask(model, Lane("patch", round=1), "Fix it.", "turn 0")


def test_drift_can_be_reported_instead(tmp_path: Path) -> None:
    record(tmp_path / "a.jsonl")
    notices: list[str] = []
    model = opened(f"{tmp_path / 'a.jsonl'}?drift=report", notices)
    assert ask(model, Lane("patch", turn=1), "Other.").text == "reply 2"
    assert ask(model, Lane("patch", turn=0), "Fix it.", "turn 0").text == "reply 1"
    model.close()
    assert model.drifted == ["patch-c0-r0-001"]
    assert notices[-1] == "replay: 1 of 2 prompts are not as they were when recorded"
    with pytest.raises(ProviderError, match="no reply for"):
        ask(model, Lane("review"), "x")


def test_a_resumed_recording_appends_and_the_later_line_wins(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    record(path)
    with path.open("a") as file:
        file.write('{"schema_version": 1, "lane": {"ro')  # a killed run
    recorder = Recorder(Scripted(), path, {"prompts": "later"})
    ask(recorder, Lane("patch", turn=2), "Fix it.", "turn 2 again")
    model = opened(str(path))
    assert model.recorded["prompts"] == "abc"
    assert ask(model, Lane("patch", turn=2), "Fix it.", "turn 2 again").text == "reply 1"
    assert len(path.read_text().splitlines()) == 5


def test_recordings_may_be_compressed_and_stay_small(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    recorder = Recorder(Scripted(), path, {})
    ask(recorder, Lane("patch"), "x" * 100_000, "y" * 100_000)
    assert path.stat().st_size < 10_000
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert ask(opened(str(packed)), Lane("patch"), "x" * 100_000, "y" * 100_000).text == "reply 1"


def test_secrets_are_redacted_before_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    recorder = Recorder(Scripted(), path, {}, redact=lambda text: text.replace("hunter2", "***"))
    ask(recorder, Lane("patch"), "the password is hunter2")
    assert "hunter2" not in path.read_text()
    json.loads(path.read_text().splitlines()[1])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no json\n", "cannot be read"),
        (b'{"schema_version": 99}\n', "Line 1 of"),
        (b'{"schema_version": 1, "lane": {}, "request": {}, "reply": {}}\n', "Line 1 .* is damaged"),
    ],
)
def test_a_broken_recording_is_a_setting_to_mend(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        opened(str(tmp_path / "a.jsonl"))


def test_wrong_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recording"):
        opened(str(tmp_path / "none.jsonl"))
    with pytest.raises(ConfigError, match="does not know 'drift=maybe'"):
        opened("a.jsonl?drift=maybe")
    with pytest.raises(ConfigError, match="compressed"):
        Recorder(Scripted(), tmp_path / "a.jsonl.gz", {})
    with pytest.raises(ConfigError, match="ends after its prefix"):
        open_model("replay:")
    with pytest.raises(ConfigError, match="has no API base"):
        open_model("replay:x", api_base="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 passed in 0.12s", "1 passed in 3.4s"),
        ("slept 12 ms", "slept 9 ms"),
        ("<Foo object at 0x7f3aa1b2c3d4>", "<Foo object at 0x7f0000000000>"),
        ("/tmp/pytest-of-root/x", "/tmp/tmpab12cd/x"),
        ("on 2026-01-02T03:04:05.678Z", "on 2025-11-12 13:14:15"),
        ("at 12:13:14", "at 01:02:03,456"),
        ("id 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "id 00000000-0000-0000-0000-000000000001"),
        ("run 20260102-030405-ab12", "run 20250102-130405-zz99"),
        ("commit a1b2c3d4e5f60718293a", "commit 0123456789abcdef0123"),
    ],
)
def test_the_normaliser_forgets_what_means_nothing(one: str, other: str) -> None:
    assert one != other
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("return 1", "return 2"), ("line 120", "line 121"), ("0x1F", "0x2F"), ("exit code 1", "exit code 2")],
)
def test_the_normaliser_keeps_what_means_something(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)
