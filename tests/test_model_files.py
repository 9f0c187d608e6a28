"""`file:DIR`: another program answers through files."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import ConfigError, ProviderError
from agentmem.model import Lane, Message, ModelOptions, Reply, ToolSpec, open_model

BASH = ToolSpec(
    "bash",
    "Run a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)
LANE = Lane("patch", 1, 2, 3)
GOOD = {"text": "I look.", "calls": [{"name": "bash", "arguments": {"command": "ls"}}]}


def ask(
    folder: Path, content: str = "Fix it.", timeout: float = 20.0, notices: list[str] | None = None
) -> Reply:
    options = ModelOptions(file_timeout=timeout, on_notice=(notices if notices is not None else []).append)
    messages: list[Message] = [{"role": "user", "content": content}]
    model = open_model(f"file:{folder}", options=options)
    return model.complete(messages, [BASH], lane=LANE, temperature=0.0, max_tokens=50)


def reply(folder: Path, data: Any) -> None:
    temporary = folder / "t"
    temporary.write_text(data if isinstance(data, str) else json.dumps(data))
    temporary.replace(folder / "patch-c1-r2-003.reply.json")


def answer_when_asked(folder: Path, *replies: Any) -> threading.Thread:
    """Each reply is written once the one before has been taken away as invalid."""

    def serve() -> None:
        request, answer = folder / "patch-c1-r2-003.request.json", folder / "patch-c1-r2-003.reply.json"
        for data in replies:
            while not request.exists() or answer.exists():
                time.sleep(0.02)
            reply(folder, data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_a_request_is_answered(tmp_path: Path) -> None:
    answer_when_asked(tmp_path, {**GOOD, "usage": {"prompt": 10, "completion": 3}})
    got = ask(tmp_path)
    assert (got.text, got.stop, got.cost) == ("I look.", "tool_calls", None)
    assert (got.calls[0].id, got.calls[0].name) == ("patch-c1-r2-003-0", "bash")
    assert got.calls[0].arguments == {"command": "ls"}
    assert (got.usage.total, got.usage.exact) == (13, True)
    assert got.message["tool_calls"][0]["function"]["name"] == "bash"
    request = json.loads((tmp_path / "patch-c1-r2-003.request.json").read_text())
    assert request["lane"] == {"role": "patch", "candidate": 1, "round": 2, "turn": 3}
    assert request["messages"] == [{"role": "user", "content": "Fix it."}]
    assert request["tools"][0]["parameters"]["required"] == ["command"]


def test_a_resumed_run_finds_its_reply(tmp_path: Path) -> None:
    answer_when_asked(tmp_path, GOOD)
    first = ask(tmp_path, "It took 3.2 s.")
    again = ask(tmp_path, "It took 4.8 s.", timeout=0.5)
    assert again.calls == first.calls
    assert not first.usage.exact


def test_a_reply_to_another_request_is_moved_aside(tmp_path: Path) -> None:
    answer_when_asked(tmp_path, GOOD)
    ask(tmp_path, "Fix it.")
    answer_when_asked(tmp_path, {"text": "New."})
    time.sleep(0.05)
    assert ask(tmp_path, "Fix something else.").text == "New."
    assert json.loads((tmp_path / "patch-c1-r2-003.reply.json.stale-1").read_text()) == GOOD
    assert (tmp_path / "patch-c1-r2-003.request.json.stale-1").exists()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([], "must be a JSON object"),
        ({}, "empty"),
        ({"text": "x", "call": []}, "Unknown fields: call"),
        ({"calls": [{"name": "bash"}]}, "Each call must be"),
        ({"calls": [{"name": "run", "arguments": {}}]}, "no tool 'run'; the tools are: bash"),
        ({"calls": [{"name": "bash", "arguments": {"cmd": "ls"}}]}, "no argument cmd"),
        ({"calls": [{"name": "bash", "arguments": {}}]}, "required argument 'command'"),
        ({"text": "x", "usage": {"prompt": 1}}, "'completion'"),
    ],
)
def test_an_invalid_reply_is_refused_and_the_next_one_taken(tmp_path: Path, bad: Any, said: str) -> None:
    reasons: list[str] = []
    answer_when_asked(tmp_path, bad, GOOD)
    assert ask(tmp_path, notices=reasons).text == "I look."
    assert said in reasons[-1]
    assert (tmp_path / "patch-c1-r2-003.reply.json.invalid-1").exists()
    assert not (tmp_path / "patch-c1-r2-003.error.txt").exists(), "a good reply takes the reason away"


def test_the_reason_of_a_refusal_is_written(tmp_path: Path) -> None:
    answer_when_asked(tmp_path, {"calls": [{"name": "run", "arguments": {}}]})
    with pytest.raises(ProviderError):
        ask(tmp_path, timeout=1.0)
    text = (tmp_path / "patch-c1-r2-003.error.txt").read_text()
    assert "no tool 'run'" in text
    assert "invalid-1" in text


def test_no_reply_in_time(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"No reply came for patch-c1-r2-003 within 0\.2 s"):
        ask(tmp_path, timeout=0.2)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigError, match="cannot be used as a folder"):
        ask(tmp_path / "x")
