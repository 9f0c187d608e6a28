"""The tools as the model sees them: names and arguments are a contract (docs/tools.md)."""

from __future__ import annotations

from typing import Any

from agentmem.model.base import ToolSpec


def _spec(name: str, description: str, required: dict[str, Any], optional: dict[str, Any]) -> ToolSpec:
    parameters = {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }
    return ToolSpec(name, description, parameters)


def _text(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}


def _number(description: str) -> dict[str, str]:
    return {"type": "integer", "description": description}


BASH = _spec(
    "bash",
    "Run a shell command in the repository's root, in a sandbox without network.",
    {"command": _text("the command")},
    {"timeout": _number("seconds, 120 by default")},
)
FIND = _spec(
    "find",
    "Search the repository for symbols and files that match words, names or an error message.",
    {"query": _text("words to look for")},
    {"limit": _number("number of results, 10 by default")},
)
VIEW = _spec(
    "view",
    "Show a file with line numbers, or list a folder.",
    {"path": _text("relative to the repository's root")},
    {"start": _number("first line"), "end": _number("last line")},
)
EDIT = _spec(
    "edit",
    "Replace one exact piece of a file. An empty `old` creates the file with `new` as its content.",
    {
        "path": _text("relative to the repository's root"),
        "old": _text("the exact text to replace, which must occur exactly once; empty for a new file"),
        "new": _text("the text to put there"),
    },
    {},
)
RECALL = _spec(
    "recall",
    "Show an earlier output that was cut, by its id.",
    {"query": _text("the id, for example obs-12")},
    {"start": _number("first line to show"), "end": _number("last line to show")},
)
SUBMIT_REPRODUCER = _spec(
    "submit_reproducer",
    "Hand in the reproducer. It is run again by the harness, in a fresh copy of the repository.",
    {
        "path": _text("the reproducer's file, one that you created"),
        "command": _text("the command that runs it, from the repository's root"),
        "reason": _text("one sentence: what fails, and what should happen"),
    },
    {},
)
SUBMIT_PATCH = _spec(
    "submit_patch",
    "Hand in the changes made to the repository's files. They are checked in a fresh copy.",
    {"explanation": _text("one to three sentences: the cause, and what the patch does about it")},
    {},
)

ROLES: dict[str, tuple[ToolSpec, ...]] = {
    "reproduce": (BASH, FIND, VIEW, EDIT, RECALL, SUBMIT_REPRODUCER),
    "patch": (BASH, FIND, VIEW, EDIT, RECALL, SUBMIT_PATCH),
}
READ_ONLY = frozenset({"find", "view", "recall", "submit_reproducer", "submit_patch"})
SUBMITS = frozenset({"submit_reproducer", "submit_patch"})
