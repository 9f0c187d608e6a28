"""`agentmem doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agentmem.cli.options import Json, out, out_json
from agentmem.errors import ExitCode

MARKS = {"ok": "ok", "note": "--", "failed": "NO"}


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    repo: Annotated[
        Path | None, typer.Argument(metavar="[REPO]", help="A git repository, to see how it would be set up.")
    ] = None,
    json: Json = False,
) -> None:
    """Check what a repair needs, and say how to get what is missing.

    Ends with 0 when `agentmem fix` can run, with 7 when no sandbox can be had, and with 3 when the model or a
    setting is missing. Nothing is downloaded, started or sent.
    """
    from agentmem.cli import checks
    from agentmem.cli.story import one_line
    from agentmem.settings import home, load

    settings = load({}).settings
    found = [*checks.machine(home()), *checks.sandbox(settings), checks.model(settings, home())]
    if repo is not None:
        found += checks.project(repo, settings)
    codes = {check.code for check in found if check.state == "failed"}
    code = ExitCode.SANDBOX if ExitCode.SANDBOX in codes else max(codes, default=ExitCode.OK)
    if json:
        out_json({"can_run": not codes, "exit_code": int(code), "checks": [asdict(each) for each in found]})
        raise typer.Exit(code)
    width = max(len(check.name) for check in found)
    for check in found:
        out(f"{MARKS[check.state]}  {check.name:{width}}  {one_line(check.found, 400)}")
        if check.mend:
            out(f"    {'':{width}}  -> {one_line(check.mend, 400)}")
    out(
        "\n`agentmem fix` can run."
        if not codes
        else "\n`agentmem fix` cannot run yet: see the lines with NO."
    )
    raise typer.Exit(code)
