"""`agentmem runs list|show|rm`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from agentmem.cli.options import Json, out, out_json

group = typer.Typer(help="List, show and remove runs.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of one, or `latest`.")]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="runs")


@group.command("list")
def list_(json: Json = False) -> None:
    """List all runs, the newest first."""
    from agentmem.cli.story import count, money, one_line
    from agentmem.runs import list_runs
    from agentmem.settings import home

    runs = list_runs(home())
    if json:
        out_json({"runs": [asdict(run) for run in runs]})
        return
    if not runs:
        out(f"No runs in {home()}.")
    for run in runs:
        end = f"{run.outcome} {run.evidence}".strip() if run.status == "finished" else run.status
        spent = f"{run.steps} steps, {count(run.tokens)} tokens, {money(run.cost)}" if run.steps else ""
        out(f"{run.id}  {end:12}  {one_line(run.title, 60)}  {spent}".rstrip())


@group.command()
def show(run: RunId = "latest", json: Json = False) -> None:
    """Tell the story of a run: stages, steps, evidence, cost, where the patch is, how to go on."""
    from agentmem.cli.story import tell
    from agentmem.runs import read_run, summarise
    from agentmem.settings import home

    reader = read_run(home(), run)
    summary = summarise(reader)
    if json:
        result = {"summary": asdict(summary), "directory": str(reader.dir), "result": reader.load_result()}
        out_json({**result, "events": list(reader.events())})
        return
    for event in reader.events():
        for line in tell(event):
            out(line)
    if summary.status == "interrupted":
        out(f"\nThis run was interrupted. Go on with:  agentmem fix --resume {reader.id}")
    elif summary.status == "running":
        out("\nThis run is going on.")
    if reader.patch_path.exists():
        out(f"\n{reader.patch_path}")


@group.command()
def rm(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, or unique beginnings of ids.")],
) -> None:
    """Remove runs that no process is working on."""
    from agentmem.runs import remove_run
    from agentmem.settings import home

    for run in runs:
        out(f"removed {remove_run(home(), run)}")
