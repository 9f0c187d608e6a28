"""Starting is cheap: what is heavy is loaded by the command that needs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "litellm", "lancedb", "docker", "torch", "tree_sitter", "git", "pydantic", "bm25s", "numpy", "jinja2",
    "pyarrow", "xllamacpp", "rich", "requests", "httpx",
)  # fmt: skip


def loaded_by(program: str) -> set[str]:
    """The top-level packages in sys.modules after a program ran in a fresh interpreter."""
    report = (
        "import sys, json; print('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{report}"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "program",
    [
        "import agentmem.cli",
        "import agentmem.cli.app",
        "from agentmem.cli.app import run; assert run(['--version']) == 0",
        "from agentmem.cli.app import run; assert run(['--help']) == 0",
        "from agentmem.cli.app import run; assert run(['nonsense']) == 2",
    ],
)
def test_nothing_heavy_is_loaded(program: str) -> None:
    assert loaded_by(program) & set(HEAVY) == set()


def test_version_needs_no_command_line_library() -> None:
    assert "typer" not in loaded_by("from agentmem.cli.app import run; assert run(['--version']) == 0")


def test_every_command_module_is_light() -> None:
    program = (
        "import importlib, agentmem.cli.app as app\n"
        "for module, _ in app.COMMANDS.values(): importlib.import_module(module)"
    )
    assert loaded_by(program) & set(HEAVY) == set()
