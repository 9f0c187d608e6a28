"""What counts as a reproduced bug, and what is only a broken test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentmem.repair.failure import judge_failure
from agentmem.sandbox.base import Completed

LIBRARY = """
def double(x):
    return x + x + 1

def explode(x):
    raise KeyError(x)

class Empty(Exception):
    pass

def take():
    raise Empty("file not found: x")
"""


def run(tmp_path: Path, test: str, *command: str) -> Completed:
    """Really run `test` beside a small library."""
    (tmp_path / "lib.py").write_text(LIBRARY)
    (tmp_path / "check.py").write_text(test)
    done = subprocess.run(
        [sys.executable, *(command or ("check.py",))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    return Completed(done.returncode, done.stdout + done.stderr, False, False, 0.1)


def accepted(tmp_path: Path, done: Completed) -> tuple[bool, str]:
    failure = judge_failure(done, "check.py", lambda path: path == "lib.py", str(tmp_path))
    return failure.accepted, failure.why


@pytest.mark.parametrize(
    ("test", "counts", "why"),
    [
        ("import lib\nassert lib.double(2) == 4, 'wrong'", True, "assertion"),
        ("import lib\nlib.explode(1)", True, "raised through lib.py"),
        ("import unittest, lib\nclass T(unittest.TestCase):\n  def test(self): "
         "self.assertEqual(lib.double(1), 2)\nunittest.main()", True, "assertion"),
        ("import lib\nlib.take()", True, "Empty was raised through lib.py"),
        ("import lib\nassert lib.double(2) == 4, 'not found: 4'", True, "assertion"),
        ("import lib\nassert lib.double(2) == 5", False, "passes now"),
        ("import lib\nassert lib.double(2 == 4", False, "not valid"),
        ("import nowhere", False, "import fails"),
        ("import lib\nlib.dubble(2)", False, "comes from the reproducer"),
        ("undefined_name", False, "comes from the reproducer"),
        ("import sys\nprint('bug!')\nsys.exit(1)", False, "without an assertion"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", False, "signal"),
    ],
)  # fmt: skip
def test_plain_scripts(tmp_path: Path, test: str, counts: bool, why: str) -> None:
    got, said = accepted(tmp_path, run(tmp_path, test))
    assert got is counts, said
    assert why in said


@pytest.mark.parametrize(
    ("test", "counts", "why"),
    [
        ("import lib\ndef test(): assert lib.double(2) == 4", True, "assertion"),
        ("import lib\ndef test(): lib.explode(2)", True, "through lib.py"),
        ("import lib\ndef test(): lib.take()", True, "Empty was raised through lib.py"),
        (
            "import lib, pytest\ndef test():\n  with pytest.raises(ValueError): lib.double(2)",
            True,
            "assertion",
        ),
        ("import nowhere\ndef test(): pass", False, "collect"),
        ("def test(:", False, "collect"),
        ("x = 1", False, "collect"),
        ("import lib\ndef test(): lib.dubble(2)", False, "comes from the reproducer"),
    ],
)
def test_under_pytest(tmp_path: Path, test: str, counts: bool, why: str) -> None:
    got, said = accepted(
        tmp_path, run(tmp_path, test, "-m", "pytest", "-q", "-p", "no:cacheprovider", "check.py")
    )
    assert got is counts, said
    assert why in said


def test_a_time_out_does_not_count_and_says_how_to_guard() -> None:
    failure = judge_failure(Completed(124, "", False, True, 5.0), "check.py", lambda path: True, "/w")
    assert not failure.accepted
    assert "signal.alarm" in failure.advice


def test_an_alarm_that_asserts_counts(tmp_path: Path) -> None:
    test = (
        "import signal\ndef stop(*_): raise AssertionError('hangs')\n"
        "signal.signal(signal.SIGALRM, stop)\nsignal.alarm(1)\nwhile True: pass"
    )
    assert accepted(tmp_path, run(tmp_path, test)) == (True, "an assertion does not hold")
