"""The record of one turn: what the model said, what it called, what came back. Plain data, JSON in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agentmem.model.base import Message, ToolCall


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model is shown of one call. `archive` names the whole text when `text` was cut."""

    call_id: str
    name: str
    text: str
    ok: bool = True
    archive: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One turn. `feedback` is the harness's own answer where no tool result could carry it."""

    round: int
    turn: int
    message: Message
    calls: tuple[ToolCall, ...]
    results: tuple[ToolResult, ...]
    feedback: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        return cls(
            round=data["round"],
            turn=data["turn"],
            message=data["message"],
            calls=tuple(ToolCall(**call) for call in data["calls"]),
            results=tuple(ToolResult(**result) for result in data["results"]),
            feedback=data["feedback"],
        )
