"""Grade a patch for one trial with the trial's hidden tests: `python benchmarks/trials/grade.py TRIAL PATCH`.

TRIAL is a folder of tests/fixtures/trials, PATCH a file with a unified diff, or `-` for standard input.
Prints one JSON object: `{"hidden_passed": n, "hidden_failed": n, "applies": bool}`.

The patch and the project's code run on this machine, as this user, without a sandbox: grade only what came
out of a run whose patch checks passed, or run this in a container. The hidden tests are laid over the tree
after the patch, so a patch cannot change them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree

# For trials that need nothing but a test runner; others name their own set-up.
PLAIN_SETUP = "pip install 'pytest==8.4.2'"
SETUP_SECONDS = 900
TEST_SECONDS = 600


@dataclass(frozen=True)
class Trial:
    """One folder of tests/fixtures/trials, read from its `trial.json`."""

    folder: Path
    name: str
    model_class: str
    bundle: Path
    setup: str
    visible: str | None
    """Command of the tests that are in the tree; None where there are none."""
    tests: tuple[Path, ...]
    """Hidden files; each lies under `hidden/tests` as it shall lie under the repository's root."""
    test_patch: Path | None
    gold: Path
    command: str
    fail_to_pass: frozenset[str]
    pass_to_pass: frozenset[str]


def load(folder: Path) -> Trial:
    """Read one trial. Raises FileNotFoundError or KeyError where the folder is not a trial."""
    facts: dict[str, Any] = json.loads((folder / "trial.json").read_text())
    hidden = facts["hidden"]
    ids: dict[str, list[str]] = json.loads((folder / hidden["ids"]).read_text())
    return Trial(
        folder=folder,
        name=facts["name"],
        model_class=facts["model_class"],
        bundle=(folder / facts.get("bundle", "repo.bundle")).resolve(),
        setup=facts["setup_command"] or PLAIN_SETUP,
        visible=facts["visible_tests"],
        tests=tuple(folder / path for path in hidden["tests"]),
        test_patch=folder / hidden["patch"] if hidden["patch"] else None,
        gold=folder / hidden["gold"],
        command=hidden["command"],
        fail_to_pass=frozenset(ids["fail_to_pass"]),
        pass_to_pass=frozenset(ids["pass_to_pass"]),
    )


class Bench:
    """A fresh clone of a trial's bundle and a virtual environment with the trial's set-up, both temporary."""

    def __init__(self, trial: Trial, python: str = sys.executable) -> None:
        self.trial = trial
        self._home = Path(tempfile.mkdtemp(prefix="trial-"))
        self.tree = self._home / "repo"
        venv = self._home / "venv"
        try:
            _run(["git", "clone", "-q", str(trial.bundle), str(self.tree)], self._home, dict(os.environ))
            _run([python, "-m", "venv", str(venv)], self._home, dict(os.environ))
            self._env = _environment(venv)
            _run(["bash", "-c", trial.setup], self.tree, self._env, SETUP_SECONDS)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)

    def apply(self, patch: str) -> bool:
        """Apply a unified diff to the tree; False, and an unchanged tree, where it does not fit."""
        if not patch.strip():
            return True
        done = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"],
            cwd=self.tree,
            input=patch,
            text=True,
            capture_output=True,
        )
        return done.returncode == 0

    def lay_hidden_tests(self) -> None:
        """Put the hidden tests over the tree, whatever a patch did to the files they live in."""
        for path in self.trial.tests:
            target = self.tree / path.relative_to(self.trial.folder / "hidden" / "tests")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if self.trial.test_patch is None:
            return
        patch = self.trial.test_patch.read_text()
        for name in _touched(patch):
            (self.tree / name).unlink(missing_ok=True)
            # A file that the hidden patch creates is not in the commit: then there is nothing to restore.
            subprocess.run(["git", "checkout", "-q", "HEAD", "--", name], cwd=self.tree, capture_output=True)
        if not self.apply(patch):
            raise RuntimeError(f"the hidden patch of {self.trial.name} does not fit its own tree")

    def test(self, command: str) -> dict[str, bool]:
        """Run a pytest command; the tests' ids, and whether each passed. Skipped tests are left out."""
        report = self._home / "report.xml"
        report.unlink(missing_ok=True)
        options = f" -q --tb=no -p no:cacheprovider -o junit_family=xunit1 --junitxml={report}"
        try:
            subprocess.run(
                ["bash", "-c", command + options],
                cwd=self.tree,
                env=self._env,
                capture_output=True,
                timeout=TEST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return {}
        return _read_report(report) if report.exists() else {}


def grade(trial_dir: Path, patch_text: str) -> dict[str, int | bool]:
    """Apply a patch to a fresh clone and run the hidden tests: counts of tests, and whether it applied.

    A hidden test that did not run counts as failed.
    """
    trial = load(trial_dir)
    wanted = trial.fail_to_pass | trial.pass_to_pass
    with Bench(trial) as bench:
        if not bench.apply(patch_text):
            return {"hidden_passed": 0, "hidden_failed": len(wanted), "applies": False}
        bench.lay_hidden_tests()
        results = bench.test(trial.command)
    passed = sum(results.get(name, False) for name in wanted)
    return {"hidden_passed": passed, "hidden_failed": len(wanted) - passed, "applies": True}


def _run(command: list[str], cwd: Path, env: dict[str, str], seconds: float = 120) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _environment(venv: Path) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    env["VIRTUAL_ENV"] = str(venv)
    env["PATH"] = f"{venv / 'bin'}{os.pathsep}{env['PATH']}"
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    return env


def _touched(patch: str) -> list[str]:
    lines = patch.splitlines()
    return [line.removeprefix("+++ b/") for line in lines if line.startswith("+++ b/")]


def _read_report(report: Path) -> dict[str, bool]:
    results: dict[str, bool] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        outcome = {child.tag for child in case}
        if "skipped" in outcome:
            continue
        file, klass, name = case.get("file", ""), case.get("classname", ""), case.get("name", "")
        within = klass.removeprefix(file.removesuffix(".py").replace("/", ".")).strip(".")
        identity = "::".join(part for part in (file, within.replace(".", "::"), name) if part)
        results[identity] = not outcome & {"failure", "error"}
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description="Grade a patch with a trial's hidden tests.")
    parser.add_argument("trial", type=Path)
    parser.add_argument("patch", help="a file with a unified diff, or - for standard input")
    arguments = parser.parse_args()
    patch = sys.stdin.read() if arguments.patch == "-" else Path(arguments.patch).read_text()
    result = grade(arguments.trial, patch)
    print(json.dumps(result))
    return 0 if result["applies"] and not result["hidden_failed"] else 1


if __name__ == "__main__":
    sys.exit(main())
