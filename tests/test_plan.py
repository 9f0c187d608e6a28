"""`agentmem fix --dry-run`: the plan, without a model, a container or a run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from agentmem.repair.plan import plan_of
from tests.commands import environment, fix
from tests.repairs import ISSUE, make_repo, make_request

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent.sock"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", requirements__txt="iniconfig\n")


def test_it_tells_what_would_be_done_and_where_it_would_look(repo: Path) -> None:
    (repo / "stats.py").write_text("changed, not committed\n")
    plan = plan_of(make_request(repo, max_steps=7, max_cost=0.5))
    assert plan["model"] == "scripted"
    assert plan["limits"] == ["7 steps", "2,000,000 tokens", "$0.5", "3600 s"]
    assert plan["tests"] == "python -m pytest"
    assert any("requirements.txt" in command for command in plan["set-up"])
    assert plan["places"][0].startswith("stats.py:12-14 mean")
    assert plan["left out"] == ["stats.py"]
    assert plan["why"]


def test_given_commands_are_taken_as_given(repo: Path) -> None:
    plan = plan_of(make_request(repo, setup_command="make deps", test_command="make check"))
    assert (plan["set-up"], plan["tests"]) == (["make deps"], "make check")


@pytest.mark.parametrize("json_asked", [False, True])
def test_the_command_spends_nothing_and_begins_nothing(repo: Path, tmp_path: Path, json_asked: bool) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        fix(repo, "--issue", ISSUE, "--dry-run", *(["--json"] if json_asked else [])),
        env=environment(home, XDG_CONFIG_HOME=str(tmp_path / "config"), **NO_ENGINE),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if json_asked:
        assert json.loads(done.stdout)["model"] == "none configured"
    else:
        assert "model:        none configured\n" in done.stdout
        assert "60 steps\n              2,000,000 tokens\n" in done.stdout
    assert not home.exists()
