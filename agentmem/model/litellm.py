"""Every hosted provider, and any OpenAI-compatible server, through litellm (imported at the first call)."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from agentmem.errors import ConfigError, ProviderError
from agentmem.model import failures
from agentmem.model.base import Lane, Message, Reply, ToolCall, ToolSpec, Usage
from agentmem.model.canonical import assistant_message
from agentmem.model.cost import estimate_text, estimate_tokens, facts
from agentmem.model.litellm_library import key_of, load, missing_keys, with_provider
from agentmem.model.options import ModelOptions
from agentmem.model.probe import Probe
from agentmem.model.protocol import missing, parse, render

_ADAPTATIONS = 4  # of one request to what the provider refuses


class LitellmModel:
    """A model by its litellm name. What its provider refuses once is left out from then on."""

    def __init__(self, name: str, api_base: str | None, options: ModelOptions) -> None:
        self.name = name
        self.window = facts(name).window
        self._api_base, self._options = api_base, options
        self._model = ""  # with its provider, once litellm is loaded
        self._probe = Probe(options.cache_dir, f"{name} {api_base or ''}".strip())
        self._native = options.protocol == "native" or (
            options.protocol == "auto" and self._probe.native is not False
        )
        self._dropped: set[str] = set()
        self._price_unknown = False

    def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        lane: Lane,
        temperature: float,
        max_tokens: int,
    ) -> Reply:
        began = time.monotonic()
        self._prepare()
        for _ in range(_ADAPTATIONS):
            native = self._native and bool(tools)
            request = self._request(messages, tools, native, temperature, max_tokens)
            try:
                send = functools.partial(load().completion, **request)
                response = failures.with_retries(send, self._options)
                break
            except Exception as error:
                if not self._adapt(error, native, request):
                    raise failures.translate(error, self.name, key_of(self._model)) from error
        else:
            raise ProviderError(f"{self.name} refuses every form of request.", "Try another model.")
        usage = _usage(response, messages, tools)
        read = _read_native if native else _read_text
        text, calls, stop, message = read(response.choices[0], tools, str(lane))
        return Reply(text, calls, usage, self._cost(response), stop, message, time.monotonic() - began)

    def close(self) -> None:
        pass

    def _prepare(self) -> None:
        if self._model:
            return
        self._model = with_provider(self.name) if self._api_base else self.name
        absent = missing_keys(self._model) if not self._api_base else []
        if absent:
            self._model = ""
            raise ConfigError(
                f"{self.name} needs {' or '.join(absent)}, which is not set.",
                f"export {absent[0]}=... (or name another model; `agentmem doctor` lists what is set)",
            )

    def _request(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        native: bool,
        temperature: float,
        max_tokens: int,
    ) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [dict(m) for m in messages] if native or not tools else render(messages, tools),
            "temperature": temperature,
            "max_tokens": max_tokens,
            "timeout": self._options.request_timeout,
            "max_retries": 0,  # the retries are ours, so that each is told to the user
            "num_retries": 0,
        }
        if native:
            request["tools"] = [_function(tool) for tool in tools]
        if self._api_base:
            request["api_base"] = self._api_base
            if self._model.startswith("openai/") and missing_keys(self._model):
                request["api_key"] = "none"
        if "max_tokens" in self._dropped:
            request["max_completion_tokens"] = request["max_tokens"]
        return {key: value for key, value in request.items() if key not in self._dropped}

    def _adapt(self, error: Exception, native: bool, request: Mapping[str, Any]) -> bool:
        """Leave out what the provider refused; False when that is not what went wrong."""
        if native and self._options.protocol == "auto" and failures.refuses_tools(error):
            self._native = False
            self._probe.remember(native=False)
            self._options.on_notice(f"{self.name} has no native tool calls; using the text form")
            return True
        for name in ("max_completion_tokens", "temperature", "max_tokens"):
            if name in request and failures.refuses(error, name):
                self._dropped.add(name)
                instead = " (max_completion_tokens instead)" if name == "max_tokens" else ""
                self._options.on_notice(f"{self.name} does not take {name}; left out{instead}")
                return True
        return False

    def _cost(self, response: Any) -> float | None:
        try:
            return float(load().completion_cost(completion_response=response, model=self._model))
        except Exception:  # litellm raises plain exceptions for names its map lacks
            if not self._price_unknown:
                self._price_unknown = True
                self._options.on_notice(f"The price of {self.name} is unknown; money limits do not bind it")
            return None


def _function(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _read_text(
    choice: Any, tools: Sequence[ToolSpec], prefix: str
) -> tuple[str, tuple[ToolCall, ...], str, Message]:
    raw = choice.message.content or ""
    stop = str(choice.finish_reason or "stop")
    parsed = parse(raw, tools, prefix, cut=stop == "length")
    return parsed.text, parsed.calls, stop, assistant_message(raw, parsed.calls)


def _read_native(
    choice: Any, tools: Sequence[ToolSpec], prefix: str
) -> tuple[str, tuple[ToolCall, ...], str, Message]:
    message: Message = choice.message.model_dump(exclude_none=True, mode="json")
    message.setdefault("content", None)
    calls = []
    for number, item in enumerate(message.get("tool_calls") or ()):
        item["id"] = item.get("id") or f"{prefix}-{number}"
        item.setdefault("type", "function")
        call = _native_call(item, {tool.name: tool for tool in tools}, choice.finish_reason == "length")
        if call.problem and not call.arguments:
            # Providers refuse a history that holds broken JSON; the problem quotes what was said.
            item["function"]["arguments"] = "{}"
        calls.append(call)
    return message["content"] or "", tuple(calls), str(choice.finish_reason or "stop"), message


def _native_call(item: Mapping[str, Any], by_name: Mapping[str, ToolSpec], cut: bool) -> ToolCall:
    name, raw = item["function"].get("name") or "", item["function"].get("arguments") or "{}"
    tool = by_name.get(name)
    if tool is None:
        return ToolCall(
            item["id"], name, {}, f"There is no tool {name!r}; the tools are: {', '.join(by_name)}."
        )
    try:
        arguments = json.loads(raw)
        if not isinstance(arguments, dict):
            raise ValueError("they must be a JSON object")
    except ValueError as error:
        why = "The reply was cut off at the limit of its tokens; say less. " if cut else ""
        problem = f"{why}The arguments of {name!r} cannot be read: {error}. They began: {raw[:80]!r}"
        return ToolCall(item["id"], name, {}, problem)
    return ToolCall(item["id"], name, arguments, missing(tool, arguments))


def _usage(response: Any, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Usage:
    usage = getattr(response, "usage", None)
    if usage is None or not usage.prompt_tokens:
        message = response.choices[0].message
        said = (message.content or "") + "".join(
            call.function.arguments or "" for call in message.tool_calls or ()
        )
        return Usage(estimate_tokens(messages, tools), estimate_text(said), exact=False)
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(usage.prompt_tokens, usage.completion_tokens, getattr(details, "cached_tokens", None) or 0)
