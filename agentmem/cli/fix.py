"""`agentmem fix`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from agentmem.cli.options import Json, existing_directory, out, out_json
from agentmem.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from agentmem.repair.request import Request
    from agentmem.runs import Event, Run

# typer reads these at run time, so they are spelt the way it understands in every Python we support.
Text = Optional[str]  # noqa: UP045
_RESUME = "Go on with an interrupted run: its id, the beginning of it, or `latest`."
Issue = Annotated[Text, typer.Option(metavar="TEXT|FILE|-", help="The bug report.")]
Model = Annotated[
    Text, typer.Option(metavar="M", help="A litellm name, local:FILE.gguf, file:DIR, replay:FILE.")
]
ApiBase = Annotated[Text, typer.Option(metavar="URL", help="An OpenAI-compatible server.")]
Record = Annotated[Optional[Path], typer.Option(help="Keep the model's replies in this file.")]  # noqa: UP045
Sandbox = Annotated[Text, typer.Option(metavar="docker|local", help="Where untrusted code runs.")]
Image = Annotated[Text, typer.Option(help="Container image to start from.")]
Setup = Annotated[Text, typer.Option(help="How the project is installed.")]
Test = Annotated[Text, typer.Option(help="How its tests are run.")]
Context = Annotated[Text, typer.Option(metavar="full|mask", help="What a prompt keeps of earlier turns.")]
MaxCost = Annotated[Optional[float], typer.Option(metavar="$", help="Money limit.")]  # noqa: UP045
MaxTokens = Annotated[Optional[int], typer.Option(metavar="N", help="Token limit.")]  # noqa: UP045
MaxSteps = Annotated[Optional[int], typer.Option(metavar="N", help="Limit of model calls.")]  # noqa: UP045
Timeout = Annotated[Optional[float], typer.Option(metavar="S", help="Time limit, seconds.")]  # noqa: UP045
Resume = Annotated[Text, typer.Option(metavar="RUN", help=_RESUME)]
Apply = Annotated[bool, typer.Option("--apply", help="Apply the patch to your work tree.")]
Branch = Annotated[Text, typer.Option(metavar="NAME", help="Commit the patch to a new branch.")]
Accept = Annotated[Text, typer.Option(metavar="E0", help="Publish it without evidence, too.")]
Output = Annotated[Optional[Path], typer.Option(help="Write the patch to this file, too.")]  # noqa: UP045
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and spend nothing.")]
Explain = Annotated[bool, typer.Option("--explain", help="Show what each prompt is made of.")]


@dataclass(frozen=True)
class Ask:
    """The command line but for the settings."""

    repo: Path
    issue: str | None
    commit: str
    record: Path | None
    resume: str | None
    apply: bool
    branch: str | None
    accept: str | None
    output: Path | None
    dry_run: bool
    explain: bool
    json: bool


def register(app: typer.Typer) -> None:
    app.command("fix")(fix)


def fix(
    repo: Annotated[Path, typer.Argument(metavar="[REPO]", help="A git repository.")] = Path(),
    issue: Issue = None,
    commit: Annotated[str, typer.Option(help="The base commit.")] = "HEAD",
    model: Model = None,
    api_base: ApiBase = None,
    record: Record = None,
    sandbox: Sandbox = None,
    image: Image = None,
    setup_command: Setup = None,
    test_command: Test = None,
    context: Context = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    max_steps: MaxSteps = None,
    timeout: Timeout = None,
    resume: Resume = None,
    apply: Apply = False,
    branch: Branch = None,
    accept: Accept = None,
    output: Output = None,
    dry_run: DryRun = False,
    explain: Explain = False,
    json: Json = False,
) -> None:
    """Repair the bug that an issue describes; the patch comes with evidence that was executed here.

    The last line of standard output is the path of the patch. Your repository is left as it is unless you
    ask for --apply or --branch, which need evidence E1, or --accept E0.
    """
    flags: dict[str, object] = {
        "model": model,
        "api_base": api_base,
        "sandbox": sandbox,
        "image": image,
        "setup_command": setup_command,
        "test_command": test_command,
        "context": context,
        "max_cost": max_cost,
        "max_tokens": max_tokens,
        "max_steps": max_steps,
        "timeout": timeout,
    }
    ask = Ask(
        repo, issue, commit, record, resume, apply, branch, accept, output, dry_run, explain, json
    )  # fmt: skip
    raise typer.Exit(run_fix(ask, flags))


def run_fix(ask: Ask, flags: dict[str, object]) -> int:
    """The command without its parsing; returns the exit code. With --json an error is a JSON object, too."""
    known: dict[str, Any] = {}
    try:
        return _fix(ask, flags, known)
    except BaseException as end:
        if ask.json:
            from agentmem.repair.session import describe_end

            out_json({**known, **describe_end(end)})
        raise


def _fix(ask: Ask, flags: dict[str, object], known: dict[str, Any]) -> int:
    """`known` gets what can be told of the run, however it ends."""
    if ask.accept not in (None, "E0"):
        raise UsageError(f"--accept takes E0, not {ask.accept}", "E1 and better need no flag.")
    if ask.apply and ask.branch:
        raise UsageError("--apply and --branch exclude each other", "Give one of them.")
    if ask.resume is not None:
        if ask.issue is not None:
            raise UsageError("--resume takes no --issue", "The run knows its issue.")
        return _work(ask, *_resumed(ask.resume, flags), known)
    request = _new(ask, flags)
    if ask.dry_run:
        return _show_plan(request, ask.json)
    from agentmem.repair.session import NO_MODEL, WAYS_TO_A_MODEL
    from agentmem.runs import Run
    from agentmem.settings import home

    if request.settings.model is None:
        raise ConfigError(NO_MODEL, WAYS_TO_A_MODEL)
    return _work(ask, request, Run.create(home(), request.to_json()), known)


def _work(ask: Ask, request: Request, run: Run, known: dict[str, Any]) -> int:
    from agentmem.cli.display import display
    from agentmem.repair.deliver import deliver
    from agentmem.repair.outcome import Evidence
    from agentmem.repair.session import work
    from agentmem.settings import home

    with run:
        known["run_id"] = run.id
        try:
            with display() as listener:
                run.listen(listener)
                if ask.explain:
                    run.listen(_explain)
                outcome = work(request, run, home())
        except BaseException:
            typer.echo(f"run {run.id} can go on: agentmem fix --resume {run.id}", err=True)
            raise
        known |= run.load_result() or {}
        if outcome.best is not None and not ask.json:
            out(str(run.patch_path))
        done = deliver(
            request,
            run,
            outcome,
            apply=ask.apply,
            branch=ask.branch,
            output=ask.output,
            accept=Evidence.E0 if ask.accept else Evidence.E1,
        )
        if ask.json:
            out_json({**known, "delivered": done})
    return int(outcome.exit_code)


def _explain(event: Event) -> None:
    """What each prompt is made of, in tokens."""
    if event["kind"] == "attempt":
        parts = ", ".join(f"{name} {size}" for name, size in event["manifest"].items())
        typer.echo(f"prompt of {event['role']}: {parts} tokens", err=True)


def _new(ask: Ask, flags: dict[str, object]) -> Request:
    from agentmem.issue import read_issue
    from agentmem.repair.request import new_request
    from agentmem.settings import load

    if ask.issue is None:
        raise UsageError("--issue is missing", "agentmem fix REPO --issue 'what happens, and what should'")
    settings = load(flags).settings
    issue = read_issue(ask.issue, sys.stdin.buffer)
    record = ask.record.absolute() if ask.record else None
    return new_request(existing_directory(ask.repo), ask.commit, issue, settings, record)


def _resumed(run_id: str, flags: dict[str, object]) -> tuple[Request, Run]:
    from agentmem.repair.request import resumed_request
    from agentmem.runs import Run
    from agentmem.settings import home

    run = Run.open(home(), run_id)
    return resumed_request(run.request, flags), run


def _show_plan(request: Request, json: bool) -> int:
    from agentmem.repair.plan import plan_of

    plan: dict[str, Any] = plan_of(request)
    if json:
        out_json(plan)
        return 0
    for name, value in plan.items():
        lines = value if isinstance(value, list) else [value]
        out(f"{name + ':':14}" + f"\n{'':14}".join(str(line) for line in lines))
    return 0
