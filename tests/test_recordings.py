"""The kept recordings of real models: replies by lane, all else live, so that the evidence is measured anew.

Prompts may have changed since a recording was made (drift is allowed).
"""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentmem.issue import read_issue
from agentmem.model import ModelOptions, open_model
from agentmem.repair.pipeline import repair
from agentmem.repair.request import new_request
from agentmem.runs import Run
from agentmem.settings import load

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parent
TRIALS = ROOT / "fixtures" / "trials"
RESULTS = ROOT.parent / "benchmarks" / "trials" / "results.jsonl"


def folder_of(trial: Path) -> Path:
    """Where the trial's bundle, issue and recording lie: the demo's are part of the package."""
    facts = json.loads((trial / "trial.json").read_text())
    bundle = trial / str(facts.get("bundle", "repo.bundle"))
    return bundle.resolve().parent


RECORDED = sorted(
    path.parent.name
    for path in TRIALS.glob("*/trial.json")
    if (folder_of(path.parent) / "recording.jsonl").exists()
)


def reported(trial: str) -> dict[str, Any]:
    """What the results say of the recorded attempt: the last one that ended with evidence."""
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    found: dict[str, Any] = [line for line in lines if line["trial"] == trial and line["exit_code"] == 0][-1]
    return found


def test_the_recordings_are_there() -> None:
    assert sum(name.startswith("quixbugs") for name in RECORDED) >= 5
    assert sum(name.startswith("flask") for name in RECORDED) >= 2
    assert sum(name.startswith("planted") for name in RECORDED) >= 2


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_repair_proves_itself_again(name: str, tmp_path: Path) -> None:
    trial = TRIALS / name
    facts = json.loads((trial / "trial.json").read_text())
    folder = folder_of(trial)
    subprocess.run(["git", "clone", "-q", str(folder / "repo.bundle"), str(tmp_path / "repo")], check=True)
    issue = read_issue(str(folder / "issue.md"), io.BytesIO())
    flags = {key: facts[key] for key in ("setup_command", "test_command") if facts.get(key)}
    request = new_request(tmp_path / "repo", "HEAD", issue, load(flags, {}).settings, None)
    model = open_model(f"replay:{folder / 'recording.jsonl'}?drift=report", options=ModelOptions())
    with Run.create(tmp_path / "home", request.to_json()) as run:
        outcome = repair(request, run, model)
    expected = reported(name)
    assert outcome.status == "fixed", outcome.reasons
    assert outcome.evidence == expected["evidence"]
    result = run.load_result()
    assert result is not None
    assert result["replayed"] is True
    assert result["spent"]["steps"] == expected["steps"]
