"""What a language model is to the rest of the house: one call that turns messages into a reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# A message in the chat form every provider understands: {"role": "system" | "user" | "assistant" | "tool",
# "content": str}; an assistant message may hold "tool_calls", a tool message holds "tool_call_id" and "name".
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lane:
    """The address of one reply in a run. Replies are found by it, never by their order in time.

    `round` counts refinements of one candidate (or attempts at a reproducer), `turn` the calls in that round;
    all three numbers count from 0.
    """

    role: str
    candidate: int = 0
    round: int = 0
    turn: int = 0

    def __str__(self) -> str:
        return f"{self.role}-c{self.candidate}-r{self.round}-{self.turn:03d}"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it. `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of a reply. `problem` is not empty when the arguments could not be read."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `cached` counts those of `prompt` that the provider read from its cache."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    exact: bool = True

    @property
    def total(self) -> int:
        return self.prompt + self.completion


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a model.

    `cost` is in US dollars, None when the price is unknown. `stop` is "stop", "tool_calls", "length" or
    another reason of the provider. `message` is the provider's own assistant message, opaque: it is echoed
    while its turn is still raw, so that signed thinking survives. `seconds` is the wall time of the call.
    """

    text: str
    calls: tuple[ToolCall, ...]
    usage: Usage
    cost: float | None
    stop: str
    message: Message
    seconds: float = 0.0
    replayed: bool = False


class Model(Protocol):
    """A language model.

    `name` is what the user called it; `window` is its context in tokens, None when unknown.
    `complete` raises ProviderError, or ConfigError when a key or a file is missing.
    `close` may be called twice.
    """

    name: str
    window: int | None

    def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        lane: Lane,
        temperature: float,
        max_tokens: int,
    ) -> Reply: ...

    def close(self) -> None: ...
