"""The house keeps its shape: imports only go down the layers, rooms stay apart, files and functions short."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("agentmem", "swebench_eval")
LONGEST_MODULE = 400  # lines
LONGEST_FUNCTION = 60
MEDIAN_MODULE = 140

# room -> (layer, its modules or packages). What all rooms may use is layer 0.
ROOMS: dict[str, tuple[int, tuple[str, ...]]] = {
    "ground": (0, ("agentmem", "agentmem.errors", "agentmem.changes", "agentmem.redact", "agentmem.durable")),
    "issue": (1, ("agentmem.issue",)),
    "settings": (1, ("agentmem.settings",)),
    "runs": (1, ("agentmem.runs",)),
    "text": (1, ("agentmem.text",)),
    "sandbox": (2, ("agentmem.sandbox",)),
    "model": (2, ("agentmem.model",)),
    "git": (
        2,
        (
            "agentmem.checkout",
            "agentmem.diff",
            "agentmem.archive",
            "agentmem.gitcmd",
            "agentmem.litter",
            "agentmem.patchtext",
            "agentmem.publish",
            "agentmem.worktree",
        ),
    ),
    "forge": (2, ("agentmem.forge",)),
    "code": (3, ("agentmem.code",)),
    "memory": (3, ("agentmem.memory",)),
    "view": (3, ("agentmem.view",)),
    "context": (4, ("agentmem.context",)),
    "agent": (5, ("agentmem.agent",)),
    "repair": (6, ("agentmem.repair",)),
    "github": (7, ("agentmem.github",)),
    "swebench_eval": (7, ("swebench_eval",)),
    "cli": (8, ("agentmem.cli", "agentmem.__main__")),
    "demo": (8, ("agentmem.demo",)),
    "train": (8, ("agentmem.train",)),
}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    exact = [room for room, (_, owned) in ROOMS.items() if module in owned]
    below = [
        room
        for room, (_, owned) in ROOMS.items()
        if any(module.startswith(f"{name}.") for name in owned if name != "agentmem")
    ]
    found = exact or below
    assert found, f"{module} belongs to no room: add it to ROOMS, and to the design"
    return found[0]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module of ours that a file names in an import, wherever in the file, with its line."""
    ours = {name_of(each) for each in modules()}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [each if each in ours else str(node.module) for each in inner]
        else:
            continue
        for name in names:
            if name.split(".")[0] in PACKAGES:
                yield name, node.lineno


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_only_go_down(path: Path) -> None:
    room = room_of(name_of(path))
    wrong = []
    for name, line in imports(path):
        other = room_of(name)
        if other != room and ROOMS[other][0] >= ROOMS[room][0]:
            wrong.append(f"line {line}: {name} (room {other}, layer {ROOMS[other][0]})")
    assert wrong == [], f"{name_of(path)} is in room {room}, layer {ROOMS[room][0]}"


def test_no_module_imports_itself_through_others() -> None:
    """Cycles inside a room, counting imports that run when the module is loaded."""
    graph: dict[str, set[str]] = {}
    for path in modules():
        tree = ast.parse(path.read_text())
        loaded = {node.lineno for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
        graph[name_of(path)] = {name for name, line in imports(path) if line in loaded} - {name_of(path)}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above[above.index(module) :], module))
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_MODULE
    long = [
        f"{node.name} at line {node.lineno}: {length} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


def test_most_modules_are_small() -> None:
    sizes = [len(path.read_text().splitlines()) for path in modules()]
    assert statistics.median(size for size in sizes if size > 3) <= MEDIAN_MODULE
