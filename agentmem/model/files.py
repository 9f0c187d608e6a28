"""`file:DIR`: a model whose replies another program writes. The schema is in docs/model-files.md."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentmem.errors import ConfigError, ProviderError
from agentmem.model.base import Lane, Message, Reply, ToolCall, ToolSpec, Usage
from agentmem.model.canonical import assistant_message, lane_data, plain_text
from agentmem.model.cost import estimate_text, estimate_tokens
from agentmem.model.options import ModelOptions
from agentmem.model.protocol import missing

SCHEMA_VERSION = 1
_POLL = 0.1
_SETTLE = 1.0  # seconds without a write after which broken JSON is an error and not a write in progress


def open_files(target: str, options: ModelOptions) -> FileModel:
    """The model `file:<target>`; the folder is made. Raises ConfigError when it cannot be."""
    folder = Path(target).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{target!r} cannot be used as a folder: {error}", "Name a folder: file:DIR"
        ) from None
    return FileModel(folder, options)


class FileModel:
    """Writes `<lane>.request.json` and waits for `<lane>.reply.json`.

    A reply that is there already is used at once when its request is the one asked now (a resumed run).
    """

    window: int | None = None

    def __init__(self, folder: Path, options: ModelOptions) -> None:
        self.name = f"file:{folder}"
        self._folder, self._options = folder, options

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
        request = {
            "schema_version": SCHEMA_VERSION,
            "lane": lane_data(lane),
            "messages": list(messages),
            "tools": [
                {"name": t.name, "description": t.description, "parameters": t.parameters} for t in tools
            ],
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        asked, answer = self._path(lane, "request.json"), self._path(lane, "reply.json")
        if not _same(asked, request):
            for old in (asked, answer):
                _move_aside(old, "stale")
            _write(asked, json.dumps(request, ensure_ascii=False, indent=1))
        if not answer.exists():
            self._options.on_notice(f"Waiting for {answer}")
        while True:
            reply = self._await(answer, lane)
            try:
                read = _read(reply, tools, lane, messages, time.monotonic() - began)
            except ValueError as error:
                kept = _move_aside(answer, "invalid")
                _write(self._path(lane, "error.txt"), f"{error}\nThe refused reply is {kept.name}.\n")
                self._options.on_notice(f"{answer.name} was refused: {error}")
            else:
                self._path(lane, "error.txt").unlink(missing_ok=True)
                return read

    def close(self) -> None:
        pass

    def _path(self, lane: Lane, suffix: str) -> Path:
        return self._folder / f"{lane}.{suffix}"

    def _await(self, answer: Path, lane: Lane) -> str:
        """The text of the reply, once it is complete."""
        deadline = time.monotonic() + self._options.file_timeout
        while time.monotonic() < deadline:
            try:
                text = answer.read_text(encoding="utf-8", errors="replace")
                if _is_json(text) or time.time() - answer.stat().st_mtime > _SETTLE:
                    return text
            except FileNotFoundError:
                pass
            time.sleep(_POLL)
        raise ProviderError(
            f"No reply came for {lane} within {self._options.file_timeout:g} s.",
            f"Write {answer} (see docs/model-files.md), then resume the run.",
        )


def _read(
    text: str, tools: Sequence[ToolSpec], lane: Lane, messages: Sequence[Message], seconds: float
) -> Reply:
    """The reply file as a Reply. Raises ValueError that says what is wrong with it."""
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("The reply must be a JSON object.")
    if extra := set(data) - {"schema_version", "text", "calls", "usage", "cost", "model"}:
        raise ValueError(f"Unknown fields: {', '.join(sorted(extra))}.")
    said, listed = data.get("text", ""), data.get("calls", [])
    if not isinstance(said, str) or not isinstance(listed, list):
        raise ValueError('"text" must be a string and "calls" a list.')
    if not said.strip() and not listed:
        raise ValueError("The reply is empty: neither text nor calls.")
    by_name = {tool.name: tool for tool in tools}
    calls = tuple(_call(item, by_name, f"{lane}-{number}") for number, item in enumerate(listed))
    usage = data.get("usage")
    if usage is None:
        told = said + "".join(json.dumps(dict(call.arguments)) for call in calls)
        counted = Usage(estimate_tokens(messages, tools), estimate_text(told), exact=False)
    else:
        counted = Usage(_count(usage, "prompt"), _count(usage, "completion"), _count(usage, "cached", 0))
    cost = data.get("cost")
    if cost is not None and not isinstance(cost, int | float):
        raise ValueError('"cost" must be a number of US dollars.')
    return Reply(
        text=said,
        calls=calls,
        usage=counted,
        cost=cost,
        stop="tool_calls" if calls else "stop",
        message=assistant_message(said, calls),
        seconds=seconds,
    )


def _call(item: Any, by_name: Mapping[str, ToolSpec], ident: str) -> ToolCall:
    if not isinstance(item, dict) or not isinstance(item.get("arguments"), dict):
        raise ValueError('Each call must be {"name": "...", "arguments": {...}}.')
    tool = by_name.get(str(item.get("name")))
    if tool is None:
        raise ValueError(f"There is no tool {item.get('name')!r}; the tools are: {', '.join(by_name)}.")
    if unknown := set(item["arguments"]) - set(tool.parameters.get("properties", {})):
        raise ValueError(f"{tool.name!r} has no argument {', '.join(sorted(unknown))}.")
    if problem := missing(tool, item["arguments"]):
        raise ValueError(problem)
    return ToolCall(ident, tool.name, item["arguments"])


def _count(usage: Any, key: str, default: int | None = None) -> int:
    value = usage.get(key, default) if isinstance(usage, dict) else None
    if not isinstance(value, int) or value < 0:
        raise ValueError(f'"usage" needs the number of tokens {key!r}.')
    return value


def _same(path: Path, request: Mapping[str, Any]) -> bool:
    """Whether the request on disk asks the same; sampling settings do not count."""
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(request))
        return bool(
            [plain_text(m) for m in old["messages"]] == [plain_text(m) for m in now["messages"]]
            and old["tools"] == now["tools"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    """By atomic rename: a reader sees the whole file or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _move_aside(path: Path, why: str) -> Path:
    number = 1
    while (target := path.with_name(f"{path.name}.{why}-{number}")).exists():
        number += 1
    if path.exists():
        path.replace(target)
    return target
