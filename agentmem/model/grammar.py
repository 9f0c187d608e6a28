"""A GBNF grammar (llama.cpp) that forces a short thought and exactly one well-formed call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentmem.model.base import ToolSpec

THOUGHT_CHARS = 400

_RULES = r"""
value ::= ( [^<] | "<"+ [^</] )*
integer ::= "-"? [0-9]{1,9}
number ::= "-"? [0-9]{1,9} ( "." [0-9]{1,9} )?
boolean ::= "true" | "false"
"""


def grammar(tools: Sequence[ToolSpec], thought_chars: int = THOUGHT_CHARS) -> str:
    """GBNF for replies to these tools.

    Arguments stand in the order of the schema; optional ones may be left out. A value is any text
    without `</`. Without tools, any text.
    """
    if not tools:
        return "root ::= [^\\x00]*\n"
    names = [f"call-{number}" for number in range(len(tools))]
    lines = [f"root ::= thought ( {' | '.join(names)} )", f"thought ::= [^<]{{0,{thought_chars}}}"]
    for rule, tool in zip(names, tools, strict=True):
        required = set(tool.parameters.get("required", ()))
        parts = [_literal(f'<call tool="{tool.name}">\n')]
        for name, schema in tool.parameters.get("properties", {}).items():
            argument = f"{_literal(f'<{name}>')} {_value(schema)} {_literal(f'</{name}>' + chr(10))}"
            parts.append(argument if name in required else f"( {argument} )?")
        lines.append(f"{rule} ::= {' '.join([*parts, _literal('</call>')])}")
    return "\n".join(lines) + _RULES


def _value(schema: Mapping[str, Any]) -> str:
    if schema.get("enum"):
        return "( " + " | ".join(_literal(str(choice)) for choice in schema["enum"]) + " )"
    kind = schema.get("type", "string")
    return kind if kind in ("integer", "number", "boolean") else "value"


def _literal(text: str) -> str:
    return json.dumps(text)
