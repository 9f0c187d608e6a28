"""Which tests speak for a change, by imports."""

from __future__ import annotations

from agentmem.code.imports import ImportGraph, relevant_tests
from tests.test_index import build

FILES = {
    "src/lib/__init__.py": "from .core import Engine as Engine\nfrom lib.helpers import *\n",
    "src/lib/core.py": "from . import util\nfrom .deep.part import Part\nclass Engine: pass\n",
    "src/lib/util.py": "import logging\ndef tool(): pass\n",
    "src/lib/logging.py": "x = 1\n",
    "src/lib/helpers.py": "def helping(): pass\n",
    "src/lib/deep/__init__.py": "",
    "src/lib/deep/part.py": "from ...lib import util\nfrom ..util import tool\nclass Part: pass\n",
    "src/lib/alone.py": "y = 1\n",
    "tests/conftest.py": "import lib.helpers\n",
    "tests/support.py": "from lib.deep import part\n",
    "tests/test_core.py": "from lib import Engine\n",
    "tests/test_part.py": "import support\ndef test_it(): pass\n",
    "tests/test_util.py": "from lib.core import util\n",
    "tests/unit/alone_test.py": "def test_nothing(): pass\n",
    "tests/unit/check.py": "import lib.logging\ndef test_named_oddly(): pass\n",
    "tests/unit/data.py": "import lib.logging\n",
}
INDEX = build(FILES)


def paths(*changed: str, limit: int = 20) -> list[str]:
    return [path for path, _ in relevant_tests(INDEX, changed, limit=limit)]


def test_imports_are_resolved() -> None:
    graph = ImportGraph(INDEX)
    conftest = {"tests/conftest.py"}
    assert graph.targets("src/lib/core.py") == {"src/lib/util.py", "src/lib/deep/part.py"}
    assert graph.targets("src/lib/deep/part.py") == {"src/lib/util.py"}
    assert graph.targets("src/lib/util.py") == set()  # the standard library's logging, not lib.logging
    assert graph.targets("tests/test_core.py") == {"src/lib/core.py"} | conftest
    assert graph.targets("tests/test_part.py") == {"tests/support.py"} | conftest
    assert graph.targets("tests/test_util.py") == {"src/lib/util.py"} | conftest
    assert graph.targets("src/lib/__init__.py") == {"src/lib/core.py", "src/lib/helpers.py"}


def test_nearest_first() -> None:
    assert paths("src/lib/util.py") == ["tests/test_util.py", "tests/test_core.py", "tests/test_part.py"]
    assert paths("src/lib/core.py") == ["tests/test_core.py"]
    assert relevant_tests(INDEX, ["src/lib/core.py"])[0][1] == "imports src/lib/core.py"
    assert relevant_tests(INDEX, ["src/lib/deep/part.py"])[0] == (
        "tests/test_part.py",
        "imports tests/support.py, 2 steps from the change",
    )


def test_conftest_reaches_every_test_beside_and_below_it() -> None:
    assert set(paths("src/lib/helpers.py")) == {
        path for path in FILES if "test_" in path or "unit" in path
    } - {"tests/unit/data.py"}


def test_a_test_is_known_by_what_it_defines() -> None:
    assert paths("src/lib/logging.py") == ["tests/unit/check.py"]


def test_names_count_where_no_import_does() -> None:
    assert relevant_tests(INDEX, ["src/lib/alone.py"]) == [
        ("tests/unit/alone_test.py", "is named after a changed file")
    ]


def test_a_changed_test_stands_for_itself_and_unknown_files_for_nothing() -> None:
    assert relevant_tests(INDEX, ["tests/test_core.py"]) == [("tests/test_core.py", "is changed itself")]
    assert paths("README.md", "src/lib/new.py") == []
    assert paths("src/lib/helpers.py", limit=2) == paths("src/lib/helpers.py")[:2]


def test_flat_scripts_and_unittest_style() -> None:
    index = build(
        {
            "programs/gcd.py": "def gcd(a, b): pass\n",
            "programs/node.py": "class Node: pass\n",
            "testcases/test_gcd.py": "from programs.gcd import gcd\n",
            "testcases/test_node.py": "import sys\nsys.path.insert(0, 'programs')\nfrom node import Node\n",
        }
    )
    assert [path for path, _ in relevant_tests(index, ["programs/gcd.py"])] == ["testcases/test_gcd.py"]
    assert [path for path, _ in relevant_tests(index, ["programs/node.py"])] == ["testcases/test_node.py"]


def test_import_cycles_end() -> None:
    index = build({"a.py": "import b\n", "b.py": "import a\n", "test_x.py": "import a\n"})
    assert [path for path, _ in relevant_tests(index, ["b.py"])] == ["test_x.py"]
