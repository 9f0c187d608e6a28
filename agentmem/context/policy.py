"""Which part of the past a prompt carries. One table of names; every policy runs under the same loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from agentmem.context.steps import Step, ToolResult
from agentmem.errors import ConfigError
from agentmem.model.base import Message


class ContextPolicy(Protocol):
    """`render` builds the messages of the next request; `after` is told each step as it ends."""

    name: str

    def render(self, task: Sequence[Message], steps: Sequence[Step]) -> list[Message]: ...

    def after(self, step: Step) -> None: ...


class Full:
    """The whole history, verbatim."""

    name = "full"

    def render(self, task: Sequence[Message], steps: Sequence[Step]) -> list[Message]:
        return [*task, *(message for step in steps for message in turn_messages(step))]

    def after(self, step: Step) -> None:
        pass


class Mask:
    """All actions, but only the last `keep` to `2 * keep - 1` observations; older ones become a pointer.

    The border moves in jumps of `keep` turns, so that a provider's prompt cache survives between jumps
    (observation masking: arXiv 2508.21433).
    """

    name = "mask"

    def __init__(self, keep: int = 4) -> None:
        self.keep = keep

    def render(self, task: Sequence[Message], steps: Sequence[Step]) -> list[Message]:
        border = max(0, len(steps) // self.keep - 1) * self.keep
        old = (message for step in steps[:border] for message in turn_messages(step, masked=True))
        recent = (message for step in steps[border:] for message in turn_messages(step))
        return [*task, *old, *recent]

    def after(self, step: Step) -> None:
        pass


def turn_messages(step: Step, *, masked: bool = False) -> list[Message]:
    """The messages of one step: the model's own, then one for each tool result, then any feedback."""
    messages = [step.message]
    for result in step.results:
        text = _pointer(result) if masked else result.text
        messages.append(
            {"role": "tool", "tool_call_id": result.call_id, "name": result.name, "content": text}
        )
    if step.feedback:
        messages.append({"role": "user", "content": step.feedback})
    return messages


def _pointer(result: ToolResult) -> str:
    lines = result.text.count("\n") + 1
    if lines < 3:
        return result.text
    how = f"; recall {result.archive} shows it" if result.archive else "; repeat the call to see it"
    return f"[{lines} lines of output left out{how}]"


POLICIES: dict[str, Callable[[], ContextPolicy]] = {"full": Full, "mask": Mask}


def open_policy(name: str) -> ContextPolicy:
    """The policy of that name. Raises ConfigError for an unknown one."""
    if name not in POLICIES:
        raise ConfigError(f"unknown context policy {name!r}", f"use one of: {', '.join(POLICIES)}")
    return POLICIES[name]()
