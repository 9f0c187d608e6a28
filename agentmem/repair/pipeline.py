"""The story of one repair, from an issue and a repository to a patch and its evidence."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentmem.agent.limits import Budget, Limits
from agentmem.agent.loop import Judgement, LoopState
from agentmem.errors import LimitError
from agentmem.model.base import Model
from agentmem.repair.bench import Bench
from agentmem.repair.outcome import Outcome, conclude
from agentmem.repair.patch import write_patch
from agentmem.repair.reproduce import (
    judge_reproducer,
    reproduce_hint,
    reproduce_prompt,
    unsubmitted_reproducer,
)
from agentmem.repair.request import Request
from agentmem.repair.stage import AgentStage
from agentmem.repair.state import State, load_state, save_state
from agentmem.repair.validate import Validator
from agentmem.runs import Run
from agentmem.sandbox.base import HarnessSandbox


def repair(request: Request, run: Run, model: Model) -> Outcome:
    """Repair `request.issue`, or go on with a run that was interrupted. Writes the result into `run`.

    Raises an AgentmemError when the work cannot go on (provider, sandbox, settings); the run can then be
    resumed. A limit is not an error here: it is part of the outcome.
    """
    state = load_state(run)
    try:
        bench = prepare(request, run, model, state)
        limit = ""
        try:
            reproduce(bench, state)
            write_patch(bench, state, Validator(bench, state.reproducer))
        except LimitError as reached:
            limit = reached.what
        return _finish(bench, conclude(state.reproducer, state.tried, limit))
    finally:
        shutil.rmtree(_scratch(run), ignore_errors=True)


def prepare(request: Request, run: Run, model: Model, state: State) -> Bench:
    """Everything before the first model call: checkout, index, ranked places, prepared environment."""
    from agentmem.checkout import Checkout
    from agentmem.code.index import CodeIndex
    from agentmem.code.locate import locate
    from agentmem.sandbox import prepare_environment
    from agentmem.sandbox.environment import detect

    settings, issue = request.settings, request.issue
    limits = Limits(settings.max_steps, settings.max_tokens, settings.max_cost, settings.timeout)
    budget = Budget(limits, state.spent)
    run.emit(
        "run_started",
        run_id=run.id,
        repo=str(request.repo),
        commit=request.commit,
        issue_title=issue.title,
        model=model.name,
        context=settings.context,
        limits={name: getattr(limits, name) for name in Limits.__slots__},
        sandbox=settings.sandbox,
        resumed=state != State(),
    )
    run.emit("stage", name="checkout", detail=request.commit[:12])
    shutil.rmtree(_scratch(run), ignore_errors=True)
    checkout = Checkout.create(request.repo, _scratch(run), request.commit)
    run.emit("stage", name="locate", detail="")
    index = CodeIndex.build(checkout.blobs(), checkout.read_many)
    hits = tuple(locate(index, issue.text, limit=12))
    run.emit("located", hits=[{"path": h.path, "symbol": h.symbol, "score": h.score} for h in hits])
    plan = detect(
        checkout.paths(),
        checkout.read,
        image=settings.image,
        setup_command=settings.setup_command,
        test_command=settings.test_command,
    )
    run.emit("stage", name="environment", detail="; ".join(plan.setup))

    def show(line: str) -> None:
        run.emit("setup_output", text=line)

    prepared = prepare_environment(
        settings,
        plan,
        commit=checkout.commit,
        archive=checkout.archive,
        run_id=run.id,
        on_output=show,
    )
    run.emit("environment", facts=dict(prepared.describe()))
    return Bench(run, settings, issue, checkout, index, hits, prepared, plan.test_command, model, budget)


def reproduce(bench: Bench, state: State) -> None:
    """Find a reproducer that fails before any change; without one the run goes on with lower evidence."""
    if state.reproduced:
        return

    def judge(sandbox: HarnessSandbox, submission: Mapping[str, Any]) -> Judgement:
        judgement, found = judge_reproducer(bench, sandbox, submission)
        state.reproducer = found or state.reproducer
        return judgement

    def salvage(sandbox: HarnessSandbox, _loop: LoopState) -> bool:
        if state.reproducer is None:
            state.reproducer = unsubmitted_reproducer(bench, sandbox)
        return state.reproducer is not None

    bench.run.emit("stage", name="reproduce", detail="")
    AgentStage(
        bench,
        state,
        "reproduce",
        reproduce_prompt(bench),
        judge,
        reproduce_hint,
        rounds=bench.settings.attempts,
        turns=max(1, bench.settings.max_steps // 2),
        leave=salvage,
    ).run()
    if state.reproducer is None:
        bench.run.emit("notice", text="no reproducer was accepted: the evidence will be E0 at most")
    state.reproduced, state.loop = True, None
    save_state(bench.run, state, None)
    bench.run.emit("stage", name="patch", detail="")


def _finish(bench: Bench, outcome: Outcome) -> Outcome:
    """Write patch and result; the last event tells how the run ended."""
    run, spent = bench.run, bench.budget.spent
    bench.model.close()  # what it has to say at its end comes before the last event
    bench.budget.tick()
    patch_path = str(run.save_patch(outcome.best.diff)) if outcome.best else None
    result = outcome.to_json() | {
        "schema_version": 1,
        "run_id": run.id,
        "repo": bench.checkout.name,
        "base_commit": bench.checkout.commit,
        "issue": {"title": bench.issue.title, "key": bench.issue.key, "source": bench.issue.source},
        "model": bench.model.name,
        "context": bench.settings.context,
        "environment": dict(bench.prepared.describe()),
        "replayed": spent.replayed > 0,
        "spent": spent.to_json(),
        "patch_path": patch_path,
    }
    run.save_result(result)
    run.emit(
        "run_finished",
        outcome=outcome.status,
        evidence=outcome.evidence.value if outcome.evidence else None,
        exit_code=int(outcome.exit_code),
        limit=outcome.limit or None,
        replayed=spent.replayed > 0,
        reasons=list(outcome.reasons),
        patch_path=patch_path,
        spent=spent.to_json(),
    )
    return outcome


def _scratch(run: Run) -> Path:
    return run.dir / "scratch"
