"""What becomes of a patch: a file, the work tree or a branch; never without evidence, or over your work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import AgentmemError, NoPatchError, UsageError
from agentmem.repair.deliver import deliver
from agentmem.repair.outcome import Candidate, Evidence, Outcome, Validation, conclude
from agentmem.repair.request import Request
from agentmem.runs import Run
from tests.repairs import STATS, git, make_repo, make_request

DIFF = """diff --git a/stats.py b/stats.py
--- a/stats.py
+++ b/stats.py
@@ -12,3 +12,3 @@
 def mean(values):
     \"\"\"The arithmetic mean.\"\"\"
-    return total(values) // len(values)
+    return total(values) / len(values)
"""
REPAIRED = STATS.replace("//", "/")


def outcome(evidence: Evidence = Evidence.E1) -> Outcome:
    verdict = "verified" if evidence >= Evidence.E1 else "unproven"
    validation = Validation(verdict, evidence, ("the reproducer failed before and passes now",))  # type: ignore[arg-type]
    return conclude(None, (Candidate(0, 0, DIFF, "  True division.\n", validation),))


class Desk:
    """A repository, a run, and the delivery of a patch."""

    def __init__(self, folder: Path) -> None:
        self.repo = make_repo(folder / "repo")
        self.request: Request = make_request(self.repo)
        self.home = folder / "home"

    def deliver(self, found: Outcome, **asked: Any) -> dict[str, object]:
        given = {"apply": False, "branch": None, "output": None, "accept": Evidence.E1, **asked}
        with Run.create(self.home, self.request.to_json()) as run:
            return deliver(self.request, run, found, **given)

    def refused(self, kind: type[AgentmemError], found: Outcome, **asked: Any) -> str:
        """What it says, having changed nothing."""
        before = self.state()
        with pytest.raises(kind) as caught:
            self.deliver(found, **asked)
        assert caught.value.mend
        assert self.state() == before
        return caught.value.what

    def state(self) -> tuple[str, ...]:
        files = {path.name: path.read_text() for path in self.repo.iterdir() if path.is_file()}
        return (str(files), git(self.repo, "status", "--porcelain"), git(self.repo, "for-each-ref"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_nothing_is_done_unless_asked(desk: Desk) -> None:
    before = desk.state()
    assert desk.deliver(outcome()) == {}
    assert desk.state() == before


def test_without_a_patch_there_is_nothing_to_deliver(desk: Desk, tmp_path: Path) -> None:
    nothing = conclude(None, ())
    assert desk.deliver(nothing, apply=True, output=tmp_path / "out.diff") == {}
    assert not (tmp_path / "out.diff").exists()


def test_apply_changes_the_work_tree_and_nothing_else(desk: Desk) -> None:
    (desk.repo / "notes.txt").write_text("mine\n")
    (desk.repo / "test_stats.py").write_text("# mine, too\n")
    head = git(desk.repo, "rev-parse", "HEAD")
    assert desk.deliver(outcome(), apply=True) == {"applied": ["stats.py"]}
    assert (desk.repo / "stats.py").read_text() == REPAIRED
    assert git(desk.repo, "diff", "--cached", "--name-only") == ""
    assert git(desk.repo, "rev-parse", "HEAD") == head
    assert (desk.repo / "test_stats.py").read_text() == "# mine, too\n"


def test_apply_never_goes_over_the_users_changes(desk: Desk) -> None:
    (desk.repo / "stats.py").write_text(STATS + "# mine\n")
    assert "touches files with changes of yours: stats.py" in desk.refused(UsageError, outcome(), apply=True)


def test_apply_to_a_commit_it_does_not_fit(desk: Desk) -> None:
    (desk.repo / "stats.py").write_text("total = sum\n")
    git(desk.repo, "commit", "-qam", "rewritten")
    assert "does not apply to your files" in desk.refused(UsageError, outcome(), apply=True)


def test_a_branch_holds_one_commit_on_the_base(desk: Desk) -> None:
    base = desk.request.commit
    (desk.repo / "stats.py").write_text("work of mine\n")
    before = desk.state()[:2]
    done = desk.deliver(outcome(Evidence.E2), branch="fix/mean")
    assert done["branch"] == "fix/mean"
    assert done["branch_commit"] == git(desk.repo, "rev-parse", "fix/mean")
    assert git(desk.repo, "rev-parse", "fix/mean^") == base
    assert git(desk.repo, "show", "fix/mean:stats.py") == REPAIRED.strip()
    message = git(desk.repo, "log", "-1", "--format=%B", "fix/mean")
    assert message.startswith(
        f"Fix: {desk.request.issue.title}\n\nTrue division.\n\nEvidence: E2 (the reproducer"
    )
    assert "\nRun: 2" in message
    assert desk.state()[:2] == before
    assert git(desk.repo, "rev-parse", "--abbrev-ref", "HEAD") == "main"


def test_a_branch_is_never_moved(desk: Desk) -> None:
    git(desk.repo, "branch", "taken")
    assert "exists already" in desk.refused(UsageError, outcome(), branch="taken")
    assert "is not a branch name" in desk.refused(UsageError, outcome(), branch="a..b")


def test_the_output_is_the_patch_as_git_takes_it(desk: Desk, tmp_path: Path) -> None:
    target = tmp_path / "out.diff"
    assert desk.deliver(outcome(), output=target) == {"output": str(target)}
    assert target.read_text() == DIFF
    git(desk.repo, "apply", "--check", str(target))
    assert "cannot write" in desk.refused(UsageError, outcome(), output=tmp_path / "none" / "out.diff")


@pytest.mark.parametrize("asked", [{"apply": True}, {"branch": "b"}])
def test_without_evidence_it_is_only_written_to_a_file(desk: Desk, tmp_path: Path, asked: Any) -> None:
    target = tmp_path / "out.diff"
    said = desk.refused(NoPatchError, outcome(Evidence.E0), output=target, **asked)
    assert said == "the patch has evidence E0, and publishing it needs E1"
    assert target.read_text() == DIFF


def test_accept_e0_publishes_it_all_the_same(desk: Desk) -> None:
    done = desk.deliver(outcome(Evidence.E0), branch="unproven", accept=Evidence.E0)
    assert "Evidence: E0" in git(desk.repo, "log", "-1", "--format=%B", "unproven")
    desk.deliver(outcome(Evidence.E0), apply=True, accept=Evidence.E0)
    assert (desk.repo / "stats.py").read_text() == REPAIRED
    assert done["branch"] == "unproven"


def test_a_regression_is_never_more_than_e0(desk: Desk) -> None:
    harmful = Validation("regressed", Evidence.E0, ("test_total passed before and fails now",))
    found = conclude(None, (replace(outcome().tried[0], validation=harmful),))
    assert found.status == "regressed"
    assert "needs E1" in desk.refused(NoPatchError, found, apply=True)
