"""Check that every trial is what it says: `python benchmarks/trials/verify.py [NAME ...]`.

For each folder of tests/fixtures/trials: a fresh clone of its bundle in a virtual environment; the tests in
the tree pass; the hidden tests fail on the base exactly where they should; with the gold patch all pass.
Needs a package index for the set-up. Prints a table; exit code 1 when a trial is not as it says.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from grade import Bench, Trial, load

TRIALS = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "trials"


@dataclass(frozen=True)
class Row:
    """What was seen of one trial; each of the four is "passed/ran" or a word."""

    name: str
    commits: int
    kilobytes: int
    visible: str
    base: str
    gold: str
    seconds: float
    faults: tuple[str, ...]


def check(trial: Trial) -> Row:
    """Run one trial's tests on the base and with the gold patch."""
    started, faults = time.monotonic(), []
    wanted = trial.fail_to_pass | trial.pass_to_pass
    with Bench(trial) as bench:
        commits = _commits(bench.tree)
        if commits != 1:
            faults.append(f"{commits} commits reachable, not one")
        visible = bench.test(trial.visible) if trial.visible else {}
        if trial.visible and (not visible or not all(visible.values())):
            faults.append(f"visible tests fail: {sorted(t for t, ok in visible.items() if not ok)[:3]}")
        bench.lay_hidden_tests()
        base = bench.test(trial.command)
        failed = {test for test in wanted if not base.get(test, False)}
        if failed != trial.fail_to_pass:
            faults.append(f"on the base, unlike the list: {sorted(failed ^ trial.fail_to_pass)[:3]}")
        if not bench.apply(trial.gold.read_text()):
            faults.append("the gold patch does not apply")
        gold = bench.test(trial.command)
        still = sorted(test for test in wanted if not gold.get(test, False))
        if still:
            faults.append(f"fail with the gold patch: {still[:3]}")
    return Row(
        name=trial.name,
        commits=commits,
        kilobytes=-(-trial.bundle.stat().st_size // 1024),
        visible=f"{sum(visible.values())}/{len(visible)}" if trial.visible else "none",
        base=f"{len(wanted) - len(failed)}/{len(wanted)}",
        gold=f"{len(wanted) - len(still)}/{len(wanted)}",
        seconds=time.monotonic() - started,
        faults=tuple(faults),
    )


def _commits(tree: Path) -> int:
    done = subprocess.run(["git", "rev-list", "--all", "--count"], cwd=tree, check=True, capture_output=True)
    return int(done.stdout)


def main() -> int:
    names = sys.argv[1:] or sorted(path.parent.name for path in TRIALS.glob("*/trial.json"))
    print(
        f"{'trial':36}{'bundle':>8}{'visible':>10}{'hidden, base':>14}{'with gold':>11}{'time':>7}  verdict"
    )
    bad = 0
    for name in names:
        row = check(load(TRIALS / name))
        bad += bool(row.faults)
        verdict = "; ".join(row.faults) or "ok"
        size, spent = f"{row.kilobytes} KB", f"{row.seconds:.0f} s"
        print(
            f"{name:36}{size:>8}{row.visible:>10}{row.base:>14}{row.gold:>11}{spent:>7}  {verdict}",
            flush=True,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
