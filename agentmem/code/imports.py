"""Which existing tests speak for a change: those that import the changed modules, nearest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath

from agentmem.code.index import CodeIndex, FileInfo, is_test_name, is_test_path
from agentmem.code.python import Import

_FARTHEST = 6  # import steps; beyond that nearly every test of a project imports nearly everything


def relevant_tests(index: CodeIndex, changed: Sequence[str], *, limit: int = 20) -> list[tuple[str, str]]:
    """Test files that reach the changed files by imports, nearest first, each with the reason.

    Among equals those named after a changed file come first. Test files named after a changed file count
    without any import, and a changed test file stands for itself.
    """
    graph = ImportGraph(index)
    distance = graph.importers(changed)
    ranked = []
    for path, file in index.files.items():
        if not _is_test(file):
            continue
        alike = max((_likeness(path, target) for target in changed), default=0.0)
        if path in distance:
            steps, via = distance[path]
            # A test named after the file is about it, however many packages re-export what it imports.
            ranked.append((min(steps, 1) if alike >= 1 else steps, -alike, path, _reason(steps, via)))
        elif alike >= 1:
            ranked.append((_FARTHEST + 1, -alike, path, "is named after a changed file"))
    return [(path, reason) for _, _, path, reason in sorted(ranked)[:limit]]


class ImportGraph:
    """Who imports whom, with names followed through the packages that re-export them."""

    def __init__(self, index: CodeIndex) -> None:
        self._files = {path: file for path, file in index.files.items() if path.endswith((".py", ".pyi"))}
        self._paths = sorted(self._files, key=lambda path: (is_test_path(path), len(path)))

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """Every dotted name a file can be imported by, from the repository's root or a folder above it."""
        modules: dict[str, str] = {}
        roots = {path: _import_roots(path, self._files) for path in self._paths}
        for path in self._paths:
            parts = PurePosixPath(path).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            for root in roots[path]:
                if parts[root:]:
                    modules.setdefault(".".join(parts[root:]), path)
        return modules

    def targets(self, path: str) -> set[str]:
        """The repository files that a file imports."""
        found = set()
        for item in self._files[path].imports:
            found |= set(self._resolve(path, item, 0))
        if is_test_path(path):
            folders = PurePosixPath(path).parents
            found |= {name for folder in folders if (name := str(folder / "conftest.py")) in self._files}
        return found - {path}

    def importers(self, changed: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Files that import a changed one: import steps (0 is the file itself), and the file on the way."""
        back: dict[str, set[str]] = {}
        for path in self._files:
            for target in self.targets(path):
                back.setdefault(target, set()).add(path)
        reached: dict[str, tuple[int, str]] = {}
        queue = [(0, path, "") for path in sorted(changed)]
        while queue:
            steps, path, via = heapq.heappop(queue)
            if path in reached or steps > _FARTHEST:
                continue
            reached[path] = (steps, via)
            for importer in back.get(path, ()):
                heapq.heappush(queue, (steps + 1, importer, path))
        return reached

    def _resolve(self, path: str, item: Import, depth: int) -> Iterator[str]:
        module = _absolute(path, item.module)
        if module is None:
            return
        if item.name and item.name != "*":
            inner = self.modules.get(f"{module}.{item.name}" if module else item.name)
            if inner is not None:
                yield inner
                return
        home = self._nearest(path, module)
        if home is None:
            return
        origin = self._reexport(home, item.name, depth) if item.name else None
        yield origin or home

    def _nearest(self, path: str, module: str) -> str | None:
        """The file of a module; outside packages one beside `path` wins, as for scripts and plain tests."""
        folder = PurePosixPath(path).parent
        sibling = str(folder / (module.replace(".", "/") + ".py"))
        if sibling in self._files and str(folder / "__init__.py") not in self._files:
            return sibling
        return self.modules.get(module)

    def _reexport(self, home: str, name: str, depth: int) -> str | None:
        if depth > 3:
            return None
        file = self._files[home]
        if any(definition.name == name for definition in file.definitions):
            return None
        for item in file.imports:
            if item.bound == name and item.name:
                return next(self._resolve(home, item, depth + 1), None)
        return None


def _import_roots(path: str, files: Mapping[str, FileInfo]) -> list[int]:
    """How many leading folders may lie on the import path: none, and all above the outermost package."""
    parts = PurePosixPath(path).parts[:-1]
    package = len(parts)
    while package > 0 and "/".join((*parts[:package], "__init__.py")) in files:
        package -= 1
    roots = {0, package}
    roots |= {at for at in range(1, package + 1) if parts[at - 1] in ("src", "lib")}
    return sorted(roots)


def _absolute(path: str, module: str) -> str | None:
    """A relative module name as a dotted name from the root of the repository."""
    dots = len(module) - len(module.lstrip("."))
    if not dots:
        return module
    folders = PurePosixPath(path).parts[:-1]
    if dots - 1 > len(folders):
        return None
    base = folders[: len(folders) - (dots - 1)]
    return ".".join([*base, *(part for part in module.lstrip(".").split(".") if part)])


def _is_test(file: FileInfo) -> bool:
    if not file.path.endswith(".py") or file.path.endswith(("conftest.py", "__init__.py")):
        return False
    if is_test_name(file.path):
        return True
    names = (definition.name.rpartition(".")[2].lower() for definition in file.definitions)
    return is_test_path(file.path) and any(name.startswith("test") for name in names)


def _likeness(test: str, target: str) -> float:
    """1 when the test is named after the target, else the share of folder names they have in common (< 1)."""
    stem = PurePosixPath(test).stem.removeprefix("test_").removesuffix("_test").strip("_").lower()
    pure = PurePosixPath(target)
    own = pure.parent.name if pure.stem == "__init__" else pure.stem
    if stem and stem == own.strip("_").lower():
        return 1.0
    mine, other = set(PurePosixPath(test).parts[:-1]) | {stem}, set(pure.parts[:-1]) | {own}
    return 0.9 * len(mine & other) / max(len(mine | other), 1)


def _reason(steps: int, via: str) -> str:
    if steps == 0:
        return "is changed itself"
    if steps == 1:
        return f"imports {via}"
    return f"imports {via}, {steps} steps from the change"
