"""Tool calls for models without native ones: a text form that needs no escaping, both ways.

A call is written as

    <call tool="edit">
    <path>src/x.py</path>
    <old>
    raw code
    </old>
    </call>

One leading and one trailing newline of a value do not belong to it. The form is documented in
docs/model-files.md; the grammar that forces it is in `grammar.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentmem.model.base import Message, ToolCall, ToolSpec

_OPEN = re.compile(r"<call\s+tool\s*=\s*[\"']?([\w.-]+)[\"']?\s*>")
_ANY_OPEN = re.compile(r"<call\b")
_TAG = re.compile(r"<([A-Za-z_][\w-]*)>")
_FENCE = re.compile(r"(?:^|\n)```[\w-]*[ \t]*\s*\Z")
_PLACEHOLDERS = {"integer": 1, "number": 0.5, "boolean": True, "array": [0, 1]}
_LEFTOVER = re.compile(r"\s*(?:```\s*)?\Z")
_CUT = "The reply was cut off at the limit of its tokens; say less. "


@dataclass(frozen=True, slots=True)
class Parsed:
    """A reply read by `parse`: the text before the first call, and the calls."""

    text: str
    calls: tuple[ToolCall, ...]


def describe(tools: Sequence[ToolSpec]) -> str:
    """The tool documentation appended to the system message; empty without tools."""
    if not tools:
        return ""
    parts = [
        "# Tools",
        "",
        "Act by ending your reply with exactly one call of a tool, written like this, with raw text between "
        "the tags (no quoting, no escaping, no code fences):",
        "",
        example(next((t for t in tools if t.name == "edit"), tools[0])),
        "",
    ]
    for tool in tools:
        parts += [f"## {tool.name}", tool.description.strip()]
        required = set(tool.parameters.get("required", ()))
        for name, schema in _properties(tool).items():
            kind = schema.get("type", "string") + ("" if name in required else ", optional")
            note = schema.get("description", "")
            parts.append(f"- {name} ({kind})" + (f": {note}" if note else ""))
        parts.append("")
    return "\n".join(parts).rstrip()


def example(tool: ToolSpec) -> str:
    """A right call of the tool, with placeholders for values."""
    required = tool.parameters.get("required", ())
    names = [name for name in _properties(tool) if name in required] or list(_properties(tool))[:1]
    return format_call(tool.name, {name: _PLACEHOLDERS.get(_kind(tool, name), "...") for name in names})


def format_call(name: str, arguments: Mapping[str, Any]) -> str:
    """A call in the text form; values of several lines stand on lines of their own."""
    lines = [f'<call tool="{name}">']
    for key, value in arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"<{key}>\n{text}\n</{key}>" if "\n" in text or not text else f"<{key}>{text}</{key}>")
    return "\n".join([*lines, "</call>"])


def render(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[Message]:
    """Canonical messages as plain system, user and assistant ones, roles alternating.

    Tool documentation goes to the end of the system message; tool results become user messages.
    """
    docs = describe(tools)
    plain: list[Message] = []
    if docs and not (messages and messages[0]["role"] == "system"):
        plain.append({"role": "system", "content": docs})
        docs = ""
    for message in messages:
        role, content = message["role"], message.get("content") or ""
        if role == "system" and docs:
            content, docs = f"{content.rstrip()}\n\n{docs}", ""
        elif role == "tool":
            role, content = "user", f"Result of {message.get('name') or 'the call'}:\n{content}"
        elif role == "assistant" and not _ANY_OPEN.search(content):
            calls = [_format_native(call) for call in message.get("tool_calls") or ()]
            content = "\n".join(filter(None, [content, *calls]))
        # Many chat templates refuse two messages of one role in a row.
        if plain and plain[-1]["role"] == role != "assistant":
            plain[-1]["content"] += f"\n\n{content}"
        else:
            plain.append({"role": role, "content": content})
    return plain


def parse(reply: str, tools: Sequence[ToolSpec], prefix: str = "call", cut: bool = False) -> Parsed:
    """Read the calls of a reply. What cannot be read becomes a ToolCall with `problem`; never raises.

    `prefix` begins the ids, which must be unique within a conversation; `cut` says that the reply was
    stopped by the limit of its tokens.
    """
    by_name = {tool.name: tool for tool in tools}
    start = _ANY_OPEN.search(reply)
    if start is None or not tools:
        return Parsed(reply.strip(), ())
    text = _FENCE.sub("", reply[: start.start()]).strip()
    calls: list[ToolCall] = []
    at = start.start()
    while (found := _ANY_OPEN.search(reply, at)) is not None:
        ident = f"{prefix}-{len(calls)}"
        head = _OPEN.match(reply, found.start())
        if head is None:
            problem = (_CUT if cut else "") + 'The opening tag must read <call tool="NAME">.'
            problem = f"{problem}\n{_right_call(tools[0])}"
            calls.append(ToolCall(ident, "", {}, problem))
            break
        name = head.group(1)
        tool = by_name.get(name)
        if tool is None:
            problem = (
                f"There is no tool {name!r}; the tools are: {', '.join(by_name)}.\n{_right_call(tools[0])}"
            )
            calls.append(ToolCall(ident, name, {}, problem))
            break
        values, problem, at = _read_values(reply, head.end(), tool)
        arguments, bad = _convert(values, tool)
        problem = problem or bad or missing(tool, arguments)
        if problem and cut:
            problem = _CUT + problem
        calls.append(ToolCall(ident, name, arguments, f"{problem}\n{_right_call(tool)}" if problem else ""))
        if problem:
            break
    return Parsed(text, tuple(calls))


def missing(tool: ToolSpec, arguments: Mapping[str, Any]) -> str:
    """What is wrong with the names of the arguments; empty when nothing is."""
    absent = [name for name in tool.parameters.get("required", ()) if name not in arguments]
    if absent:
        return f"The call of {tool.name!r} lacks the required argument {', '.join(map(repr, absent))}."
    return ""


def _read_values(reply: str, at: int, tool: ToolSpec) -> tuple[dict[str, str], str, int]:
    """The raw values of one call whose body begins at `at`, a problem or "", and where it ended."""
    values: dict[str, str] = {}
    while True:
        at += len(reply[at:]) - len(reply[at:].lstrip())
        if reply.startswith("</call>", at):
            return values, "", at + len("</call>")
        if _LEFTOVER.match(reply, at):  # the end: every argument is closed, only </call> is missing
            return values, "", len(reply)
        tag = _TAG.match(reply, at)
        if tag is None:
            stray = reply[at : at + 40].splitlines()[0]
            return (
                values,
                f"In the call of {tool.name!r} there is text outside of an argument: {stray!r}.",
                at,
            )
        name = tag.group(1)
        if name not in _properties(tool):
            known = ", ".join(_properties(tool)) or "none"
            return values, f"{tool.name!r} has no argument {name!r}; its arguments are: {known}.", at
        if name in values:
            return values, f"The argument {name!r} is given twice.", at
        end = _find_close(reply, tag.end(), name, tool, values)
        if end < 0:
            return values, f"<{name}> is never closed by </{name}>.", len(reply)
        values[name] = _strip(reply[tag.end() : end])
        at = end + len(name) + 3


def _find_close(reply: str, at: int, name: str, tool: ToolSpec, seen: Mapping[str, str]) -> int:
    """Where the value that begins at `at` ends; -1 when nowhere.

    The value may hold its own closing tag (code about XML): the right one is followed by another
    argument, the end of the call, or the end of the reply.
    """
    close = f"</{name}>"
    others = "|".join(re.escape(n) for n in _properties(tool) if n not in seen)
    follows = re.compile(r"\s*(?:</call>|(?:```\s*)?\Z" + (rf"|<(?:{others})>" if others else "") + ")")
    first = position = reply.find(close, at)
    while position >= 0:
        if follows.match(reply, position + len(close)):
            return position
        position = reply.find(close, position + 1)
    return first


def _convert(values: Mapping[str, str], tool: ToolSpec) -> tuple[dict[str, Any], str]:
    arguments: dict[str, Any] = {}
    for name, raw in values.items():
        schema = _properties(tool)[name]
        try:
            arguments[name] = _typed(raw, schema)
        except ValueError:
            return arguments, f"The argument {name!r} must be of type {schema.get('type')}, not {raw[:60]!r}."
        if schema.get("enum") and arguments[name] not in schema["enum"]:
            return arguments, f"The argument {name!r} must be one of {schema['enum']}, not {raw[:60]!r}."
    return arguments, ""


def _typed(raw: str, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type", "string")
    if kind == "string":
        return raw
    text = raw.strip()
    if kind == "integer":
        return int(text)
    if kind == "number":
        return float(text)
    if kind == "boolean":
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if kind == "array" and not text.startswith("["):
        items = schema.get("items", {})
        return [_typed(part.strip(), items) for part in re.split(r"[,\n]", text) if part.strip()]
    return json.loads(text)


def _format_native(call: Mapping[str, Any]) -> str:
    function = call["function"]
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError:
        arguments = {}
    return format_call(function["name"], arguments if isinstance(arguments, dict) else {})


def _right_call(tool: ToolSpec) -> str:
    return f"A right call looks like this:\n{example(tool)}"


def _strip(value: str) -> str:
    value = value.removeprefix("\r").removeprefix("\n")
    return value.removesuffix("\n").removesuffix("\r")


def _kind(tool: ToolSpec, name: str) -> str:
    return str(_properties(tool)[name].get("type", "string"))


def _properties(tool: ToolSpec) -> Mapping[str, Mapping[str, Any]]:
    properties: Mapping[str, Mapping[str, Any]] = tool.parameters.get("properties", {})
    return properties
