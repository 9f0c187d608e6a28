"""Never "fixed" without evidence: what candidates earn, and the exit code."""

from __future__ import annotations

from agentmem.errors import ExitCode
from agentmem.repair.outcome import Candidate, Evidence, Reproducer, Validation, Verdict, conclude

REPRODUCER = Reproducer("r.py", "assert False", "python r.py", "", "AssertionError", "")


def candidate(verdict: Verdict, evidence: Evidence, diff: str = "diff") -> Candidate:
    return Candidate(0, 0, diff, "because", Validation(verdict, evidence, (verdict,)))


def test_verified_is_fixed_even_when_a_limit_ended_the_run() -> None:
    outcome = conclude(REPRODUCER, (candidate("verified", Evidence.E2),), limit="60 steps")
    assert (outcome.status, outcome.evidence, outcome.exit_code) == ("fixed", Evidence.E2, ExitCode.OK)


def test_an_opinion_is_not_a_fix() -> None:
    outcome = conclude(None, (candidate("unproven", Evidence.E0),))
    assert (outcome.status, outcome.exit_code) == ("unproven", ExitCode.NO_PATCH)
    assert outcome.best is not None


def test_a_limit_without_evidence_is_a_limit() -> None:
    assert conclude(None, (candidate("unproven", Evidence.E0),), limit="x").exit_code == ExitCode.LIMIT
    assert conclude(None, (), limit="x").exit_code == ExitCode.LIMIT


def test_a_harmless_patch_outranks_a_regression() -> None:
    tried = (candidate("reproducer_fails", Evidence.E0, "aaa"), candidate("regressed", Evidence.E0, "b"))
    outcome = conclude(REPRODUCER, tried)
    assert outcome.best is tried[0]
    assert conclude(REPRODUCER, tried[1:]).status == "regressed"


def test_the_smaller_diff_wins_a_tie() -> None:
    tried = (candidate("verified", Evidence.E1, "long diff"), candidate("verified", Evidence.E1, "short"))
    assert conclude(REPRODUCER, tried).best is tried[1]


def test_refused_and_empty_patches_are_no_patch() -> None:
    outcome = conclude(REPRODUCER, (candidate("refused", Evidence.E0), candidate("empty", Evidence.E0, "")))
    assert (outcome.status, outcome.best, outcome.exit_code) == ("no_patch", None, ExitCode.NO_PATCH)
    assert outcome.reasons == ("empty",)
