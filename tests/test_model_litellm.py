"""litellm against a real HTTP server of the OpenAI form, scripted per test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import ConfigError, ProviderError
from agentmem.model import Lane, Message, Model, ModelOptions, Reply, ToolSpec, open_model

KEY = "sk-canary-0123456789abcdef"
BASH = ToolSpec(
    "bash",
    "Run a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)
ASK: list[Message] = [{"role": "system", "content": "You help."}, {"role": "user", "content": "List files."}]


class Provider:
    """Answers requests with the scripted (status, body) pairs, the last one for ever."""

    def __init__(self) -> None:
        self.script: list[tuple[int, dict[str, Any], dict[str, str]]] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.delay = 0.0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                provider.requests.append(json.loads(body))
                provider.keys.append(self.headers.get("authorization", ""))
                time.sleep(provider.delay)
                status, answer, headers = (
                    provider.script.pop(0) if len(provider.script) > 1 else provider.script[0]
                )
                data = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def says(self, status: int, body: dict[str, Any], **headers: str) -> None:
        self.script.append((status, body, {k.replace("_", "-"): v for k, v in headers.items()}))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def model(provider: Provider, notices: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    options = ModelOptions(
        cache_dir=tmp_path, retries=2, retry_wait=0.01, request_timeout=20, on_notice=notices.append
    )
    return open_model("tiny-test-model", api_base=provider.base, options=options)


def answer(content: str | None, *, stop: str = "stop", usage: bool = True, **message: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-test-model",
        "choices": [
            {
                "index": 0,
                "finish_reason": stop,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
    }
    if usage:
        details = {"cached_tokens": 40}
        body["usage"] = {
            "prompt_tokens": 50,
            "completion_tokens": 7,
            "total_tokens": 57,
            "prompt_tokens_details": details,
        }
    return body


def tool_call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "call_abc", "type": "function", "function": {"name": name, "arguments": arguments}}


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def ask(model: Model, tools: list[ToolSpec] | None = None, turn: int = 0) -> Reply:
    lane = Lane("patch", turn=turn)
    return model.complete(ASK, [BASH] if tools is None else tools, lane=lane, temperature=0.3, max_tokens=99)


def test_a_reply_with_a_native_call(provider: Provider, model: Model, notices: list[str]) -> None:
    provider.says(
        200, answer("Looking.", stop="tool_calls", tool_calls=[tool_call("bash", '{"command": "ls"}')])
    )
    reply = ask(model)
    assert (reply.text, reply.stop, reply.cost, reply.replayed) == ("Looking.", "tool_calls", None, False)
    (call,) = reply.calls
    assert (call.id, call.name, dict(call.arguments), call.problem) == (
        "call_abc",
        "bash",
        {"command": "ls"},
        "",
    )
    assert (reply.usage.prompt, reply.usage.completion, reply.usage.cached) == (50, 7, 40)
    assert reply.usage.exact
    assert reply.message["tool_calls"][0]["id"] == "call_abc"
    json.dumps(reply.message)
    (request,) = provider.requests
    assert request["tools"][0]["function"]["name"] == "bash"
    assert (request["temperature"], request["max_tokens"]) == (0.3, 99)
    assert provider.keys == [f"Bearer {KEY}"]
    ask(model)
    assert [n for n in notices if "price" in n] == notices, "one warning about the price, and no other"
    assert len(notices) == 1


def test_the_assistant_message_can_be_sent_back(provider: Provider, model: Model) -> None:
    provider.says(200, answer(None, stop="tool_calls", tool_calls=[tool_call("bash", '{"command": "ls"}')]))
    provider.says(200, answer("Done."))
    reply = ask(model)
    history = [*ASK, reply.message]
    history.append({"role": "tool", "tool_call_id": reply.calls[0].id, "name": "bash", "content": "a.py"})
    last = model.complete(history, [BASH], lane=Lane("patch", turn=1), temperature=0, max_tokens=9)
    assert last.text == "Done."
    sent = provider.requests[1]["messages"]
    assert sent[2]["tool_calls"][0]["function"] == {"name": "bash", "arguments": '{"command": "ls"}'}
    assert (sent[3]["role"], sent[3]["tool_call_id"]) == ("tool", "call_abc")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (tool_call("bash", '{"command": "ls'), "The arguments of 'bash' cannot be read"),
        (tool_call("bash", '["ls"]'), "must be a JSON object"),
        (tool_call("bash", "{}"), "lacks the required argument 'command'"),
        (tool_call("run", '{"command": "ls"}'), "no tool 'run'; the tools are: bash"),
    ],
)
def test_a_malformed_call_carries_its_problem(
    provider: Provider, model: Model, call: dict[str, Any], said: str
) -> None:
    provider.says(200, answer(None, stop="tool_calls", tool_calls=[call]))
    reply = ask(model)
    assert said in reply.calls[0].problem
    json.loads(reply.message["tool_calls"][0]["function"]["arguments"])


def test_a_refused_key_is_not_tried_again_and_not_shown(
    provider: Provider, model: Model, notices: list[str]
) -> None:
    provider.says(401, error(f"Incorrect API key provided: {KEY}.", code="invalid_api_key"))
    with pytest.raises(ProviderError) as caught:
        ask(model)
    assert len(provider.requests) == 1
    assert "refused the key" in caught.value.what
    assert "OPENAI_API_KEY" in caught.value.mend
    assert KEY not in caught.value.what
    assert notices == []


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_failure_is_tried_again(
    provider: Provider, model: Model, notices: list[str], status: int
) -> None:
    provider.says(status, error("Please slow down."), retry_after="0.01")
    provider.says(200, answer("Here."))
    assert ask(model).text == "Here."
    assert len(provider.requests) == 2
    assert notices[0].startswith("Retry 1 of 2 in ")


def test_retries_end(provider: Provider, model: Model) -> None:
    provider.says(500, error("Boom."))
    with pytest.raises(ProviderError, match="failed"):
        ask(model)
    assert len(provider.requests) == 3


def test_spent_quota_is_not_tried_again(provider: Provider, model: Model) -> None:
    provider.says(429, error("You exceeded your current quota.", code="insufficient_quota"))
    with pytest.raises(ProviderError, match="rate or quota"):
        ask(model)
    assert len(provider.requests) == 1


def test_a_bad_request_is_not_tried_again(provider: Provider, model: Model) -> None:
    provider.says(400, error("messages: at least one message is required"))
    with pytest.raises(ProviderError, match="at least one message"):
        ask(model)
    assert len(provider.requests) == 1


def test_a_long_prompt_says_so(provider: Provider, model: Model) -> None:
    text = "This model's maximum context length is 100 tokens, however your messages resulted in 120 tokens."
    provider.says(400, error(text, code="context_length_exceeded"))
    with pytest.raises(ProviderError, match="too long"):
        ask(model)
    assert len(provider.requests) == 1


def test_time_out_and_lost_server(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, notices: list[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    provider.delay = 1.0
    provider.says(200, answer("Late."))
    options = ModelOptions(retries=1, retry_wait=0.01, request_timeout=0.2, on_notice=notices.append)
    with pytest.raises(ProviderError, match="did not answer in time"):
        ask(open_model("m", api_base=provider.base, options=options))
    assert len(provider.requests) == 2
    with pytest.raises(ProviderError, match="cannot be reached"):
        ask(open_model("m", api_base="http://127.0.0.1:9/v1", options=options))


def test_refused_tools_fall_back_to_the_text_form(
    provider: Provider, model: Model, notices: list[str], tmp_path: Path
) -> None:
    provider.says(400, error("`tools` is not supported by this model"))
    provider.says(200, answer('I look.\n<call tool="bash">\n<command>ls</command>\n</call>'))
    reply = ask(model)
    assert reply.text == "I look."
    assert dict(reply.calls[0].arguments) == {"command": "ls"}
    assert "tools" not in provider.requests[1]
    assert "# Tools" in provider.requests[1]["messages"][0]["content"]
    assert "text form" in notices[0]
    assert '"native": false' in (tmp_path / "probe.json").read_text()
    later = open_model("tiny-test-model", api_base=provider.base, options=ModelOptions(cache_dir=tmp_path))
    assert ask(later).calls[0].problem == ""
    assert len(provider.requests) == 3, "what was learnt is kept"


def test_an_unsupported_temperature_is_left_out_once(
    provider: Provider, model: Model, notices: list[str]
) -> None:
    provider.says(400, error("Unsupported value: 'temperature' does not support 0.3 with this model."))
    provider.says(
        400,
        error("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
    )
    provider.says(200, answer("Fine."))
    assert ask(model).text == "Fine."
    assert ask(model).text == "Fine."
    assert len(provider.requests) == 4
    assert "temperature" not in provider.requests[3]
    assert "max_tokens" not in provider.requests[3]
    assert provider.requests[3]["max_completion_tokens"] == 99
    assert len([n for n in notices if "does not take" in n]) == 2


def test_usage_is_estimated_where_none_is_given(provider: Provider, model: Model) -> None:
    provider.says(200, answer("Some words here.", usage=False))
    usage = ask(model).usage
    assert not usage.exact
    assert usage.prompt > 10
    assert 2 < usage.completion < 10


def test_known_names_have_a_price_and_a_window(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    provider.says(200, {**answer("Hi."), "model": "gpt-4o"})
    model = open_model("openai/gpt-4o", api_base=provider.base)
    assert model.window == 128_000
    assert ask(model).cost == pytest.approx((10 * 2.5 + 40 * 1.25 + 7 * 10) / 1e6)


def test_a_missing_key_is_a_setting_to_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="needs ANTHROPIC_API_KEY, which is not set"):
        ask(open_model("anthropic/claude-sonnet-4-5"))
    with pytest.raises(ConfigError, match="No provider is known"):
        ask(open_model("no-such-model"))


def test_a_server_without_a_key_gets_none_of_ours(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    provider.says(200, answer("Hi."))
    assert ask(open_model("Qwen/Qwen2.5-Coder", api_base=provider.base)).text == "Hi."
    assert provider.requests[0]["model"] == "Qwen/Qwen2.5-Coder"
    assert provider.keys == ["Bearer none"]


def test_litellm_is_silent_offline_and_reads_no_dotenv(provider: Provider, tmp_path: Path) -> None:
    provider.says(500, error("Boom."))
    (tmp_path / ".env").write_text("OPENAI_API_BASE=http://127.0.0.1:9\nPLANTED=1\n")
    code = f"""
import os
from agentmem.model import ModelOptions, open_model, Lane
model = open_model("m", api_base={provider.base!r}, options=ModelOptions(retries=0))
try:
    model.complete([{{"role": "user", "content": "Hi"}}], [], lane=Lane("x"), temperature=0, max_tokens=5)
except Exception as error:
    assert "Boom" in str(error), error
assert "PLANTED" not in os.environ
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LITELLM")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_room_is_light_until_it_is_used() -> None:
    code = (
        "import sys, agentmem.model, agentmem.model.cost, agentmem.model.replay, agentmem.model.files\n"
        "agentmem.model.cost.facts('gpt-4o')\n"
        "agentmem.model.open_model('openai/gpt-4o')\n"
        "print([m for m in ('litellm', 'openai', 'xllamacpp', 'tenacity', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
