"""Is a failing command evidence of the bug, or only a broken test? Decided from its output, by rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from agentmem.sandbox.base import Completed

_FRAME = re.compile(r'^\s*File "(?P<path>[^"]+)", line \d+(?:, in .+)?$', re.MULTILINE)
_PYTEST_FRAME = re.compile(r"^(?P<path>[^\s:][^:\n]*\.py):\d+: (?:in .+|[A-Za-z_.]+)?$", re.MULTILINE)
_EXCEPTION = re.compile(
    r"^(?:E\s+)?(?P<name>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Failure|Iteration)|Failed)"
    r"(?::\s?(?P<text>.*))?$"
    r"|^E\s+(?P<bare>assert\b.*)$",  # pytest leaves the name out where it rewrites an assertion
    re.MULTILINE,
)
_COLLECTION = re.compile(
    r"Interrupted: \d+ errors? during collection|^_+ ERROR collecting "
    r"|^ERROR: (?:file or directory )?not found: |^(?:=+ )?no tests ran in |^NO TESTS RAN",
    re.MULTILINE,
)
# An exception by any other name: what ends a traceback, or what pytest says at its place.
_ANY_EXCEPTION = re.compile(
    r"(?:^Traceback \(most recent call last\):\n(?:[ \t].*\n)+|^E {3,})"
    r"(?P<name>[A-Za-z_][\w.]*)(?::\s?(?P<text>.*))?$(?P<bare>)",
    re.MULTILINE,
)
_ASSERTIONS = ("AssertionError", "Failed")
_BROKEN = ("SyntaxError", "IndentationError", "TabError")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a reproducer failed. `accepted` tells whether it counts; `why` says it in words for the model."""

    accepted: bool
    why: str
    exception: str = ""
    advice: str = ""


def judge_failure(
    done: Completed,
    reproducer: str,
    tracked: Callable[[str], bool],
    root: str,
    *,
    suggested_import: str = "",
) -> Failure:
    """Whether `done`, a run of the reproducer on the base commit, shows the bug.

    `reproducer` is its path, `tracked` tells whether a path is a file of the base commit, `root` is the
    workspace's path inside the sandbox. What counts (design section 1, step 4): an assertion, or an exception
    raised in, or reached through, the repository's code. `suggested_import` is a line for the advice.
    """
    if done.timed_out:
        return Failure(False, "it timed out.", advice=_ALARM)
    if done.exit_code == 0:
        return Failure(False, "it passes now, but it must fail as long as the bug is there.", advice=_ASSERT)
    if done.exit_code in (126, 127):
        return Failure(False, "its command could not be run.", advice="Correct the command.")
    if done.exit_code < 0 or done.exit_code > 128:
        return Failure(False, f"it was killed by a signal (exit code {done.exit_code}).", advice=_ALARM)
    output = done.output
    if _COLLECTION.search(output):
        return Failure(False, "the test runner could not collect it.", advice="Correct the file.")
    exceptions = list(_EXCEPTION.finditer(output)) or list(_ANY_EXCEPTION.finditer(output))
    if not exceptions:
        return Failure(False, "it fails without an assertion or an exception.", advice=_ASSERT)
    last = exceptions[-1]
    name = (last["name"] or "AssertionError").rsplit(".", 1)[-1]
    text = f"{name}: {last['text'] or last['bare'] or ''}".rstrip(": ")
    if name in _ASSERTIONS:
        return Failure(True, "an assertion does not hold", text)
    through = _repository_frames(output, reproducer, tracked, root)
    if name in _BROKEN and not through:
        return Failure(False, f"the reproducer itself is not valid ({text}).", text, "Correct the file.")
    if through:
        return Failure(True, f"{name} was raised through {through[-1]}", text)
    start = f" The file may begin with `{suggested_import}`." if suggested_import else ""
    if name in ("ModuleNotFoundError", "ImportError"):
        advice = f"Import what the repository offers.{start}"
        return Failure(False, f"its own import fails ({text}).", text, advice)
    why = f"the exception comes from the reproducer, not from the repository ({text})."
    return Failure(False, why, text, _ASSERT + start)


def _repository_frames(output: str, reproducer: str, tracked: Callable[[str], bool], root: str) -> list[str]:
    """Files of the base commit that the printed tracebacks pass through, in order."""
    frames = [match.group("path") for match in _FRAME.finditer(output)]
    frames += [match.group("path") for match in _PYTEST_FRAME.finditer(output)]
    paths = (path.removeprefix(root.rstrip("/") + "/").removeprefix("./") for path in frames)
    return [path for path in paths if path != reproducer and tracked(path)]


_ALARM = (
    "If the bug is a hang, guard the call with signal.alarm and a handler that raises AssertionError, "
    "so that the reproducer itself ends within seconds."
)
_ASSERT = (
    "Call the repository's code as the issue does and compare the result with the wanted value in an "
    "assertion; catch an unwanted exception there and raise AssertionError."
)
