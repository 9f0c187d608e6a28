"""kill -9 at any step: the run goes on and ends the same. Real processes, a strict recording, containers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem.model.replay import Recorder
from agentmem.runs import Event, RunReader, find_run
from tests.commands import containers, environment, fix, wait_for_event
from tests.repairs import GOOD_BY_LANE, ISSUE, make_repo, make_request, run_repair
from tests.scripted import Scripted

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """The repository, a recording of its repair, and the result that every other run must end with."""
    folder = tmp_path_factory.mktemp("recorded")
    repo, recording = make_repo(folder / "repo"), folder / "recording.jsonl"
    model = Recorder(Scripted(by_lane=GOOD_BY_LANE), recording, {})
    _, run = run_repair(make_request(repo), folder / "home", model)  # type: ignore[arg-type]
    result = run.load_result()
    assert result is not None
    return repo, recording, result


def same(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what differs between any two runs: ids, seconds, paths, the name of the model."""
    kept = {
        key: result[key]
        for key in ("status", "evidence", "exit_code", "explanation", "base_commit", "issue", "limit")
    }
    kept["tried"] = [{**each, "diff": each["diff"]} for each in result["tried"]]
    spent = {key: result["spent"][key] for key in ("steps", "prompt_tokens", "completion_tokens", "cost")}
    return {**kept, **spent, "reproducer": result["reproducer"]["content"]}


def of_kind(kind: str) -> Callable[[Event], bool]:
    return lambda event: bool(event["kind"] == kind)


def at_lane(lane: str) -> Callable[[Event], bool]:
    role, candidate, round_, turn = lane.rsplit("-", 3)

    def is_step(event: Event) -> bool:
        return event["kind"] == "step" and (role, candidate, round_, int(turn)) == (
            event["role"],
            f"c{event['candidate']}",
            f"r{event['round']}",
            event["turn"],
        )

    return is_step


def kill_at(command: list[str], home: Path, moment: Callable[[Event], bool]) -> str:
    """Run the command until an event has been written, and kill it at once; the run's id."""
    process = subprocess.Popen(
        command, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    run_id = wait_for_event(home, process, moment)
    process.kill()
    process.wait()
    return run_id


def resume(home: Path, run_id: str) -> dict[str, Any]:
    """The result of the run, which is gone on with to its end."""
    done = subprocess.run(
        fix("--resume", run_id, "--json"), env=environment(home), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (home / "runs").iterdir()] == [run_id]
    assert containers(run_id) == []
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_killed_at_every_step_the_run_ends_the_same(
    recorded: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Each step is killed once: after its event, and mostly before its checkpoint."""
    repo, recording, expected = recorded
    home = tmp_path / "home"
    command = fix(repo, "--issue", ISSUE, "--model", f"replay:{recording}")
    for lane in GOOD_BY_LANE:
        command = fix("--resume", kill_at(command, home, at_lane(lane)))
    result = resume(home, command[-1])
    assert same(result) == same(expected)
    assert result["replayed"] is True


@pytest.mark.parametrize("kind", ["attempt", "reproducer", "validation"])
def test_killed_within_a_step_the_run_ends_the_same(
    recorded: tuple[Path, Path, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    """Before the first reply, and when a verdict is known but its step is not saved."""
    repo, recording, expected = recorded
    home = tmp_path / "home"
    command = fix(repo, "--issue", ISSUE, "--model", f"replay:{recording}")
    run_id = kill_at(command, home, of_kind(kind))
    assert same(resume(home, run_id)) == same(expected)


def test_killed_again_and_again_at_odd_moments(
    recorded: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    repo, recording, expected = recorded
    home = tmp_path / "home"
    command = fix(repo, "--issue", ISSUE, "--model", f"replay:{recording}")
    delay = 1.5
    for _ in range(20):
        process = subprocess.Popen(command, env=environment(home), stderr=subprocess.DEVNULL)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            break
        delay *= 1.3  # so that even the longest step gets the time it takes here
        if (home / "runs").is_dir() and any((home / "runs").iterdir()):
            run = RunReader(find_run(home, "latest"))
            if any(True for _ in run.events()):
                command = fix("--resume", run.id)
    assert process.returncode == 0
    result = RunReader(find_run(home, "latest")).load_result()
    assert result is not None
    assert same(result) == same(expected)


def test_two_processes_cannot_hold_one_run(
    recorded: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    repo, recording, _ = recorded
    home = tmp_path / "home"
    command = fix(repo, "--issue", ISSUE, "--model", f"replay:{recording}")
    process = subprocess.Popen(command, env=environment(home), stderr=subprocess.DEVNULL)
    try:
        wait_for_event(home, process, of_kind("stage"))
        second = subprocess.run(
            fix("--resume", "latest"),
            env=environment(home),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        process.kill()
        process.wait()
    assert second.returncode == 2
    assert f"in use by process {process.pid}" in second.stderr
