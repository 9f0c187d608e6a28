"""The text protocol: what is written can be read back, and what cannot be read says why."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agentmem.model.base import ToolSpec
from agentmem.model.canonical import assistant_message
from agentmem.model.grammar import grammar
from agentmem.model.protocol import describe, format_call, parse, render


def spec(name: str, required: list[str], **properties: Mapping[str, object]) -> ToolSpec:
    return ToolSpec(name, f"Does {name}.", {"type": "object", "properties": properties, "required": required})


TEXT = {"type": "string"}
BASH = spec("bash", ["command"], command=TEXT, timeout={"type": "integer"})
EDIT = spec("edit", ["path", "old", "new"], path=TEXT, old=TEXT, new=TEXT)
REVIEW = spec(
    "submit_review",
    ["ranking", "reason"],
    ranking={"type": "array", "items": {"type": "integer"}},
    reason=TEXT,
)
TOOLS = [BASH, EDIT, REVIEW]

EDIT_CALL = """I see it.

<call tool="edit">
<path>src/x.py</path>
<old>
    return a - b
</old>
<new>
    return a + b

</new>
</call>"""


def test_a_call_is_read_with_raw_code() -> None:
    parsed = parse(EDIT_CALL, TOOLS, "patch-c0-r0-001")
    assert parsed.text == "I see it."
    (call,) = parsed.calls
    assert (call.id, call.name, call.problem) == ("patch-c0-r0-001-0", "edit", "")
    assert call.arguments == {"path": "src/x.py", "old": "    return a - b", "new": "    return a + b\n"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "\n",
        "x",
        "\nx\n",
        "a\n\nb\n",
        "if a < b << 2 and '</new' in c:",
        '&amp; "quoted" \\n ]]>',
        "  x  ",
    ],
)
def test_what_is_written_is_read_back(value: str) -> None:
    arguments = {"path": "a.py", "old": value, "new": f"{value}!"}
    (call,) = parse(format_call("edit", arguments), TOOLS).calls
    assert call.problem == ""
    assert call.arguments == arguments


def test_a_value_may_hold_its_own_closing_tag() -> None:
    code = 'page = "<old></old>"\nend = "</call>"\n'
    (call,) = parse(format_call("edit", {"path": "a.py", "old": code, "new": code}), TOOLS).calls
    assert call.problem == ""
    assert call.arguments["old"] == code
    assert call.arguments["new"] == code


def test_types_follow_the_schema() -> None:
    parsed = parse(
        '<call tool="bash"><command>ls</command><timeout> 30 </timeout></call>\n'
        '<call tool="submit_review"><ranking>1, 0, 2</ranking><reason>why</reason></call>'
        '<call tool="submit_review"><ranking>[2]</ranking><reason>why</reason></call>',
        TOOLS,
    )
    assert [dict(call.arguments) for call in parsed.calls] == [
        {"command": "ls", "timeout": 30},
        {"ranking": [1, 0, 2], "reason": "why"},
        {"ranking": [2], "reason": "why"},
    ]
    assert len({call.id for call in parsed.calls}) == 3


@pytest.mark.parametrize(
    "reply",
    [
        'Look:\n```xml\n<call tool="bash">\n<command>ls</command>\n</call>\n```',
        'Look:\n<call tool="bash">\n<command>ls</command>\n',
        "Look:\n<call tool=bash>\n<command>\nls\n</command>\n</call> and then more words",
        "Look:\n```\n<call tool='bash'><command>ls</command>\n```\n",
    ],
)
def test_fences_and_a_missing_end_are_forgiven(reply: str) -> None:
    parsed = parse(reply, TOOLS)
    assert parsed.text == "Look:"
    (call,) = parsed.calls
    assert (call.problem, call.arguments) == ("", {"command": "ls"})


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('<call tool="run"><command>ls</command></call>', "no tool 'run'; the tools are: bash, edit"),
        ('<call tool="edit"><path>a</path><old>b</old></call>', "lacks the required argument 'new'"),
        ('<call tool="bash"><command>ls', "<command> is never closed by </command>"),
        ('<call tool="bash"><command>ls</command><timeout>soon</timeout></call>', "must be of type integer"),
        (
            '<call tool="bash"><cmd>ls</cmd></call>',
            "'bash' has no argument 'cmd'; its arguments are: command",
        ),
        ('<call tool="bash">ls</call>', "text outside of an argument: 'ls</call>'"),
        ('<call tool="bash"><command>a</command><command>b</command></call>', "given twice"),
        ("<call>bash</call>", 'must read <call tool="NAME">'),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_shows_a_right_one(reply: str, said: str) -> None:
    (call,) = parse(reply, TOOLS).calls
    assert said in call.problem
    assert "A right call looks like this:\n<call tool=" in call.problem


def test_the_shown_right_call_is_right() -> None:
    (call,) = parse('<call tool="edit"></call>', TOOLS).calls
    (shown,) = parse(call.problem, TOOLS).calls
    assert (shown.name, shown.problem) == ("edit", "")


def test_plain_text_is_no_call() -> None:
    assert parse("  Nothing to do. a < b\n", TOOLS).calls == ()
    assert parse("  Nothing to do.\n", TOOLS).text == "Nothing to do."


def test_messages_become_plain_and_alternate() -> None:
    parsed = parse(EDIT_CALL, TOOLS)
    history = [
        {"role": "system", "content": "You repair bugs."},
        {"role": "user", "content": "Fix it."},
        assistant_message(EDIT_CALL, parsed.calls),
        {"role": "tool", "tool_call_id": "call-0", "name": "edit", "content": "done"},
        {"role": "user", "content": "Go on."},
        {  # a turn of a model with native calls, as a resumed run may hold
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "x",
                    "type": "function",
                    "function": {"name": "bash", "arguments": '{"command": "ls"}'},
                }
            ],
        },
    ]
    plain = render(history, TOOLS)
    assert [m["role"] for m in plain] == ["system", "user", "assistant", "user", "assistant"]
    assert plain[0]["content"].startswith("You repair bugs.\n\n# Tools")
    assert plain[2]["content"] == EDIT_CALL
    assert plain[3]["content"] == "Result of edit:\ndone\n\nGo on."
    assert parse(plain[4]["content"], TOOLS).calls[0].arguments == {"command": "ls"}
    assert history[1] == {"role": "user", "content": "Fix it."}, "the caller's messages are not changed"


def test_tool_docs_stand_alone_without_a_system_message() -> None:
    plain = render([{"role": "user", "content": "Hi"}], [BASH])
    assert [m["role"] for m in plain] == ["system", "user"]
    assert "- timeout (integer, optional)" in describe([BASH])


def test_the_grammar_names_every_tool_and_argument() -> None:
    text = grammar(TOOLS)
    assert text.startswith("root ::= thought ( call-0 | call-1 | call-2 )\n")
    assert (
        r'call-0 ::= "<call tool=\"bash\">\n" "<command>" value "</command>\n" ( "<timeout>" integer' in text
    )
