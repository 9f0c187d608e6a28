"""Which new files never belong into a patch: what the project itself ignores, and what tools leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

LITTER = (
    "__pycache__/",
    "*.py[cod]",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".tox/",
    ".nox/",
    ".venv/",
    "venv/",
    "*.egg-info/",
    "*.egg",
    ".eggs/",
    ".coverage",
    ".coverage.*",
    "htmlcov/",
    ".ipynb_checkpoints/",
    "node_modules/",
    ".DS_Store",
    "*.orig",
    "*.rej",
    "*.bak",
    "*.swp",
    "*~",
    "nohup.out",
)


class Litter:
    """Judges new paths by known litter and by the `.gitignore` files of the base commit."""

    def __init__(self, paths: Iterable[str], read: Callable[[str], bytes | None]) -> None:
        files = [PurePosixPath(path) for path in paths if path.endswith(".gitignore")]
        self._ignores = {str(file.parent): str(file) for file in files if file.name == ".gitignore"}
        self._read = read
        self._known = _spec(LITTER)
        self._specs: dict[str, GitIgnoreSpec] = {}

    def __call__(self, path: str) -> str:
        """Why a new file stays out of the patch; empty when it does not."""
        if self._known.match_file(path):
            return "litter of a tool"
        verdict: str = ""
        # From the root down: a nested file speaks after, and therefore over, those above it.
        for folder in reversed(PurePosixPath(path).parents):
            name = self._ignores.get(str(folder))
            if name is None:
                continue
            inner = path if str(folder) == "." else path.removeprefix(f"{folder}/")
            include = self._spec_of(name).check_file(inner).include
            if include is not None:
                verdict = f"ignored by {name}" if include else ""
        return verdict

    def _spec_of(self, name: str) -> GitIgnoreSpec:
        if name not in self._specs:
            text = (self._read(name) or b"").decode(errors="replace")
            self._specs[name] = _spec(tuple(text.splitlines()))
        return self._specs[name]


@cache
def _spec(lines: tuple[str, ...]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:  # git skips a pattern it cannot read, and so do we
        return GitIgnoreSpec.from_lines(line for line in lines if _readable(line))


def _readable(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
