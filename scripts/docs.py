"""Write docs/commands.md and docs/settings.md from the program itself: `make docs`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
MADE = "<!-- Made by `make docs` from the program; do not edit. -->"


def commands() -> str:
    """The `--help` of every command."""
    parts = ["# Commands", MADE]
    for name, text in helps():
        parts.append(f"## {name}\n\n```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def helps() -> Iterator[tuple[str, str]]:
    """Each command and its help, groups before what they hold."""
    import typer.main

    from agentmem.cli.app import COMMANDS, build

    yield "agentmem", _help()
    for name in COMMANDS:
        yield f"agentmem {name}", _help(name)
        command = getattr(typer.main.get_command(build([name])), "commands", {})[name]
        for inner in getattr(command, "commands", {}):
            yield f"agentmem {name} {inner}", _help(name, inner)


def _help(*words: str) -> str:
    # A terminal of a fixed width, or the lines would break elsewhere on every machine.
    env = {**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80", "TERM": "dumb"}
    call = [sys.executable, "-m", "agentmem", *words, "--help"]
    return subprocess.run(call, env=env, capture_output=True, text=True, check=True).stdout


def settings() -> str:
    """Every setting: what it is, its default, what it may be."""
    from agentmem.settings import Settings, allowed

    rows = []
    for key, field in Settings.model_fields.items():
        default = "-" if field.default is None else f"`{field.default}`"
        may_be = allowed(key).removeprefix(f"`{key}` is ").rstrip(".").replace("|", "\\|")
        rows.append(f"| `{key}` | {default} | {field.description} It is {may_be}. |")
    return f"""# Settings

{MADE}

A setting is looked for in four places; a later one wins:

1. the built-in default;
2. the user's file, `config.toml` in the platform's configuration directory (`AGENTMEM_CONFIG` names another);
3. the environment: `AGENTMEM_` and the name in capitals, e.g. `AGENTMEM_MAX_STEPS=40`;
4. the flag of the command, e.g. `--max-steps 40`, where it has one.

`agentmem config show` prints each value and where it comes from. Nothing is read from the repository that is
to be repaired. Keys of model providers are no settings: they stay in the providers' own variables, such as
`ANTHROPIC_API_KEY`.

| Setting | Default | What it is |
|---|---|---|
{chr(10).join(rows)}

Three variables are not settings: `AGENTMEM_HOME` (where runs, memory and caches are kept; the platform's user
data directory by default), `AGENTMEM_CONFIG` (see above) and `AGENTMEM_DEBUG` (with `1`, an internal error
shows its traceback).
"""


PAGES = {"commands.md": commands, "settings.md": settings}


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()
