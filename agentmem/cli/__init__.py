"""The command line: one file per command group; parse, call, print; no logic."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """The entry point of `agentmem`; ends the process with a code of docs/exit-codes.md."""
    from agentmem.cli.app import run

    code = run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing but the clean-up at exit is left to interrupt
    sys.exit(code)
