"""What the tools do: each takes the model's arguments and answers with text, also when it failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentmem.agent.edit import EditError, replace_once
from agentmem.context.steps import ToolResult
from agentmem.model.base import ToolCall, ToolSpec
from agentmem.sandbox.base import Sandbox
from agentmem.text import clip

VIEW_LINES = 250


class ToolError(Exception):
    """A call that could not be done, in words for the model."""


class Archive(Protocol):
    """Where whole outputs are kept when the model is shown only a part."""

    def put(self, text: str) -> str: ...

    def get(self, name: str) -> str | None: ...


@dataclass(frozen=True)
class Toolbox:
    """The tools of one agent, bound to its sandbox.

    `find` ranks symbols and files for a query and a limit; `tracked` says whether a path belongs to the base
    commit; `cap` is the length in characters of what the model is shown of one output; `hint` says what a
    command's exit code means for the role; `clean` takes known secrets out of what is shown and kept;
    `protected` names the files that `edit` leaves alone, with the reason.
    """

    sandbox: Sandbox
    specs: tuple[ToolSpec, ...]
    find: Callable[[str, int], str]
    tracked: Callable[[str], bool]
    archive: Archive
    cap: int
    timeout: float
    hint: Callable[[str, int], str] = lambda _command, _exit_code: ""
    clean: Callable[[str], str] = str
    protected: Mapping[str, str] = field(default_factory=dict)

    def run(self, call: ToolCall) -> ToolResult:
        """The result of one call that is not a submission. Raises SandboxError when the sandbox is lost."""
        problem = call.problem or self._check(call)
        if problem:
            return ToolResult(call.id, call.name, problem, ok=False)
        try:
            text = _TOOLS[call.name](self, call.arguments)
            ok = True
        except (ToolError, EditError) as error:
            text, ok = str(error), False
        text = self.clean(text)
        name = self.archive.put(text) if len(text) > self.cap else ""
        shown = clip(text, self.cap)
        if name:
            lines = text.count("\n") + 1
            shown += f"\n[cut; recall {name} with start and end shows more of its {lines} lines]"
        return ToolResult(call.id, call.name, shown, ok, name)

    def _check(self, call: ToolCall) -> str:
        """What is wrong with a call's name or arguments; empty when nothing is."""
        spec = next((spec for spec in self.specs if spec.name == call.name), None)
        if spec is None:
            return f"there is no tool {call.name!r}; the tools are: {', '.join(s.name for s in self.specs)}"
        properties, required = spec.parameters["properties"], spec.parameters["required"]
        missing = [name for name in required if name not in call.arguments]
        if missing:
            return f"{call.name} needs {', '.join(missing)}"
        for name, value in call.arguments.items():
            if name not in properties:
                return f"{call.name} has no argument {name!r}; it takes {', '.join(properties)}"
            wanted = {"string": str, "integer": int}[properties[name]["type"]]
            if not isinstance(value, wanted) or isinstance(value, bool):
                return f"{call.name}: {name} must be of type {properties[name]['type']}"
        return ""

    def check_submission(self, call: ToolCall) -> str:
        """What is wrong with a submission's arguments; empty when nothing is."""
        return call.problem or self._check(call)


def _bash(box: Toolbox, arguments: Mapping[str, Any]) -> str:
    command = arguments["command"]
    if "\0" in command:
        raise ToolError("the command holds a NUL byte")
    timeout = min(float(arguments.get("timeout") or box.timeout), box.timeout)
    done = box.sandbox.run(command, max(1.0, timeout))
    state = f"killed after {timeout:g} s" if done.timed_out else f"exit code {done.exit_code}"
    hint = box.hint(command, done.exit_code)
    return f"{done.output.rstrip()}\n[{state}]{' ' if hint else ''}{hint}".lstrip("\n")


def _find(box: Toolbox, arguments: Mapping[str, Any]) -> str:
    limit = min(max(1, arguments.get("limit") or 10), 50)
    return box.find(arguments["query"], limit) or "nothing found"


def _view(box: Toolbox, arguments: Mapping[str, Any]) -> str:
    path = arguments["path"]
    try:
        text = _decode(box.sandbox.read(path))
    except IsADirectoryError:
        return box.sandbox.run(f"ls -la -- {_quote(path)}", box.timeout).output
    except (OSError, ValueError) as error:
        raise ToolError(_reason(path, error)) from None
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    start = max(1, arguments.get("start") or 1)
    end = min(len(lines), arguments.get("end") or start + VIEW_LINES - 1)
    if start > len(lines):
        raise ToolError(f"{path} has {len(lines)} lines")
    numbered = "\n".join(f"{number:>5} {lines[number - 1]}" for number in range(start, end + 1))
    rest = f"\n[lines {start}-{end} of {len(lines)}]" if (start, end) != (1, len(lines)) else ""
    return numbered + rest


def _edit(box: Toolbox, arguments: Mapping[str, Any]) -> str:
    path, old, new = arguments["path"], arguments["old"], arguments["new"]
    if not path.strip() or "\0" in path:
        raise ToolError("the path is empty or holds a NUL byte")
    if reason := box.protected.get(path.removeprefix(box.sandbox.root.rstrip("/") + "/")):
        raise ToolError(reason)
    try:
        before: str | None = _decode(box.sandbox.read(path), strict=True)
    except FileNotFoundError:
        before = None
    except UnicodeDecodeError:
        raise ToolError(f"{path} is not UTF-8 text: use bash to change it") from None
    except (OSError, ValueError) as error:
        raise ToolError(_reason(path, error)) from None
    if old:
        if before is None:
            raise ToolError(f"there is no file {path}; an empty `old` creates it")
        after = replace_once(before, old, new)
        if after == before:
            raise ToolError("`old` and `new` are the same: nothing would change")
    else:
        if before and box.tracked(path):
            raise ToolError(f"{path} exists: give the text to replace as `old`")
        after = new if new.endswith("\n") or not new else new + "\n"
    try:
        box.sandbox.write(path, after.encode())
    except (OSError, ValueError) as error:
        raise ToolError(_reason(path, error)) from None
    return f"{'changed' if before else 'created'} {path}{_region(after, new)}"


def _recall(box: Toolbox, arguments: Mapping[str, Any]) -> str:
    text = box.archive.get(arguments["query"].strip())
    if text is None:
        raise ToolError("nothing is kept under that id")
    start, end = arguments.get("start"), arguments.get("end")
    if start or end:
        text = "\n".join(text.split("\n")[max(0, (start or 1) - 1) : end])
    return text


def _region(text: str, new: str) -> str:
    """The lines around a change, so that the model sees what the file says now."""
    at = text.find(new) if new.strip() else -1
    if at < 0:
        return ""
    first = max(1, text.count("\n", 0, at) - 1)
    lines = text.removesuffix("\n").split("\n")
    last = min(len(lines), first + new.count("\n") + 5)
    if last - first > 40:
        return ""
    return "\n" + "\n".join(f"{number:>5} {lines[number - 1]}" for number in range(first, last + 1))


def _decode(data: bytes, *, strict: bool = False) -> str:
    return data.decode("utf-8", "strict" if strict else "replace")


def _quote(path: str) -> str:
    import shlex

    return shlex.quote(path)


def _reason(path: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: there is no such file"
    return f"{path}: {'it is a folder' if isinstance(error, IsADirectoryError) else error}"


_TOOLS: dict[str, Callable[[Toolbox, Mapping[str, Any]], str]] = {
    "bash": _bash,
    "find": _find,
    "view": _view,
    "edit": _edit,
    "recall": _recall,
}
