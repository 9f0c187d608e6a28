"""The edit tool: exact, unique, and helpful when it is neither."""

from __future__ import annotations

import pytest

from agentmem.agent.edit import EditError, replace_once

TEXT = "def a():\n    return 1\n\ndef b():\n    return 1\n"


def test_replaces_the_one_occurrence() -> None:
    assert replace_once(TEXT, "def b():\n    return 1", "def b():\n    return 2").endswith("return 2\n")


def test_an_ambiguous_text_names_its_lines() -> None:
    with pytest.raises(EditError, match=r"occurs 2 times \(lines 2, 5\)"):
        replace_once(TEXT, "    return 1", "    return 2")


def test_a_missing_text_shows_the_nearest() -> None:
    with pytest.raises(EditError) as caught:
        replace_once(TEXT, "def b() :\n    return  1", "x")
    assert "nearest text is at lines 4-5:\ndef b():\n    return 1" in str(caught.value)


def test_nothing_like_it_shows_nothing() -> None:
    with pytest.raises(EditError) as caught:
        replace_once(TEXT, "%%%%%%%%", "x")
    assert "nearest" not in str(caught.value)


def test_line_numbers_copied_from_a_view_are_taken_off() -> None:
    numbered = "    4 def b():\n    5     return 1"
    assert replace_once(TEXT, numbered, "    4 def b():\n    5     return 3").endswith(
        "def b():\n    return 3\n"
    )


def test_carriage_returns_are_kept() -> None:
    assert replace_once("a\r\nb\r\nc\r\n", "a\nb", "a\nx") == "a\r\nx\r\nc\r\n"
