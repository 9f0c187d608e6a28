"""llama.cpp in this process, with a model file of random weights: what must hold whatever a model says."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agentmem.errors import ConfigError, ProviderError
from agentmem.model import Lane, Message, Model, ModelOptions, Reply, ToolSpec, check, local, open_model
from agentmem.model.protocol import render

CONTEXT = 4096
TEXT: dict[str, object] = {"type": "string"}


def tool(name: str, optional: str = "", **arguments: dict[str, object]) -> ToolSpec:
    required = [argument for argument in arguments if argument != optional]
    return ToolSpec(
        name, f"It does {name}.", {"type": "object", "properties": arguments, "required": required}
    )


# Values of these may be of any length, so that a reply may reach the limit of its tokens.
FREE = [
    tool("bash", optional="timeout", command=TEXT, timeout={"type": "integer"}),
    tool("edit", path=TEXT, old=TEXT, new=TEXT),
]
# The grammar ends a call of this one after 600 tokens at most: 400 of thought, the tags, the longest values.
BOUNDED = [
    tool(
        "measure",
        line={"type": "integer"},
        share={"type": "number"},
        everywhere={"type": "boolean"},
        level={"type": "string", "enum": ["größer", "höher"]},
    )
]
TASK: list[Message] = [
    {"role": "system", "content": "You repair bugs in Python code."},
    {"role": "user", "content": "In add.py: return a - b, which is no sum. Naïve, is it not? ∑"},
]


@pytest.fixture(scope="module")
def model(tiny_gguf: Path) -> Iterator[Model]:
    model = open_model(f"local:{tiny_gguf}", options=ModelOptions(local_context=CONTEXT))
    yield model
    model.close()
    model.close()


def ask(
    model: Model,
    messages: Sequence[Message],
    tools: Sequence[ToolSpec] = BOUNDED,
    temperature: float = 0.0,
    max_tokens: int = 600,
) -> Reply:
    return model.complete(messages, tools, lane=Lane("patch"), temperature=temperature, max_tokens=max_tokens)


def prompt_of(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> bytes:
    """What the model's chat template makes of a request; a byte is a token."""
    lines = [f"{message['role']}: {message['content']}\n" for message in render(messages, tools)]
    return "".join([*lines, "assistant: "]).encode()


def expect_one_call(reply: Reply, tools: Sequence[ToolSpec]) -> None:
    (call,) = reply.calls
    assert (call.problem, reply.stop, reply.cost) == ("", "tool_calls", 0.0)
    parameters = {tool.name: tool.parameters for tool in tools}[call.name]
    assert set(parameters["required"]) <= set(call.arguments) <= set(parameters["properties"])
    types = {"string": str, "integer": int, "number": float, "boolean": bool}
    for name, value in call.arguments.items():
        assert type(value) is types[parameters["properties"][name]["type"]]


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_the_grammar_ends_each_bounded_reply_with_one_call(model: Model, temperature: float) -> None:
    for word in ("sum", "", "x" * 500, "<call>", "été"):
        messages: list[Message] = [*TASK, {"role": "user", "content": word}]
        reply = ask(model, messages, temperature=temperature)
        expect_one_call(reply, BOUNDED)
        assert reply.calls[0].arguments["level"] in ("größer", "höher")
        text = reply.message["content"]
        assert text.endswith("</call>")
        assert reply.text in text


def test_a_reply_is_one_call_or_says_that_it_was_cut(model: Model) -> None:
    limit = 250
    ended = cut = 0
    for number in range(12):
        messages: list[Message] = [{"role": "user", "content": "Task " * number}]
        reply = ask(model, messages, FREE, temperature=number % 3 / 2, max_tokens=limit)
        if reply.stop == "tool_calls":
            expect_one_call(reply, FREE)
            ended += 1
        else:
            assert (reply.stop, reply.usage.completion) == ("length", limit)
            assert all("was cut off" in call.problem for call in reply.calls)
            cut += 1
    assert ended >= 4
    assert ended + cut == 12


