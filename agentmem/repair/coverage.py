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
    settings = (
        f"[run]\nparallel = true\ndata_file = {_FOLDER}/data\nsource = {sandbox.root}\n"
        "[report]\nexclude_lines = (?!)\n"  # nothing: a line marked `no cover` runs all the same
    )
    sandbox.write(_CONFIG, settings.encode())
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
    counts as executed when its statement was, since coverage reports first lines only. What an import of the
    module alone executes says little: the head of a function counts when its body ran, and an import
    statement only where nothing but imports was changed.
    """
    judged = False
    strong: list[bool] = []
    weak: list[bool] = []
    for path, lines in changed.items():
        text = read(path) if path.endswith(".py") else None
        if text is None:
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        judged = True
        ran, proofs = executed.get(path, set()), _proofs(tree)
        imports = _import_lines(tree)
        for line in lines:
            if line in proofs:
                (weak if line in imports else strong).append(bool(ran & proofs[line]))
    return any(strong or weak) if judged else None


def _proofs(tree: ast.Module) -> dict[int, set[int]]:
    """For each line, those of which one must have run for its innermost statement to count.

    That is the statement's first line, but for the head of a function (decorators, name, arguments) its body.
    """
    proofs: dict[int, set[int]] = {}
    for node in ast.walk(tree):  # parents come before their children, which then overwrite
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            first, last = node.lineno, body[0].lineno - 1 if body else node.end_lineno or node.lineno
            proof = {first}
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([first, *(each.lineno for each in node.decorator_list)])
                proof = _lines_of(node.body) or proof
            proofs |= dict.fromkeys(range(first, max(last, node.lineno) + 1), proof)
    return proofs


def _lines_of(body: list[ast.stmt]) -> set[int]:
    """First lines of all statements of a function's body; its docstring never runs."""
    inner = body[1:] if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) else body
    return {node.lineno for each in inner for node in ast.walk(each) if isinstance(node, ast.stmt)}


def _import_lines(tree: ast.Module) -> set[int]:
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {line for node in imports for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
