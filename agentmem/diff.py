"""The rules a patch must keep before anyone applies it, and what it looks like without its accidents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agentmem.errors import PatchRefused
from agentmem.patchtext import FileDiff, parse

MAX_BYTES = 1 << 20
MAX_FILES = 100
CI = "ci"
TEST_HOOKS = "test-hooks"

# Patterns of whole lower-cased paths; `*` crosses folders.
_CI = (
    ".github/workflows/*",
    ".github/actions/*",
    "action.y*ml",
    "*/action.y*ml",
    ".gitlab-ci.yml",
    ".gitlab/*",
    ".circleci/*",
    ".travis.yml",
    ".drone.yml",
    ".woodpecker*",
    ".buildkite/*",
    ".azure-pipelines*",
    "azure-pipelines*",
    "bitbucket-pipelines.yml",
    "appveyor.yml",
    ".appveyor.yml",
    ".cirrus.yml",
    "jenkinsfile*",
    ".pre-commit-config.yaml",
    ".husky/*",
)
# Names, in any folder, of files that decide how tests run or that run before them.
_HOOKS = (
    "conftest.py",
    "sitecustomize.py",
    "usercustomize.py",
    "*.pth",
    "pytest.ini",
    ".pytest.ini",
    "pytest.toml",
    ".pytest.toml",
    "tox.ini",
    "noxfile.py",
    ".coveragerc",
    "runtests.py",
)
# At the root of a repository a file by these names is imported in place of the test runner.
_RUNNERS = ("pytest", "_pytest", "pluggy", "coverage", "unittest")
_SECTIONED = ("pyproject.toml", "setup.cfg")
_PYTEST_SECTION = re.compile(r"pytest|\btox\b|\bnose", re.IGNORECASE)
_PYTEST_KEY = re.compile(
    r"^\s*[\"']?(addopts|testpaths|python_(files|classes|functions)|norecursedirs|filterwarnings|usefixtures"
    r"|required_plugins|confcutdir|pythonpath|xfail_strict|collect_ignore\w*|pytest11|legacy_tox_ini|markers"
    r"|minversion|cache_dir|empty_parameter_set_mark|consider_namespace_packages)\b|pytest11"
)


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a patch does to one file: added lines by new-file number, removed by old-file number (1-based)."""

    added: tuple[int, ...]
    removed: tuple[int, ...]
    created: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class PatchInfo:
    """A patch that keeps the rules."""

    files: Mapping[str, FileChange]

    @property
    def added(self) -> int:
        return sum(len(change.added) for change in self.files.values())

    @property
    def removed(self) -> int:
        return sum(len(change.removed) for change in self.files.values())

    @property
    def changed_lines(self) -> int:
        """Added and removed lines together: the size of the patch."""
        return self.added + self.removed


def check_patch(text: str, *, allow: frozenset[str] = frozenset()) -> PatchInfo:
    """What a patch changes. Raises PatchRefused, naming rule and path, when it breaks a rule.

    `allow` may hold `ci` (workflow files) and `test-hooks` (files that decide how tests run).
    """
    size = len(text.encode("utf-8", "surrogateescape"))
    if size > MAX_BYTES:
        raise PatchRefused(
            f"the patch has {size} bytes, more than {MAX_BYTES}", "leave generated files out of it"
        )
    if "\0" in text:
        raise PatchRefused("the patch holds a NUL byte", "leave binary content out of it")
    files = parse(text)
    if not files:
        raise PatchRefused("the patch is empty", "nothing was changed, so there is nothing to check")
    if len(files) > MAX_FILES:
        raise PatchRefused(f"the patch touches {len(files)} files, more than {MAX_FILES}", "make it smaller")
    seen: set[str] = set()
    for file in files:
        _check_path(file.path)
        _check_modes(file)
        _check_kind(file, allow)
        if file.path in seen:
            raise PatchRefused(f"{file.path} occurs twice in the patch", "make one diff of it")
        seen.add(file.path)
    return PatchInfo(
        {f.path: FileChange(tuple(f.added), tuple(f.removed), f.created, f.deleted) for f in files}
    )


