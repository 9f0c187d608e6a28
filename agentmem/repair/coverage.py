"""Did the reproducer execute a changed line? Measured by coverage.py, where the sandbox has it."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from agentmem.sandbox.base import Sandbox

_FOLDER = "/tmp/agentmem-coverage"  # inside the sandbox
_CONFIG = f"{_FOLDER}/rc"


def start_measuring(sandbox: Sandbox) -> str:
    """Prepare the measurement; returns what a command must be prefixed with, empty where it cannot be done.

    The environment's start-up hook (sandbox/environment.py) makes every Python process measure itself once
    COVERAGE_PROCESS_START is set, subprocesses included.
    """
    if sandbox.run("python -c 'import coverage'", 60).exit_code != 0:
        return ""
    sandbox.write(
        _CONFIG, f"[run]\nparallel = true\ndata_file = {_FOLDER}/data\nsource = {sandbox.root}\n".encode()
    )
    return f"export COVERAGE_PROCESS_START={_CONFIG}; "


def executed_lines(sandbox: Sandbox, paths: Iterable[str]) -> dict[str, set[int]] | None:
    """Lines of `paths` that were executed since `start_measuring`; None when nothing was measured."""
    include = shlex.quote(",".join(f"{sandbox.root}/{path}" for path in paths))
    done = sandbox.run(
        f"python -m coverage combine -q --rcfile={_CONFIG} && "
        f"python -m coverage json -q --rcfile={_CONFIG} --include={include} -o {_FOLDER}/report.json",
        120,
    )
    if done.exit_code != 0:
        return None
    try:
        files = json.loads(sandbox.read(f"{_FOLDER}/report.json"))["files"]
        return {
            str(path).removeprefix(sandbox.root + "/"): {int(line) for line in data["executed_lines"]}
            for path, data in files.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # written by untrusted code
        return None


def touched_lines(added: Sequence[int], removed: Sequence[int]) -> set[int]:
    """The lines of the patched file that a patch touches: those added, and the two around each removal.

    `added` counts in the patched file, `removed` in the old one.
    """
    lines = set(added)
    for old in removed:
        kept = old - 1 - sum(1 for other in removed if other < old)
        new = kept
        for line in sorted(added):
            if line <= new:
                new += 1
        if new + 1 not in added:  # else it was replaced, and its replacement must have run
            lines |= {new, new + 1}
    return lines


def covers_change(
    executed: Mapping[str, set[int]],
    changed: Mapping[str, Iterable[int]],
    read: Callable[[str], str | None],
) -> bool | None:
    """Whether any changed line was executed; None when no changed file is Python that can be parsed.

    `changed` holds line numbers in the patched files, `read` their patched text. A line inside a statement
    counts as executed when its statement was, since coverage reports first lines only.
    """
    judged = False
    for path, lines in changed.items():
        text = read(path) if path.endswith(".py") else None
        if text is None:
            continue
        try:
            starts = _statement_starts(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        judged = True
        if any(starts.get(line, line) in executed.get(path, set()) for line in lines):
            return True
    return False if judged else None


def _statement_starts(text: str) -> dict[int, int]:
    """For each line of a statement, the line on which its innermost statement begins."""
    starts: dict[int, int] = {}
    for node in ast.walk(ast.parse(text)):  # parents come before their children, which then overwrite
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            for line in range(node.lineno, max(last, node.lineno) + 1):
                starts[line] = node.lineno
    return starts
