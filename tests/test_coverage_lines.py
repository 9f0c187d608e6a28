"""Which lines a patch touches, and whether one of them ran."""

from __future__ import annotations

from agentmem.repair.coverage import covers_change, touched_lines

SOURCE = "def f(x):\n    y = g(\n        x,\n        2,\n    )\n    return y\n"


def test_a_line_inside_a_statement_counts_with_its_statement() -> None:
    assert covers_change({"m.py": {1, 2}}, {"m.py": {4}}, lambda path: SOURCE) is True
    assert covers_change({"m.py": {1}}, {"m.py": {4}}, lambda path: SOURCE) is False


def test_what_is_not_python_cannot_be_measured() -> None:
    assert covers_change({}, {"m.c": {1}}, lambda path: "int x;") is None
    assert covers_change({}, {"m.py": {1}}, lambda path: "def (") is None


def test_a_removal_touches_the_lines_around_it() -> None:
    assert touched_lines((), (3,)) == {2, 3}
    assert touched_lines((3,), (3,)) == {3}
    assert touched_lines((1, 2), (3,)) == {1, 2, 4, 5}


def test_what_an_import_runs_does_not_count_beside_other_lines() -> None:
    source = 'import os\n\n@cache\ndef f(\n    x=os.sep,\n):\n    # why\n    """Doc."""\n    return x\n'
    imported, called = {1, 3, 4}, {1, 3, 4, 9}

    def covers(ran: set[int], *lines: int) -> bool | None:
        return covers_change({"m.py": ran}, {"m.py": lines}, lambda path: source)

    assert [covers(imported, line) for line in (3, 5, 7, 9)] == [False] * 4
    assert [covers(called, line) for line in (3, 5, 7, 9)] == [True] * 4
    assert covers(imported, 1, 2) is True
    assert covers(imported, 1, 2, 9) is False
    assert covers(called, 1, 2, 9) is True
