"""A real GGUF model in this process. Runs where AGENTMEM_TEST_GGUF names a file."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmem.errors import ConfigError, ProviderError
from agentmem.model import Lane, Message, Model, ModelOptions, Reply, ToolSpec, check, open_model

GGUF = os.environ.get("AGENTMEM_TEST_GGUF", "")
needs_model = pytest.mark.skipif(not GGUF, reason="AGENTMEM_TEST_GGUF names no model file")

TEXT = {"type": "string"}
TOOLS = [
    ToolSpec(
        "bash",
        "Run a command.",
        {
            "type": "object",
            "properties": {"command": TEXT, "timeout": {"type": "integer"}},
            "required": ["command"],
        },
    ),
    ToolSpec(
        "edit",
        "Replace text in a file.",
        {
            "type": "object",
            "properties": {"path": TEXT, "old": TEXT, "new": TEXT},
            "required": ["path", "old", "new"],
        },
    ),
]
TASK: list[Message] = [
    {"role": "system", "content": "You repair bugs in Python code."},
    {
        "role": "user",
        "content": "File add.py:\n\ndef add(a, b):\n    return a - b\n\nIt must return the sum.",
    },
]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    model = open_model(f"local:{GGUF}", options=ModelOptions(local_context=2048))
    yield model
    model.close()
    model.close()


def ask(model: Model, messages: list[Message], turn: int = 0, max_tokens: int = 200) -> Reply:
    return model.complete(
        messages, TOOLS, lane=Lane("patch", turn=turn), temperature=0.0, max_tokens=max_tokens
    )


@pytest.mark.gguf
@needs_model
def test_replies_are_calls_repeatable_and_reuse_the_prefix(model: Model) -> None:
    first = ask(model, TASK)
    (call,) = first.calls
    assert call.problem == ""
    assert call.name in ("bash", "edit")
    assert (first.cost, first.usage.exact, first.stop) == (0.0, True, "tool_calls")
    again = ask(model, TASK)
    assert again.message["content"] == first.message["content"]
    assert again.usage.cached >= again.usage.prompt - 1
    result: Message = {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": "done"}
    later = ask(model, [*TASK, first.message, result], turn=1)
    assert later.usage.cached > 0.8 * first.usage.prompt
    assert later.calls[0].problem == ""


@pytest.mark.gguf
@needs_model
def test_a_cut_reply_and_a_long_prompt_say_so(model: Model) -> None:
    cut = ask(model, TASK, max_tokens=8)
    assert cut.stop == "length"
    assert all("cut off" in call.problem for call in cut.calls)
    with pytest.raises(ProviderError, match="does not fit into the 2048 tokens") as caught:
        ask(model, [{"role": "user", "content": "word " * 4000}])
    assert "AGENTMEM_LOCAL_CONTEXT" in caught.value.mend


@pytest.mark.gguf
@needs_model
def test_ctrl_c_breaks_off_and_the_model_goes_on(model: Model) -> None:
    ask(model, TASK)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.complete(
            [{"role": "user", "content": "Count to one thousand in words."}],
            [],
            lane=Lane("x"),
            temperature=0.0,
            max_tokens=1500,
        )
    assert ask(model, TASK).calls[0].problem == ""


@pytest.mark.gguf
@needs_model
@pytest.mark.parametrize("last", ["model.close()", "pass", "raise SystemExit(0)"])
def test_nothing_is_printed_and_the_process_ends(last: str) -> None:
    code = f"""
from agentmem.model import Lane, ModelOptions, open_model
model = open_model({"local:" + GGUF!r}, options=ModelOptions(local_context=1024))
model.complete([{{"role": "user", "content": "Hi"}}], [], lane=Lane("x"), temperature=0, max_tokens=3)
{last}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_file_is_a_setting_to_make(tmp_path: Path) -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        with pytest.raises(ConfigError, match="xllamacpp") as caught:
            open_model(f"local:{tmp_path / 'none.gguf'}")
        assert caught.value.mend == "pip install 'agentmem[local]'"
    else:
        with pytest.raises(ConfigError, match="no model file"):
            open_model(f"local:{tmp_path / 'none.gguf'}")


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the extra local")
def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        ask(open_model(f"local:{tmp_path / 'x.gguf'}"), TASK)


def test_doctor_hears_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    assert check("openai/gpt-4o") == [("model key", True, "OPENAI_API_KEY is set", "")]
    ((_, ok, detail, mend),) = check("anthropic/claude-sonnet-4-5")
    assert (ok, detail, mend) == (False, "ANTHROPIC_API_KEY is not set", "export ANTHROPIC_API_KEY=...")
    assert not check("gibberish")[0][1]
    assert check("gibberish", "http://127.0.0.1:1")[0][1]
    assert [ok for _, ok, _, _ in check(f"file:{tmp_path}")] == [True]
    assert [ok for _, ok, _, _ in check(f"replay:{tmp_path}/no.jsonl")] == [False]
    assert check(f"local:{tmp_path}/no.gguf")[1][1] is False
