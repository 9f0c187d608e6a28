"""Run one trial as a user would: `agentmem fix` on a fresh clone, then the hidden tests.

    python benchmarks/trials/run.py quixbugs-gcd --model local:FILE.gguf --label qwen2.5-coder-1.5b

Every attempt adds one line to `results.jsonl` beside this file, whatever came of it. The recording of the
replies goes to the trial's folder when the run ends with evidence E1 or better.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TRIALS = HERE.parent.parent / "tests" / "fixtures" / "trials"
RESULTS = HERE / "results.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("trial")
    parser.add_argument("--model", required=True)
    parser.add_argument("--label", help="what the model is called in the results", required=True)
    own, extra = _split(sys.argv[1:])
    arguments = parser.parse_args(own)
    trial = TRIALS / arguments.trial
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        line, patch = attempt(trial, Path(folder), arguments.model, arguments.label, extra)
        line = {"trial": arguments.trial, "model": arguments.label, "options": extra, **line}
        line |= grade(trial, patch) if patch else {"hidden_passed": 0, "hidden_failed": None}
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))
    return 0


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The words before and after `--`; those after it are passed on to `agentmem fix`."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def attempt(
    trial: Path, folder: Path, model: str, label: str, extra: list[str]
) -> tuple[dict[str, Any], str]:
    """What the run's result says, and the patch's text (empty when there is none)."""
    given = json.loads((trial / "trial.json").read_text())
    repo, recording = folder / "repo", folder / "recording.jsonl"
    bundle = (trial / given.get("bundle", "repo.bundle")).resolve()
    subprocess.run(["git", "clone", "-q", str(bundle), str(repo)], check=True)
    issue = bundle.parent / "issue.md"
    command = [sys.executable, "-m", "agentmem", "fix", str(repo), "--issue", str(issue), "--model", model]
    command += ["--record", str(recording), "--json", *extra]
    for flag in ("setup_command", "test_command"):
        if given.get(flag):
            command += [f"--{flag.replace('_', '-')}", given[flag]]
    began = time.monotonic()
    done = subprocess.run(
        command,
        env={**os.environ, "AGENTMEM_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    result = json.loads(done.stdout or "{}")
    spent = result.get("spent") or {}
    line = {
        "date": time.strftime("%Y-%m-%d"),
        "exit_code": done.returncode,
        "status": result.get("status") or result.get("error"),
        "evidence": result.get("evidence"),
        "steps": spent.get("steps"),
        "prompt_tokens": spent.get("prompt_tokens"),
        "completion_tokens": spent.get("completion_tokens"),
        "tokens_exact": spent.get("tokens_exact"),
        "cost": spent.get("cost"),
        "seconds": round(time.monotonic() - began, 1),
    }
    if done.returncode == 0:
        text = recording.read_text(encoding="utf-8")
        (bundle.parent / "recording.jsonl").write_text(text.replace(model, label), encoding="utf-8")
    best = (result.get("tried") or [{}])[-1].get("diff", "")
    path = result.get("patch_path")
    return line, Path(path).read_text(encoding="utf-8", errors="surrogateescape") if path else best


def grade(trial: Path, patch: str) -> dict[str, Any]:
    """The hidden tests on a fresh clone with the patch, in a process of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".diff", errors="surrogateescape") as file:
        file.write(patch)
        file.flush()
        done = subprocess.run(
            [sys.executable, str(HERE / "grade.py"), str(trial), file.name],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    verdict: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return verdict


if __name__ == "__main__":
    sys.exit(main())
