"""`agentmem demo`: which model and sandbox it takes, and the whole of it with what every machine has."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from agentmem.cli.demo import _next_command
from agentmem.errors import AgentmemError
from agentmem.repair import demo
from agentmem.settings import Settings, load
from tests.commands import environment
from tests.repairs import git

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent.sock"}


def settings(**flags: object) -> Settings:
    return load(flags, {}).settings


def test_a_configured_model_comes_first(tmp_path: Path) -> None:
    chosen = demo.choose_model(settings(model="anthropic/some-model"), tmp_path)
    assert (chosen.name, chosen.kind) == ("anthropic/some-model", "configured")


def test_then_a_model_file_then_the_recording_which_says_so(tmp_path: Path) -> None:
    chosen = demo.choose_model(settings(), tmp_path)
    assert chosen.kind == "recorded"
    assert chosen.name == f"replay:{demo.RECORDING}?drift=report"
    assert chosen.sentence.startswith(
        "No model is configured, so this replays the recorded replies of a real"
    )
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "small.gguf").touch()
    chosen = demo.choose_model(settings(), tmp_path)
    assert chosen.kind == ("local" if find_spec("xllamacpp") else "recorded")


def test_the_bundled_repository_has_the_bug_and_not_its_repair(tmp_path: Path) -> None:
    repo = demo.unpack_repository(tmp_path)
    assert git(repo, "rev-list", "--count", "--all") == "1"
    assert git(repo, "status", "--porcelain") == ""
    assert "Mahmoud Hashemi" in (demo.FOLDER / "LICENSE").read_text()
    request = demo.demo_request(repo, settings(), {"sandbox": "local"})
    assert request.settings.sandbox == "local"
    assert request.commit == git(repo, "rev-parse", "HEAD")
    assert "LRU" in request.issue.title
    with pytest.raises(AgentmemError, match="cannot be unpacked"):
        demo.unpack_repository(tmp_path)  # it is there already


def test_the_last_lines_are_a_command_for_the_users_own_repository() -> None:
    assert "--model" in _next_command("recorded")
    assert "--model" not in _next_command("configured")


@pytest.mark.docker
@pytest.mark.parametrize("engine", [True, False], ids=["docker", "no-engine"])
def test_the_whole_demo_repairs_the_bug(tmp_path: Path, engine: bool) -> None:
    """Also where no engine answers: it never ends having skipped the repair."""
    done = subprocess.run(
        [sys.executable, "-m", "agentmem", "demo"],
        env=environment(
            tmp_path / "home",
            XDG_CONFIG_HOME=str(tmp_path / "config"),
            TMPDIR=str(tmp_path),
            **({} if engine else NO_ENGINE),
        ),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("No model is configured, so this replays")
    assert ("so the demo runs in the local sandbox" in lines[1]) is not engine
    assert "  boltons/cacheutils.py:" in done.stdout
    assert "Evidence E2: the reproducer failed before and passes now" in done.stdout
    assert lines[-1].startswith("  agentmem fix PATH/TO/REPO --issue")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("agentmem-demo-*")) == []
