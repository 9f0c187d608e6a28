"""What is done with a patch for the user: a file, their work tree, or a branch."""

from __future__ import annotations

from pathlib import Path

from agentmem.errors import NoPatchError, UsageError
from agentmem.repair.outcome import Evidence, Outcome
from agentmem.repair.request import Request
from agentmem.runs import Run


def deliver(
    request: Request,
    run: Run,
    outcome: Outcome,
    *,
    apply: bool,
    branch: str | None,
    output: Path | None,
    accept: Evidence,
) -> dict[str, object]:
    """Deliver the best patch; returns what was done. `accept` is the least evidence that may be published.

    Raises NoPatchError when there is too little evidence, and what `agentmem.publish` raises when the user's
    own work would be lost. The patch stays in the run's directory in any case.
    """
    if outcome.best is None:
        return {}
    diff = outcome.best.diff
    done: dict[str, object] = {}
    if output is not None:
        done["output"] = _write(output, diff)
    if not (apply or branch):
        return done
    if (outcome.evidence or Evidence.E0) < accept:
        raise NoPatchError(
            f"the patch has evidence {outcome.evidence}, and publishing it needs {accept}",
            f"Read {run.patch_path}; --accept E0 publishes it all the same.",
        )
    from agentmem.publish import apply_to_user, make_branch

    if apply:
        done["applied"] = apply_to_user(request.repo, diff, base=request.commit)
    if branch:
        message = _message(request, run, outcome)
        done["branch"] = branch
        done["branch_commit"] = make_branch(request.repo, branch, request.commit, diff, message)
    return done


def _write(path: Path, diff: str) -> str:
    try:
        path.write_text(diff, encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "Name another file.") from None
    return str(path)


def _message(request: Request, run: Run, outcome: Outcome) -> str:
    explanation = outcome.best.explanation.strip() if outcome.best else ""
    return (
        f"Fix: {request.issue.title}\n\n{explanation}\n\n"
        f"Evidence: {outcome.evidence} ({'; '.join(outcome.reasons)})\nRun: {run.id}\n"
    )
