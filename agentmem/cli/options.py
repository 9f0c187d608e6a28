"""What several commands share: their options, and how they print."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agentmem.errors import AgentmemError, UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ISSUE_HELP = "The bug report: a text, a file, or - for standard input."


def out(text: str) -> None:
    """One text to standard output; a reader that went away is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise AgentmemError(
            f"cannot write to standard output: {error.strerror}", "Free some space."
        ) from None


def out_json(value: Any) -> None:
    """One JSON object; what JSON does not know is written as text."""
    out(json.dumps(value, indent=2, default=str))


def existing_directory(path: Path) -> Path:
    """The absolute path; raises UsageError."""
    if not path.is_dir():
        raise UsageError(f"{path} is not a directory", "Name the directory of a git repository.")
    return path.resolve()