def test_a_reply_is_repeatable_and_says_wherever_it_was_cut(model: Model) -> None:
    whole = ask(model, TASK)
    text = whole.message["content"].encode()
    assert ask(model, TASK).message["content"].encode() == text
    for limit in range(1, len(text), 3):
        reply = ask(model, TASK, max_tokens=limit)
        assert reply.stop == "length"
        assert reply.usage.completion == limit
        part = reply.message["content"]
        assert text.startswith(part.encode())
        if "<call" not in part:
            assert reply.calls == ()
        elif not part.rstrip().endswith("</level>"):  # all but the last tag is there: that is a call
            assert "was cut off" in reply.calls[0].problem


def test_usage_is_exact_and_the_prefix_is_cached(model: Model) -> None:
    task: list[Message] = [{"role": "system", "content": "A prompt of this test alone."}, *TASK[1:]]
    first = ask(model, task)
    sent, answer = prompt_of(task, BOUNDED), first.message["content"].encode()
    assert first.usage.exact
    assert (first.usage.prompt, first.usage.completion) == (len(sent), len(answer) + 1)  # one ends the reply
    assert first.usage.cached <= len("system: A")
    again = ask(model, task)
    assert again.usage.cached == len(sent) - 1  # the last is always read anew
    call = first.calls[0]
    result: Message = {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": "done"}
    later = ask(model, [*task, first.message, result])
    assert later.usage.prompt == len(prompt_of([*task, first.message, result], BOUNDED))
    assert later.usage.cached == len(sent) + len(answer)
    expect_one_call(later, BOUNDED)


def test_a_long_prompt_says_so(model: Model) -> None:
    messages: list[Message] = [{"role": "user", "content": "word " * 1000}]
    size = len(prompt_of(messages, BOUNDED))
    with pytest.raises(
        ProviderError, match=f"prompt of {size} tokens does not fit into the {CONTEXT}"
    ) as caught:
        ask(model, messages)
    assert "AGENTMEM_LOCAL_CONTEXT" in caught.value.mend
    expect_one_call(ask(model, TASK), BOUNDED)


def test_ctrl_c_breaks_off_and_the_model_goes_on(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[object] = []
    take = local._Request._take

    def take_and_interrupt(request: local._Request, chunk: dict[str, object]) -> bool:
        pieces.append(chunk)
        if len(pieces) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return take(request, chunk)

    monkeypatch.setattr(local._Request, "_take", take_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask(model, TASK, tools=[], max_tokens=3000)
    expect_one_call(ask(model, TASK), BOUNDED)
    assert len(pieces) < 3000


INTERRUPTED = """
import os, signal
from agentmem.model import local
take = local._Request._take
def take_and_interrupt(request, chunk):
    if len(request._pieces) == 5:
        os.kill(os.getpid(), signal.SIGINT)
    return take(request, chunk)
local._Request._take = take_and_interrupt
try:
    model.complete(messages, [], lane=Lane("x"), temperature=0, max_tokens=3000)
except KeyboardInterrupt:
    raise SystemExit(0)
raise SystemExit("not interrupted")
"""


@pytest.mark.parametrize(
    "last",
    ["model.close()", "pass", "raise SystemExit(0)", INTERRUPTED],
    ids=["closed", "left open", "exit", "interrupted"],
)
def test_nothing_is_printed_and_the_process_ends(tiny_gguf: Path, last: str) -> None:
    code = f"""
from agentmem.model import Lane, ModelOptions, open_model
model = open_model({f"local:{tiny_gguf}"!r}, options=ModelOptions(local_context={CONTEXT}))
messages = [{{"role": "user", "content": "Hi"}}]
model.complete(messages, [], lane=Lane("x"), temperature=0, max_tokens=3)
{last}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="xllamacpp") as caught:
        open_model(f"local:{tmp_path / 'none.gguf'}")
    assert caught.value.mend == "pip install 'agentmem[local]'"


@pytest.mark.usefixtures("llama_cpp")
def test_a_missing_file_is_a_setting_to_make(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model file"):
        open_model(f"local:{tmp_path / 'none.gguf'}")


@pytest.mark.usefixtures("llama_cpp")
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
