"""A small real repository with a bug, and the replies that repair it, for the end-to-end tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from agentmem.issue import make_issue
from agentmem.repair.outcome import Outcome
from agentmem.repair.pipeline import repair
from agentmem.repair.request import Request, new_request
from agentmem.runs import Run
from agentmem.settings import load
from tests.scripted import Line, Scripted

ISSUE = "mean([1, 2, 3, 4]) returns 2 instead of 2.5: `stats.mean` drops the fraction."
STATS = '''"""Small statistics."""


def total(values):
    """The sum of the values."""
    result = 0
    for value in values:
        result += value
    return result


def mean(values):
    """The arithmetic mean."""
    return total(values) // len(values)
'''
TEST_STATS = """import stats


def test_total():
    assert stats.total([1, 2, 3]) == 6


def test_mean_of_equal_values():
    assert stats.mean([2, 2]) == 2
"""
REPRODUCER = "import stats\n\nassert stats.mean([1, 2, 3, 4]) == 2.5, stats.mean([1, 2, 3, 4])\n"

WRITE_REPRODUCER: Line = [("edit", {"path": "test_reproduce_issue.py", "old": "", "new": REPRODUCER})]
SUBMIT_REPRODUCER: Line = [
    (
        "submit_reproducer",
        {
            "path": "test_reproduce_issue.py",
            "command": "python test_reproduce_issue.py",
            "reason": "drops the fraction",
        },
    )
]
REPAIR: Line = [
    ("edit", {"path": "stats.py", "old": "total(values) // len", "new": "total(values) / len"}),
    ("bash", {"command": "python test_reproduce_issue.py && python -m pytest -q"}),
]
SUBMIT_PATCH: Line = [("submit_patch", {"explanation": "`//` floors; a mean needs true division."})]
LOOK: Line = [("view", {"path": "stats.py"})]

GOOD: dict[str, list[Line]] = {
    "reproduce": [WRITE_REPRODUCER, SUBMIT_REPRODUCER],
    "patch": [LOOK, REPAIR, SUBMIT_PATCH],
}
GOOD_BY_LANE = {
    f"{role}-c0-r0-{turn:03d}": line for role, lines in GOOD.items() for turn, line in enumerate(lines)
}


# One date for all: the same files are the same commit, whose prepared image every test can share.
DATES = {"GIT_AUTHOR_DATE": "2020-02-02T00:00:00Z", "GIT_COMMITTER_DATE": "2020-02-02T00:00:00Z"}


def git(repo: Path, *command: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command],
        cwd=repo,
        env={**os.environ, **DATES},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def make_repo(folder: Path, **files: str) -> Path:
    """A git repository of one commit: `stats.py`, its tests, and `files` (name with `__` for a dot)."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    contents = {"stats.py": STATS, "test_stats.py": TEST_STATS}
    contents |= {name.replace("__", "."): text for name, text in files.items()}
    for name, text in contents.items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def make_request(repo: Path, issue: str = ISSUE, **flags: object) -> Request:
    given = {"model": "scripted", **flags}
    return new_request(repo, "HEAD", make_issue(issue, source="text"), load(given, {}).settings, None)


def run_repair(request: Request, home: Path, model: Scripted) -> tuple[Outcome, Run]:
    """Run the pipeline as `fix` does; the run is closed but can still be read."""
    run = Run.create(home, request.to_json())
    with run:
        return repair(request, run, model), run
