"""The command line: one file per command group; parse, call, print; no logic."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of `agentmem`; ends the process with a code of docs/exit-codes.md."""
    from agentmem.cli.app import run

    sys.exit(run(sys.argv[1:]))
