"""Verdicts that must not be given, and ends that must not come, end to end."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from agentmem.repair.outcome import Evidence, Outcome, Reproducer
from agentmem.repair.pipeline import prepare
from agentmem.repair.state import State
from agentmem.repair.validate import Validator
from agentmem.runs import Run
from tests.commands import containers, environment, fix, wait_for_event
from tests.repairs import (
    ISSUE,
    REPRODUCER,
    SUBMIT_PATCH,
    SUBMIT_REPRODUCER,
    make_repo,
    make_request,
    run_repair,
)
from tests.scripted import Call, Line, Scripted

pytestmark = pytest.mark.docker

LOOP = (
    "def total(values):\n    result = 0\n    for value in values:\n"
    "        result += value\n        return result\n"
)


def reproducer(text: str) -> Line:
    assert isinstance(SUBMIT_REPRODUCER, list)
    return [("edit", {"path": "test_reproduce_issue.py", "old": "", "new": text}), *SUBMIT_REPRODUCER]


def repaired(tmp_path: Path, text: str, *patches: Line, **files: str) -> Outcome:
    """The outcome of one reproducer and some patches, with no step beyond them."""
    request = make_request(make_repo(tmp_path / "repo", **files), max_steps=1 + len(patches))
    lines = {"reproduce": [reproducer(text)], "patch": list(patches)}
    return run_repair(request, tmp_path / "home", Scripted(lines))[0]


def change(old: str, new: str, path: str = "stats.py") -> Call:
    return "edit", {"path": path, "old": old, "new": new}


def submit(*calls: Call) -> Line:
    assert isinstance(SUBMIT_PATCH, list)
    return [*calls, *SUBMIT_PATCH]


def test_a_patch_cannot_weaken_the_test_it_breaks(tmp_path: Path) -> None:
    harm = change("    return result", "    return float(result) if len(values) != 3 else 7")
    weaker = change("== 6", "== 7", "test_stats.py")
    outcome = repaired(tmp_path, REPRODUCER, submit(change("// len", "/ len"), harm, weaker))
    assert (outcome.status, outcome.evidence) == ("regressed", Evidence.E0)
    assert outcome.reasons[0] == "test_stats::test_total passed before and fails now"
    assert "as the base commit has them" in outcome.reasons[1]


def test_what_passes_without_the_patch_too_is_no_evidence(tmp_path: Path) -> None:
    """As when time, chance or a place outside has made the reproducer pass since it was accepted."""
    text = "import stats\n\nassert stats.mean([2, 2]) == 2\n"
    passing = Reproducer("ripe.py", text, "python ripe.py", "", "AssertionError", "")
    request = make_request(make_repo(tmp_path / "repo"))
    patch = (
        "diff --git a/stats.py b/stats.py\n--- a/stats.py\n+++ b/stats.py\n@@ -14 +14 @@ def mean(values):\n"
    )
    patch += "-    return total(values) // len(values)\n+    return total(values) / len(values)\n"
    with Run.create(tmp_path / "home", request.to_json()) as run:
        found = Validator(prepare(request, run, Scripted(), State()), passing).validate(patch)
    assert (found.verdict, found.evidence) == ("unproven", Evidence.E0)
    assert "passes without the patch" in found.reasons[0]


def test_a_patch_that_only_moves_a_line_is_judged_anew(tmp_path: Path) -> None:
    outcome = repaired(
        tmp_path,
        "import loop\n\nassert loop.total([1, 2]) == 3\n",
        submit(change("        return result", "            return result", "loop.py")),
        submit(change("            return result", "    return result", "loop.py")),
        loop__py=LOOP,
    )
    assert [each.validation.verdict for each in outcome.tried] == ["reproducer_fails", "verified"]


def test_a_line_that_coverage_is_told_to_overlook_counts(tmp_path: Path) -> None:
    marked = "def one():  # pragma: no cover\n    return 2\n"
    text = "import marked\n\nassert marked.one() == 1\n"
    outcome = repaired(tmp_path, text, submit(change("2", "1", "marked.py")), marked__py=marked)
    assert (outcome.status, outcome.evidence) == ("fixed", Evidence.E1)


def test_a_script_that_was_not_handed_in_is_run_as_a_script(tmp_path: Path) -> None:
    write: Line = [("edit", {"path": "test_reproduce_issue.py", "old": "", "new": REPRODUCER})]
    request = make_request(make_repo(tmp_path / "repo"), max_steps=2)
    lines = {"reproduce": [write], "patch": [submit(change("// len", "/ len"))]}
    outcome, _ = run_repair(request, tmp_path / "home", Scripted(lines))
    assert (outcome.status, outcome.evidence) == ("fixed", Evidence.E2)


def test_a_second_ctrl_c_leaves_no_container_either(tmp_path: Path) -> None:
    repo, home = make_repo(tmp_path / "repo"), tmp_path / "home"
    command = fix(repo, "--issue", ISSUE, "--model", f"file:{tmp_path / 'replies'}")
    with subprocess.Popen(
        command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        run = wait_for_event(home, process, lambda event: str(event.get("text")).startswith("Waiting"))
        process.send_signal(signal.SIGINT)
        time.sleep(0.15)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    assert containers(run) == []


def test_a_model_nobody_knows_is_refused_before_the_set_up(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    command = fix(repo, "--issue", ISSUE, "--model", "nonsense")
    done = subprocess.run(command, env=environment(tmp_path / "home"), capture_output=True, text=True)
    assert done.returncode == 3
    assert "No provider is known" in done.stderr
    assert "environment" not in done.stderr


def test_a_test_command_that_finds_no_test_is_no_evidence(tmp_path: Path) -> None:
    request = make_request(make_repo(tmp_path / "repo"), max_steps=2, test_command="python -m unittest")
    lines = {"reproduce": [reproducer(REPRODUCER)], "patch": [submit(change("// len", "/ len"))]}
    outcome, _ = run_repair(request, tmp_path / "home", Scripted(lines))
    assert (outcome.status, outcome.evidence) == ("fixed", Evidence.E1)
    assert outcome.reasons[-1] == "no relevant test passes before the patch"
