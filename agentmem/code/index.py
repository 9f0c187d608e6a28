"""What is where in a repository: its files and, for Python, their definitions and imports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from agentmem.code.lexical import Lexical, file_words
from agentmem.code.python import Definition, Import, parse_python

MAX_BYTES = 1 << 20
ReadMany = Callable[[Sequence[str]], Iterable[tuple[str, bytes]]]

# Folders and endings by what a reader goes to them for; anything else is source.
_PROSE = frozenset([".rst", ".md", ".txt", ".adoc", ".html", ".htm", ".po", ".pot", ".tex", ".svg"])
_DATA = frozenset(
    [
        ".json",
        ".yml",
        ".yaml",
        ".toml",
        ".cfg",
        ".ini",
        ".lock",
        ".csv",
        ".tsv",
        ".xml",
        ".css",
        ".scss",
        ".map",
        ".ipynb",
    ]
)


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One text file. `kind` is source, test, prose or data; `sha` is its blob id."""

    path: str
    sha: str
    kind: str
    text: str
    definitions: Sequence[Definition] = ()
    imports: Sequence[Import] = ()


@dataclass(frozen=True)
class CodeIndex:
    """The files of one commit by path, sorted. Files over 1 MiB and binary ones are left out."""

    files: Mapping[str, FileInfo]
    left_out: Sequence[str] = field(default=())

    @classmethod
    def build(cls, blobs: Mapping[str, str], read_many: ReadMany) -> CodeIndex:
        """Index the files of `blobs` (path to blob id), whose bytes `read_many` gives in any order."""
        files: dict[str, FileInfo] = {}
        left_out = []
        for path, data in read_many(sorted(blobs)):
            if len(data) > MAX_BYTES or b"\0" in data[:8192]:
                left_out.append(path)
                continue
            definitions: Sequence[Definition] = ()
            imports: Sequence[Import] = ()
            if path.endswith((".py", ".pyi")):
                definitions, imports = parse_python(data)
            text = data.decode("utf-8", "replace")
            files[path] = FileInfo(path, blobs[path], kind_of(path), text, definitions, imports)
        return cls(dict(sorted(files.items())), left_out)

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[tuple[str, Definition]]]:
        """Definitions, with their path, by the last part of their name."""
        found: dict[str, list[tuple[str, Definition]]] = {}
        for path, file in self.files.items():
            for definition in file.definitions:
                found.setdefault(definition.name.rpartition(".")[2], []).append((path, definition))
        return found

    @cached_property
    def lexical(self) -> Lexical:
        """BM25 over whole files, built on first use."""
        files = self.files.values()
        return Lexical(
            [file_words(file.path, file.text, [d.name for d in file.definitions]) for file in files]
        )


def kind_of(path: str) -> str:
    """What a file is for, judged by its path: source, test, prose or data."""
    pure = PurePosixPath(path)
    folders = {part.lower() for part in pure.parts[:-1]}
    if is_test_path(path):
        return "test"
    if pure.suffix.lower() in _PROSE or (folders & {"docs", "doc"}) or pure.suffix == "":
        return "prose"
    return "data" if pure.suffix.lower() in _DATA else "source"


def is_test_path(path: str) -> bool:
    """Whether a path belongs to the tests: by its own name, or by a folder it lies in."""
    pure = PurePosixPath(path)
    in_folder = any(part.lower() in ("test", "tests", "testing") for part in pure.parts[:-1])
    return is_test_name(path) or (in_folder and pure.suffix == ".py") or "tests" in pure.parts[:-1]


def is_test_name(path: str) -> bool:
    """Whether a file name is one that test runners collect (`conftest.py` counts)."""
    name = PurePosixPath(path).name
    return name.endswith(".py") and (
        name.startswith("test_")
        or name.endswith("_test.py")
        or name in ("tests.py", "test.py", "conftest.py")
    )
