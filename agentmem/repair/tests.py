"""Running a project's existing tests and reading what each one did."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentmem.sandbox.base import Completed, Sandbox
from agentmem.text import clip

_REPORT = "/tmp/agentmem-junit.xml"  # inside the sandbox


@dataclass(frozen=True, slots=True)
class TestRun:
    """One run of tests. `results` maps a test's id to passed, failed or skipped; `output` is its tail."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    results: dict[str, str] = field(default_factory=dict)
    timed_out: bool = False
    output: str = ""
    seconds: float = 0.0

    def count(self, result: str) -> int:
        return sum(1 for each in self.results.values() if each == result)

    def named(self, result: str) -> set[str]:
        return {name for name, each in self.results.items() if each == result}


def is_pytest(test_command: str) -> bool:
    return "pytest" in test_command or "py.test" in test_command


def run_tests(sandbox: Sandbox, test_command: str, files: Sequence[str], timeout: float) -> TestRun:
    """Run `files` by the project's test command.

    pytest is asked for a report of each test; any other command is run as it stands and counts as one test,
    named by the command, that passes with exit code 0; but for unittest's, when it found no test.
    """
    if not is_pytest(test_command):
        done = sandbox.run(test_command, timeout)
        result = {test_command: "passed" if done.exit_code == 0 else "failed"}
        nothing = done.timed_out or re.search(r"^Ran 0 tests in ", done.output, re.MULTILINE)
        return _run(done, {} if nothing else result)
    command = (
        f"rm -f {_REPORT}; {test_command} --tb=short -q --junitxml={_REPORT} "
        f"-- {' '.join(map(shlex.quote, files))}"
    )
    done = sandbox.run(command, timeout)
    try:
        report = sandbox.read(_REPORT)
    except (OSError, ValueError):
        report = b""
    return _run(done, _parse(report))


def _run(done: Completed, results: dict[str, str]) -> TestRun:
    return TestRun(results, done.timed_out, clip(done.output, 6_000, keep="tail"), done.seconds)


def _parse(report: bytes) -> dict[str, str]:
    """Test ids and results of a JUnit report; a test reported twice counts as its worst result."""
    try:
        root = ElementTree.fromstring(report)
    except ElementTree.ParseError:
        return {}
    results: dict[str, str] = {}
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"} or results.get(name) == "failed":
            results[name] = "failed"
        elif "skipped" in kinds:
            results.setdefault(name, "skipped")
        else:
            results[name] = "passed"
    return results
