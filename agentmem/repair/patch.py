"""Stage `patch`: the agent changes the repository; what it hands in is judged by `validate` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentmem.agent.loop import Judgement, LoopState
from agentmem.context.compose import Prompt, compose, feedback
from agentmem.repair.bench import Bench, prompt_parts
from agentmem.repair.outcome import Candidate, Reproducer, Validation
from agentmem.repair.reproduce import runs_alone
from agentmem.repair.stage import AgentStage
from agentmem.repair.state import State
from agentmem.repair.validate import Validator
from agentmem.sandbox.base import HarnessSandbox
from agentmem.text import clip, printable


def write_patch(bench: Bench, state: State, validator: Validator) -> tuple[Candidate, ...]:
    """One candidate, refined after each failing validation; returns all that was tried, in order.

    What lies in the sandbox when the loop ends without an accepted patch is validated too. Raises LimitError
    after that, with the candidates in `state.tried`.
    """

    def judge(sandbox: HarnessSandbox, submission: Mapping[str, Any]) -> Judgement:
        candidate = _try(bench, state, validator, sandbox, submission["explanation"])
        state.tried = (*state.tried, candidate)
        return _judgement(candidate.validation, state.reproducer)

    def salvage(sandbox: HarnessSandbox, loop: LoopState) -> bool:
        if loop.end == "accepted" or bench.budget.seconds_left() <= 0:
            return loop.end == "accepted"
        last = state.tried[-1].diff if state.tried else ""
        if _diff(bench, state.reproducer, sandbox) in ("", last):
            return False
        found = _try(bench, state, validator, sandbox, "found in the sandbox, not handed in")
        state.tried = (*state.tried, found)
        return found.validation.verdict == "verified"

    def hint(command: str, exit_code: int) -> str:
        if state.reproducer is None or not runs_alone(command, state.reproducer.path):
            return ""
        if exit_code == 0:
            return "If the existing tests pass too, call submit_patch now."
        return "It still fails: change the source with edit."

    AgentStage(
        bench,
        state,
        "patch",
        patch_prompt(bench, state.reproducer),
        judge,
        hint,
        rounds=bench.settings.rounds,
        turns=bench.settings.max_steps,
        leave=salvage,
        clean_when_stuck=True,
    ).run()
    return state.tried


def patch_prompt(bench: Bench, reproducer: Reproducer | None) -> Prompt:
    caps = bench.caps
    return compose(
        "patch",
        caps,
        issue=bench.issue.text,
        likely=bench.likely,
        reproducer=clip(reproducer.content, caps.observation) if reproducer else "",
        reproducer_path=reproducer.path if reproducer else "",
        reproducer_command=reproducer.command if reproducer else "",
        reproducer_output=printable(clip(reproducer.output, 3_000, keep="tail")) if reproducer else "",
        **prompt_parts(bench),
    )


def _try(
    bench: Bench, state: State, validator: Validator, sandbox: HarnessSandbox, explanation: str
) -> Candidate:
    diff = _diff(bench, state.reproducer, sandbox)
    same = [each for each in state.tried if each.diff == diff]
    validation = same[-1].validation if same else validator.validate(diff)
    round_ = state.loop.round if state.loop else 0
    bench.run.emit(
        "validation",
        candidate=0,
        round=round_,
        verdict=validation.verdict,
        evidence=validation.evidence.value,
        reproducer=validation.reproducer_passes,
        covered=validation.covered,
        tests={
            "passed_before": validation.tests.passed_before,
            "passed_after": validation.tests.passed_after,
            "files": list(validation.tests.files),
            "regressions": list(validation.tests.regressions),
            "flaky": list(validation.tests.flaky),
        },
        reasons=list(validation.reasons),
        diff=diff,
    )
    return Candidate(0, round_, diff, explanation, validation)


def _diff(bench: Bench, reproducer: Reproducer | None, sandbox: HarnessSandbox) -> str:
    ignore = {reproducer.path} if reproducer else set()
    patch = bench.checkout.patch(sandbox.changes(), ignore=ignore)
    for path, reason in patch.left_out:
        if reason == "binary":
            bench.run.emit("notice", text=f"{path} is left out of the patch: {reason}")
    return patch.text


def _judgement(validation: Validation, reproducer: Reproducer | None) -> Judgement:
    """Accepted is what cannot be better proven: verified, or harmless where there is no reproducer."""
    if validation.verdict == "verified" or (validation.verdict == "unproven" and reproducer is None):
        return Judgement(True, "accepted")
    text = feedback(
        "patch",
        reason="; ".join(validation.reasons),
        output=printable(validation.feedback_output),
        output_title=validation.feedback_title,
    )
    return Judgement(False, text)
