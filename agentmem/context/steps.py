"""The record of one turn: what the model said, what it called, what came back."""

from __future__ import annotations

from dataclasses import dataclass

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