def _check_path(path: str) -> None:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or re.match(r"^[A-Za-z]:", path):
        raise PatchRefused(f"{path!r}: absolute paths are refused")
    if any(part in ("", ".", "..") for part in parts):
        raise PatchRefused(f"{path!r}: paths with empty, `.` or `..` parts are refused")
    if any(unicodedata.category(char) == "Cc" for char in path):
        raise PatchRefused(f"{path!r}: control characters in a path are refused")
    if any(_is_git(part) for part in parts):
        raise PatchRefused(f"{path!r}: nothing below .git may be changed")
    if parts[-1].lower() == ".gitmodules":
        raise PatchRefused(f"{path!r}: submodules are refused")


def _is_git(part: str) -> bool:
    """Whether some file system takes this name for `.git` (letter case, ignorable characters, 8.3 names)."""
    visible = "".join(
        char for char in unicodedata.normalize("NFKC", part) if unicodedata.category(char) != "Cf"
    )
    return visible.lower().split(":")[0].rstrip(". ") in (".git", "git~1")


def _check_modes(file: FileDiff) -> None:
    if file.created and file.deleted:
        raise PatchRefused(f"{file.path}: is both created and deleted")
    for mode in file.modes:
        if mode == "120000":
            raise PatchRefused(f"{file.path}: symbolic links are refused", "write a regular file instead")
        if mode == "160000":
            raise PatchRefused(f"{file.path}: submodules are refused")
        if mode not in ("100644", "100755"):
            raise PatchRefused(f"{file.path}: file mode {mode} is refused")


def _check_kind(file: FileDiff, allow: frozenset[str]) -> None:
    path = unicodedata.normalize("NFKC", file.path).lower()
    name = path.rpartition("/")[2]
    if CI not in allow and any(fnmatchcase(path, pattern) for pattern in _CI):
        raise PatchRefused(f"{file.path}: changes of CI workflows are refused", "allow them with: ci")
    if TEST_HOOKS in allow:
        return
    if any(fnmatchcase(name, pattern) for pattern in _HOOKS):
        raise PatchRefused(
            f"{file.path}: decides how tests run, so it is refused", "allow it with: test-hooks"
        )
    if file.created and path.partition("/")[0].removesuffix(".py") in _RUNNERS:
        raise PatchRefused(
            f"{file.path}: would run in place of the test runner, so it is refused",
            "allow it with: test-hooks",
        )
    if name in _SECTIONED and _touches_pytest(file):
        raise PatchRefused(
            f"{file.path}: its settings of the test runner are refused", "allow them with: test-hooks"
        )


def _touches_pytest(file: FileDiff) -> bool:
    for hunk in file.hunks:
        section = ""
        for line in hunk:
            if line.text.lstrip().startswith("[") and "=" not in line.text:
                section = line.text
            changed = line.kind != " "
            if changed and (_PYTEST_SECTION.search(section) or _PYTEST_KEY.search(line.text)):
                return True
    return False


def normalised(text: str) -> str:
    """The patch without what two equal repairs may differ in: context, numbers, headers, spacing."""
    parts = []
    for file in sorted(parse(text), key=lambda file: file.path):
        kind = "created" if file.created else "deleted" if file.deleted else file.new_mode
        lines = [line.kind + _spaced(line.text) for line in file.lines if line.kind != " "]
        parts.append("\n".join([f"{file.path} {kind}".rstrip(), *(line for line in lines if len(line) > 1)]))
    return "\n".join(parts)


def _spaced(text: str) -> str:
    """One space between words; the indentation stays, since it is meaning in Python."""
    indent = text[: len(text) - len(text.lstrip())]
    return f"{indent}{' '.join(text.split())}".rstrip()
