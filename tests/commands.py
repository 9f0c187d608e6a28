"""`agentmem fix` as a process of its own, and recordings for it to replay."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agentmem.model.base import Lane
from agentmem.model.replay import Recorder
from agentmem.runs import Event, RunReader
from tests.scripted import Line, Scripted


def fix(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "agentmem", "fix", *map(str, arguments)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """This process's environment without its settings and keys; `home` is where the runs go."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AGENTMEM_") and not name.endswith("_API_KEY")
    }
    return {**kept, "AGENTMEM_HOME": str(home), "NO_COLOR": "1", **more}


def lanes(**by_role: list[Line]) -> dict[str, Line]:
    """Replies by lane, for roles that need one round: the turns in order."""
    return {
        str(Lane(role, turn=turn)): line for role, lines in by_role.items() for turn, line in enumerate(lines)
    }


def record(path: Path, by_lane: Mapping[str, Line], cost: float | None = 0.001) -> str:
    """The name of a model that replays these replies, whatever it is asked."""
    recorder = Recorder(Scripted(by_lane=by_lane, cost=cost), path, {})
    for name in by_lane:
        role, candidate, round_, turn = name.rsplit("-", 3)
        lane = Lane(role, int(candidate[1:]), int(round_[1:]), int(turn))
        recorder.complete([], [], lane=lane, temperature=0.0, max_tokens=1)
    return f"replay:{path}?drift=report"


def wait_for_event(
    home: Path, process: subprocess.Popen[bytes], wanted: Callable[[Event], bool], number: int = 1
) -> str:
    """Wait until the newest run has had `number` such events, or the process is over; the run's id."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        runs = sorted((home / "runs").glob("*"))
        if runs and sum(map(wanted, RunReader(runs[-1]).events())) >= number:
            return runs[-1].name
        if process.poll() is not None:
            break
        time.sleep(0.01)
    raise AssertionError("the process ended, or two minutes went by, without the event")


def containers(run_id: str) -> list[str]:
    """The containers that a run has left, running or not."""
    from agentmem.sandbox import owner
    from agentmem.sandbox.engine import connect

    found = connect().containers(all=True, filters={"label": f"{owner.RUN}={run_id}"})
    return [str(each["Id"]) for each in found]
