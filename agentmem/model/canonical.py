"""Messages as plain data: the canonical assistant message, and one normaliser for comparing requests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentmem.model.base import Lane, Message, ToolCall, ToolSpec

# What differs from run to run without meaning anything. The order matters: a date holds a time, a path an id.
# docs/recordings.md lists these rules; a change there and here goes together.
_RULES = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.I), "<uuid>"),
    (re.compile(r"(?:/private)?(?:/var)?/tmp/[\w.+-]+|/var/folders/[\w.+-]+/[\w.+-]+/T/[\w.+-]+"), "<tmp>"),
    (re.compile(r"\b\d{8}-\d{6}(?:-[0-9a-z]{4,12})?\b"), "<run>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<date>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    (re.compile(r"\b0x[0-9a-f]{4,16}\b", re.I), "<address>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,64}\b"), "<hex>"),
    (re.compile(r"\b\d+(?:\.\d+)?(?:e-?\d+)? ?(?:seconds|second|secs|sec|ms|µs|us|ns|s)\b"), "<duration>"),
)


def normalise(text: str) -> str:
    """The text without durations, dates, times, addresses, temporary paths, and generated ids."""
    for pattern, mark in _RULES:
        text = pattern.sub(mark, text)
    return text


def assistant_message(text: str, calls: Sequence[ToolCall]) -> Message:
    """The canonical assistant message, for models that have none of their own."""
    message: Message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name or "unknown",
                    "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
                },
            }
            for call in calls
        ]
    return message


def plain_text(message: Mapping[str, Any]) -> str:
    """What a recording compares of a message: its text and calls, normalised, without ids and thinking."""
    content = message.get("content") or ""
    if not isinstance(content, str):  # a list of parts
        content = "\n".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    calls = [
        f"{call['function']['name']} {_sorted(call['function'].get('arguments') or '{}')}"
        for call in message.get("tool_calls") or ()
    ]
    return normalise("\n".join([message["role"], message.get("name") or "", content, *calls]))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tools_digest(tools: Sequence[ToolSpec]) -> str:
    return digest(json.dumps([[t.name, t.description, t.parameters] for t in tools], sort_keys=True))


def lane_of(data: Mapping[str, Any]) -> Lane:
    """The inverse of `lane_data`; KeyError or TypeError when it is none."""
    return Lane(str(data["role"]), int(data["candidate"]), int(data["round"]), int(data["turn"]))


def lane_data(lane: Lane) -> dict[str, Any]:
    return {"role": lane.role, "candidate": lane.candidate, "round": lane.round, "turn": lane.turn}


def _sorted(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), sort_keys=True, ensure_ascii=False)
    except ValueError:
        return arguments
