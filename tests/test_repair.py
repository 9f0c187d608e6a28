"""The pipeline end to end: a scripted model, everything else real (git, container, tests, coverage)."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem.errors import ExitCode
from agentmem.repair.outcome import Evidence
from tests.repairs import (
    GOOD,
    LOOK,
    REPAIR,
    SUBMIT_PATCH,
    SUBMIT_REPRODUCER,
    WRITE_REPRODUCER,
    git,
    make_repo,
    make_request,
    run_repair,
)
from tests.scripted import Line, Scripted

pytestmark = pytest.mark.docker


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo")


def edit(old: str, new: str, path: str = "stats.py") -> Line:
    return [("edit", {"path": path, "old": old, "new": new})]


def test_a_bug_is_repaired_with_evidence_e2(repo: Path, tmp_path: Path) -> None:
    before = git(repo, "status", "--porcelain", "--ignored"), git(repo, "rev-parse", "HEAD")
    outcome, run = run_repair(make_request(repo), tmp_path / "home", Scripted(GOOD))

    assert (outcome.status, outcome.evidence, outcome.exit_code) == ("fixed", Evidence.E2, ExitCode.OK)
    assert outcome.best is not None
    validation = outcome.best.validation
    assert validation.covered is True
    assert validation.tests.files == ("test_stats.py",)
    assert (validation.tests.passed_before, validation.tests.passed_after) == (2, 2)
    assert outcome.reproducer is not None
    assert "AssertionError: 2" in outcome.reproducer.failure
    patch = run.patch_path.read_text()
    assert "+    return total(values) / len(values)" in patch
    assert "reproduce_issue" not in patch
    assert (git(repo, "status", "--porcelain", "--ignored"), git(repo, "rev-parse", "HEAD")) == before
    git(repo, "apply", str(run.patch_path))
    assert "total(values) / len" in (repo / "stats.py").read_text()


def test_the_result_holds_what_was_measured(repo: Path, tmp_path: Path) -> None:
    _, run = run_repair(make_request(repo), tmp_path / "home", Scripted(GOOD))
    result = run.load_result()
    assert result is not None
    assert result["spent"]["steps"] == 5
    assert result["spent"]["tokens"] == 5 * 110
    assert result["spent"]["cost"] == pytest.approx(0.005)
    assert result["replayed"] is False
    assert result["tried"][0]["verdict"] == "verified"
    kinds = [event["kind"] for event in run.events()]
    assert kinds[0] == "created"
    assert kinds[-1] == "run_finished"
    assert kinds.count("step") == 5


def test_a_reproducer_that_passes_is_sent_back_with_a_reason(repo: Path, tmp_path: Path) -> None:
    weak = [("edit", {"path": "test_reproduce_issue.py", "old": "", "new": "assert True\n"})]
    model = Scripted(
        {"reproduce": [weak, SUBMIT_REPRODUCER, WRITE_REPRODUCER, SUBMIT_REPRODUCER], "patch": GOOD["patch"]}
    )
    outcome, run = run_repair(make_request(repo), tmp_path / "home", model)
    assert outcome.status == "fixed"
    judged = [event for event in run.events() if event["kind"] == "reproducer"]
    assert [event["accepted"] for event in judged] == [False, True]
    assert "passes now" in judged[0]["reason"]
    lanes = [str(lane) for lane, _ in model.requests]
    assert lanes[2] == "reproduce-c0-r1-000"
    assert "must fail as long as the bug is there" in model.requests[2][1][-1]["content"]


def test_without_a_reproducer_the_evidence_is_e0_and_nothing_is_called_fixed(
    repo: Path, tmp_path: Path
) -> None:
    model = Scripted({"reproduce": ["no", "I", "can't"], "patch": [REPAIR, SUBMIT_PATCH]})
    outcome, _ = run_repair(make_request(repo), tmp_path / "home", model)
    assert (outcome.status, outcome.evidence) == ("unproven", Evidence.E0)
    assert outcome.exit_code == ExitCode.NO_PATCH
    assert outcome.best is not None


def test_a_patch_that_breaks_a_neighbour_is_refined(repo: Path, tmp_path: Path) -> None:
    breaks = edit("result += value", "result += value / 1 + 0.0001")
    also = edit("total(values) // len(values)", "2.5 if len(values) == 4 else 7")
    undo = [("bash", {"command": "git checkout -q stats.py"})]
    model = Scripted(
        {
            "reproduce": GOOD["reproduce"],
            "patch": [breaks, also, SUBMIT_PATCH, undo, REPAIR, SUBMIT_PATCH],
        }
    )
    outcome, _ = run_repair(make_request(repo), tmp_path / "home", model)
    assert [each.validation.verdict for each in outcome.tried] == ["regressed", "verified"]
    assert outcome.status == "fixed"
    assert "test_total" in "".join(outcome.tried[0].validation.reasons)


def test_a_regression_that_stays_is_never_fixed(repo: Path, tmp_path: Path) -> None:
    breaks = edit("total(values) // len(values)", "2.5")
    model = Scripted({"reproduce": GOOD["reproduce"], "patch": [breaks, SUBMIT_PATCH]})
    outcome, _ = run_repair(make_request(repo, max_steps=4), tmp_path / "home", model)
    assert (outcome.status, outcome.evidence) == ("regressed", Evidence.E0)
    assert outcome.exit_code == ExitCode.LIMIT


def test_a_patch_that_does_not_help_says_what_the_reproducer_printed(repo: Path, tmp_path: Path) -> None:
    useless = edit('"""The arithmetic mean."""', '"""The mean."""')
    model = Scripted({"reproduce": GOOD["reproduce"], "patch": [useless, SUBMIT_PATCH, REPAIR, SUBMIT_PATCH]})
    outcome, _ = run_repair(make_request(repo), tmp_path / "home", model)
    assert [each.validation.verdict for each in outcome.tried] == ["reproducer_fails", "verified"]
    assert "AssertionError: 2" in model.requests[4][1][-1]["content"]


def test_a_patch_of_a_test_hook_is_refused(repo: Path, tmp_path: Path) -> None:
    hook = edit("", "collect_ignore = ['test_stats.py']\n", path="conftest.py")
    model = Scripted({"reproduce": GOOD["reproduce"], "patch": [hook, SUBMIT_PATCH, "x", "x", "x"]})
    outcome, _ = run_repair(make_request(repo), tmp_path / "home", model)
    assert outcome.tried[0].validation.verdict == "refused"
    assert (outcome.status, outcome.best) == ("no_patch", None)


def test_work_that_was_not_handed_in_is_still_judged(repo: Path, tmp_path: Path) -> None:
    model = Scripted({"reproduce": GOOD["reproduce"], "patch": [REPAIR, LOOK, LOOK]})
    outcome, _ = run_repair(make_request(repo, max_steps=4), tmp_path / "home", model)
    assert outcome.limit == "the limit of 4 steps is reached"
    assert (outcome.status, outcome.exit_code) == ("fixed", ExitCode.OK)


def test_an_agent_that_repeats_itself_is_told_and_loses_a_round(repo: Path, tmp_path: Path) -> None:
    model = Scripted({"reproduce": [LOOK] * 3 + list(GOOD["reproduce"]), "patch": GOOD["patch"]})
    outcome, _ = run_repair(make_request(repo), tmp_path / "home", model)
    assert outcome.status == "fixed"
    assert "gave the same result 3 times" in model.requests[3][1][-1]["content"]
    assert str(model.requests[3][0]) == "reproduce-c0-r1-000"


def test_three_replies_without_a_call_end_the_loop(repo: Path, tmp_path: Path) -> None:
    model = Scripted({"reproduce": GOOD["reproduce"], "patch": ["a", "b", "c"]})
    outcome, _ = run_repair(make_request(repo), tmp_path / "home", model)
    assert outcome.status == "no_patch"
    assert "Every reply must call a tool" in model.requests[3][1][-1]["content"]


def test_a_stuck_patch_starts_over_in_a_clean_sandbox(repo: Path, tmp_path: Path) -> None:
    run_tests: Line = [("bash", {"command": "python test_reproduce_issue.py"})]
    wrong = edit("total(values) // len(values)", "total(values) // (len(values) + 1)")
    model = Scripted(
        {
            "reproduce": GOOD["reproduce"],
            "patch": [wrong, run_tests, run_tests, run_tests, REPAIR, SUBMIT_PATCH],
        }
    )
    outcome, _ = run_repair(make_request(repo), tmp_path / "home", model)
    assert outcome.status == "fixed"  # REPAIR only fits the text of the base commit
    assert [each.validation.verdict for each in outcome.tried] == ["reproducer_fails", "verified"]


def test_a_patch_that_is_never_handed_in_counts_when_the_agent_is_stuck(repo: Path, tmp_path: Path) -> None:
    run_tests: Line = [("bash", {"command": "python test_reproduce_issue.py"})]
    model = Scripted({"reproduce": GOOD["reproduce"], "patch": [REPAIR, run_tests, run_tests, run_tests]})
    outcome, _ = run_repair(make_request(repo), tmp_path / "home", model)
    assert (outcome.status, outcome.limit) == ("fixed", "")


def test_the_reproducer_stays_as_it_is(repo: Path, tmp_path: Path) -> None:
    weaken = edit("== 2.5", "== 2", path="test_reproduce_issue.py")
    model = Scripted({"reproduce": GOOD["reproduce"], "patch": [weaken, REPAIR, SUBMIT_PATCH]})
    outcome, _ = run_repair(make_request(repo), tmp_path / "home", model)
    assert outcome.status == "fixed"
    refused = model.requests[3][1][-1]["content"]
    assert refused.endswith("is the reproducer and stays as it is: change the source, for example stats.py")
