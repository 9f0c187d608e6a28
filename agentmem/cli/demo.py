"""`agentmem demo`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentmem.cli.options import out

if TYPE_CHECKING:
    from agentmem.repair.request import Request


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    sandbox: Annotated[
        str | None, typer.Option(metavar="docker|local", help="Where untrusted code runs.")
    ] = None,
) -> None:
    """Repair a real bug of a small bundled repository, with a live sandbox and live tests.

    Uses the configured model; else a GGUF file in the `models` folder of the home; else a recording of a real
    model's replies, which needs no key.
    """
    from agentmem.repair import demo as parts
    from agentmem.settings import home, load

    settings = load({"sandbox": sandbox}).settings
    model = parts.choose_model(settings, home())
    out(model.sentence)
    kind, why = parts.choose_sandbox(settings)
    if why:
        out(why)
    with tempfile.TemporaryDirectory(prefix="agentmem-demo-") as folder:
        repo = parts.unpack_repository(Path(folder))
        request = parts.demo_request(repo, settings, {"model": model.name, "sandbox": kind})
        if model.kind == "recorded":
            _show_places(request)
        code = _repair(request)
    out("\nYour own repository:\n  " + _next_command(model.kind))
    raise typer.Exit(code)


def _repair(request: Request) -> int:
    from agentmem.cli.display import display
    from agentmem.repair.session import work
    from agentmem.runs import Run
    from agentmem.settings import home

    out(f"Issue: {request.issue.title} (boltons issue 348)\n")
    with Run.create(home(), request.to_json()) as run:
        with display() as listener:
            run.listen(listener)
            outcome = work(request, run, home())
        if outcome.best is not None:
            out(f"\n{outcome.best.diff}")
            out(f"Evidence {outcome.evidence}: {'; '.join(outcome.reasons)}.")
            out(f"Patch: {run.patch_path}")
        else:
            out(f"No patch: {'; '.join(outcome.reasons)}.")
    return int(outcome.exit_code)


def _show_places(request: Request) -> None:
    """`locate` needs no model, so it is live even without a key."""
    from agentmem.repair.plan import plan_of

    out("\nWhere the bug may be (ranked live, no model):")
    for place in plan_of(request)["places"][:3]:
        out(f"  {place}")


def _next_command(kind: str) -> str:
    model = "" if kind == "configured" else " --model anthropic/claude-sonnet-4-5"
    return f"agentmem fix PATH/TO/REPO --issue 'what happens, and what should happen'{model}"
