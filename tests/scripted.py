"""A model that says what a test wrote down for it: the one scripted part; everything around it is real."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentmem.errors import ProviderError
from agentmem.model.base import Lane, Message, Reply, ToolCall, ToolSpec, Usage

Call = tuple[str, dict[str, Any]]
Line = Sequence[Call] | str | BaseException


class Scripted:
    """Replies by role, in order: each line is a list of calls, a text without calls, or an error to raise.

    With `by_lane`, replies are keyed by `str(Lane)`, so that a resumed run gets the reply of its turn.
    """

    def __init__(
        self,
        lines: Mapping[str, Sequence[Line]] | None = None,
        *,
        by_lane: Mapping[str, Line] | None = None,
        cost: float | None = 0.001,
        tokens: int = 100,
        window: int | None = None,
        before: Callable[[Lane], None] = lambda lane: None,
    ) -> None:
        self.name = "scripted"
        self.window = window
        self.requests: list[tuple[Lane, list[Message]]] = []
        self._queues = {role: list(each) for role, each in (lines or {}).items()}
        self._by_lane = dict(by_lane or {})
        self._cost, self._tokens, self._before = cost, tokens, before

    def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        lane: Lane,
        temperature: float,
        max_tokens: int,
    ) -> Reply:
        self._before(lane)
        self.requests.append((lane, [dict(message) for message in messages]))
        line = self._next(lane)
        if isinstance(line, BaseException):
            raise line
        text = line if isinstance(line, str) else ""
        calls = () if isinstance(line, str) else tuple(_call(lane, n, c) for n, c in enumerate(line))
        message: Message = {"role": "assistant", "content": text}
        usage = Usage(prompt=self._tokens, completion=10)
        return Reply(text, calls, usage, self._cost, "stop", message, seconds=0.0)

    def close(self) -> None:
        pass

    def _next(self, lane: Lane) -> Line:
        if str(lane) in self._by_lane:
            return self._by_lane[str(lane)]
        queue = self._queues.get(lane.role, [])
        if not queue:
            raise ProviderError(f"the script has no reply for {lane}")
        return queue.pop(0)


def _call(lane: Lane, number: int, call: Call) -> ToolCall:
    name, arguments = call
    return ToolCall(f"call-{lane}-{number}", name, arguments)
