"""The index: what a file defines, what it imports, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agentmem.code.index import MAX_BYTES, CodeIndex, kind_of
from agentmem.code.python import Definition, Import, parse_python

SOURCE = b'''import a.b as c, d
from ..x import (y as z, w)
from m import *

@decorated
async def top(
    arg,
):
    """
    First line.
    Second line.
    """
    from late import bound
    def inner(): pass

class Outer(Base):
    "About it."

    class Inner:
        def method(self):
            return 1

    if True:
        def guarded(self): ...
'''


def build(files: Mapping[str, str | bytes]) -> CodeIndex:
    """An index of files given as text or bytes."""
    data = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}

    def read_many(paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        return ((path, data[path]) for path in paths)

    return CodeIndex.build({path: f"blob-{path}" for path in files}, read_many)


def test_definitions_have_names_kinds_lines_and_docs() -> None:
    assert parse_python(SOURCE)[0] == [
        Definition("top", "function", 5, 14, "First line."),
        Definition("top.inner", "function", 14, 14),
        Definition("Outer", "class", 16, 24, "About it."),
        Definition("Outer.Inner", "class", 19, 21),
        Definition("Outer.Inner.method", "method", 20, 21),
        Definition("Outer.guarded", "method", 24, 24),
    ]


def test_imports_wherever_they_are() -> None:
    assert parse_python(SOURCE)[1] == [
        Import("a.b", "", "c"),
        Import("d", "", "d"),
        Import("..x", "y", "z"),
        Import("..x", "w", "w"),
        Import("m", "*", "*"),
        Import("late", "bound", "bound"),
    ]


def test_old_and_broken_python_is_read_as_far_as_it_goes() -> None:
    old = b"import os\ndef f():\n    print 'x'\n    raise E, 'y'\nclass A:\n    def g(self): pass\n"
    assert [d.name for d in parse_python(old)[0]] == ["f", "A", "A.g"]
    broken = b"import os\ndef good(): pass\ndef bad(:\n    x = (\nclass Later:\n    pass\n"
    assert "good" in [d.name for d in parse_python(broken)[0]]
    assert parse_python(b"") == ([], [])
    deep = b"x = " + b"(" * 5000 + b")" * 5000 + b"\ndef after(): pass\n"
    assert [d.name for d in parse_python(deep)[0]] == ["after"]
    nested = b"".join(b" " * depth + b"if x:\n" for depth in range(900)) + b" " * 900 + b"def f(): pass\n"
    assert isinstance(parse_python(nested)[0], list)


def test_large_and_binary_files_are_left_out_and_odd_text_is_not() -> None:
    index = build(
        {
            "big.py": b"x = 1\n" * (MAX_BYTES // 5),
            "logo.png": b"\x89PNG\0\0",
            "latin.py": "# caf\xe9\ndef f(): pass\n".encode("latin-1"),
            "page.js": "function f() {}",
        }
    )
    assert list(index.left_out) == ["big.py", "logo.png"]
    assert list(index.files) == ["latin.py", "page.js"]
    assert [d.name for d in index.files["latin.py"].definitions] == ["f"]
    assert index.files["page.js"].sha == "blob-page.js"
    assert index.by_name["f"] == [("latin.py", Definition("f", "function", 2, 2))]


def test_kinds_of_files() -> None:
    kinds = {
        "src/a.py": "source",
        "tests/test_a.py": "test",
        "pkg/a_test.py": "test",
        "app/tests.py": "test",
        "tests/data/x.json": "test",
        "docs/conf.py": "prose",
        "README.md": "prose",
        "LICENSE": "prose",
        "setup.cfg": "data",
        "src/contest.py": "source",
        "main.go": "source",
    }
    assert {path: kind_of(path) for path in kinds} == kinds


def test_an_empty_repository_has_an_empty_index() -> None:
    index = build({})
    assert index.files == {}
    assert index.lexical.scores("anything") == []
