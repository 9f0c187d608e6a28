"""The command line's outer parts: exit codes, errors in two lines, signals, pipes, display."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem import __version__
from agentmem.cli import app as app_module
from agentmem.cli.display import display, is_live
from agentmem.cli.story import tell
from agentmem.errors import AgentmemError, ConfigError, LimitError, NoPatchError, ProviderError, SandboxError
from agentmem.runs import Run

Agentmem = Callable[..., "subprocess.CompletedProcess[str]"]
CALL = [sys.executable, "-m", "agentmem"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def agentmem(home: Path, tmp_path: Path) -> Agentmem:
    def call(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CALL, *arguments],
            env=environment(home, tmp_path) | environ,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


def environment(home: Path, tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AGENTMEM_")}
    return kept | {"AGENTMEM_HOME": str(home), "XDG_CONFIG_HOME": str(tmp_path / "config")}


def finished_run(home: Path) -> str:
    with Run.create(home, {"repo": "/r"}) as run:
        for kind, data in EVENTS:
            run.emit(kind, **data)
        run.save_patch("diff --git a/f b/f\n")
    return run.id


HOSTILE = "\x1b[2J\u202eevil [bold]text[/bold]\nsecond line"
LIMITS = {"max_steps": 60, "max_tokens": 2_000_000, "max_cost": 3.0, "timeout": 3600.0}
SPENT = {"steps": 1, "tokens": 1234, "cost": 0.25, "seconds": 61.0}
EVENTS: list[tuple[str, dict[str, Any]]] = [
    (
        "run_started",
        {
            "run_id": "R",
            "repo": "/r",
            "commit": "c" * 40,
            "issue_title": HOSTILE,
            "model": "m",
            "limits": LIMITS,
        },
    ),
    ("stage", {"name": "reproduce", "detail": ""}),
    ("attempt", {"role": "reproduce", "candidate": 0, "round": 1, "manifest": {"issue": 12}}),
    (
        "step",
        {
            "role": "reproduce",
            "turn": 0,
            "tool_calls": [{"name": "bash", "summary": HOSTILE, "ok": False, "problem": ""}],
            "usage": {"prompt": 1200, "completion": 34, "cached": 0},
            "spent": SPENT,
        },
    ),
    ("notice", {"text": "careful"}),
    ("reproducer", {"accepted": True, "reason": "it fails with AssertionError"}),
    ("validation", {"verdict": "verified", "evidence": "E1", "reasons": ["no relevant test"], "tests": {}}),
    ("run_finished", {"outcome": "fixed", "evidence": "E1", "exit_code": 0, "spent": SPENT}),
]


def test_version_and_help(agentmem: Agentmem) -> None:
    assert agentmem("--version").stdout == f"agentmem {__version__}\n"
    shown = agentmem("--help")
    assert shown.returncode == 0
    for name in app_module.COMMANDS:
        assert f"\n  {name} " in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["rnus"], 2, "error: there is no command `rnus`\nDid you mean `agentmem runs`?\n"),
        (["xyz"], 2, "error: there is no command `xyz`\nSee `agentmem --help`.\n"),
        (["runs", "shw"], 2, "'show'"),
        (["--nonsense"], 2, "--nonsense"),
        (["runs", "show", "absent"], 2, "error: there are no runs in"),
        (["locate", ".", "--issue", "x"], 2, "is not a git repository"),
        (
            ["locate", "--issue", "https://example.org/issues/1"],
            2,
            "gh issue view https://example.org/issues/1",
        ),
    ],
)
def test_wrong_use_ends_with_2_and_a_way_on(
    agentmem: Agentmem, arguments: list[str], code: int, said: str
) -> None:
    done = agentmem(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_ends_with_3(agentmem: Agentmem) -> None:
    done = agentmem("config", "show", AGENTMEM_MAX_STEPS="none")
    assert done.returncode == 3
    what, mend = done.stderr.splitlines()
    assert what.startswith("error: environment AGENTMEM_MAX_STEPS: `max_steps` cannot be 'none' (")
    assert mend == "`max_steps` is a whole number, at least 1."


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command that ends with this error."""
    probe = types.ModuleType("probe")

    def command() -> None:
        raise error

    probe.register = lambda app: app.command("probe")(command)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "probe", probe)
    monkeypatch.setitem(app_module.COMMANDS, "probe", ("probe", ""))
    return app_module.run(["probe"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AgentmemError("\x1b[2Jw", "m"), 1),
        (ConfigError("w", "m"), 3),
        (ProviderError("w", "m"), 4),
        (NoPatchError("w", "m"), 5),
        (LimitError("w", "m"), 6),
        (SandboxError("w", "m"), 7),
    ],
)
def test_errors_are_two_lines_and_a_code(
    error: AgentmemError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(error, monkeypatch) == code
    assert capsys.readouterr().err == "error: w\nm\n"


def test_a_crash_is_one_line_and_a_saved_traceback(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTMEM_HOME", str(home))
    monkeypatch.setenv("SOME_API_KEY", "hunter2hunter2")
    monkeypatch.delenv("AGENTMEM_DEBUG", raising=False)
    assert fail_with(RuntimeError("boom hunter2hunter2"), monkeypatch) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: internal error, please report it: RuntimeError: boom")
    assert "Traceback" not in said
    assert "hunter2" not in said  # a screen is often a CI log
    (log,) = (home / "logs").iterdir()
    assert str(log) in said
    assert "Traceback" in log.read_text()
    assert "hunter2" not in log.read_text()
    monkeypatch.setenv("AGENTMEM_DEBUG", "1")
    assert fail_with(RuntimeError("boom"), monkeypatch) == 1
    assert "Traceback" in capsys.readouterr().err


SLEEPER = """
import sys, time, types
from agentmem.cli import app

def command():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)

probe = types.ModuleType("probe")
probe.register = lambda typer_app: typer_app.command("probe")(command)
sys.modules["probe"] = probe
app.COMMANDS["probe"] = ("probe", "")
sys.exit(app.run(["probe"]))
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_signals_clean_up_and_have_their_codes(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert out == "cleaned\n"
    assert process.returncode == code
    assert "Traceback" not in err


def test_a_reader_that_went_away_is_no_error(agentmem: Agentmem, home: Path, tmp_path: Path) -> None:
    finished_run(home)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*CALL, "runs", "show", "--json"],
        env=environment(home, tmp_path),
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_completion_still_works(agentmem: Agentmem) -> None:
    names = agentmem(_AGENTMEM_COMPLETE="complete_bash", COMP_WORDS="agentmem ", COMP_CWORD="1")
    assert set(names.stdout.split()) >= set(app_module.COMMANDS)
    inner = agentmem(_AGENTMEM_COMPLETE="complete_bash", COMP_WORDS="agentmem runs ", COMP_CWORD="2")
    assert set(inner.stdout.split()) >= {"list", "show", "rm"}


def test_runs_tell_their_story(agentmem: Agentmem, home: Path) -> None:
    assert "No runs" in agentmem("runs", "list").stdout
    run_id = finished_run(home)
    listed = agentmem("runs", "list").stdout
    assert run_id in listed
    assert "fixed E1" in listed
    assert "1 steps, 1,234 tokens, $0.25" in listed
    shown = agentmem("runs", "show").stdout
    assert shown.splitlines()[-1] == str(home / "runs" / run_id / "patch.diff")
    for told in ("reproducer accepted", "patch verified, evidence E1", "fixed, evidence E1"):
        assert told in shown
    data = json.loads(agentmem("runs", "show", run_id, "--json").stdout)
    assert data["summary"]["status"] == "finished"
    assert [event["kind"] for event in data["events"]] == ["created", *(kind for kind, _ in EVENTS)]
    assert json.loads(agentmem("runs", "list", "--json").stdout)["runs"][0]["id"] == run_id
    assert agentmem("runs", "rm", run_id).stdout == f"removed {run_id}\n"
    assert json.loads(agentmem("runs", "list", "--json").stdout) == {"runs": []}


def test_an_interrupted_run_says_how_to_go_on(agentmem: Agentmem, home: Path) -> None:
    with Run.create(home, {}) as run:
        run.emit("stage", name="patch", detail="")
        run.emit("run_stopped", reason="interrupted", exit_code=130)
    shown = agentmem("runs", "show").stdout
    assert "stopped: interrupted" in shown
    assert f"agentmem fix --resume {run.id}" in shown
    assert json.loads(agentmem("runs", "list", "--json").stdout)["runs"][0]["status"] == "interrupted"


def test_config_show_names_origins_and_no_secret(agentmem: Agentmem, tmp_path: Path) -> None:
    secret = {"ANTHROPIC_API_KEY": "hunter2hunter2"}
    data = json.loads(agentmem("config", "show", "--json", AGENTMEM_ROUNDS="2", **secret).stdout)
    assert data["settings"]["rounds"] == {"value": 2, "origin": "environment AGENTMEM_ROUNDS"}
    assert data["settings"]["max_cost"] == {"value": 3.0, "origin": "built in"}
    assert data["config_file"].startswith(str(tmp_path / "config"))
    assert "hunter2" not in agentmem("config", "show", **secret).stdout


def test_plain_display_is_one_line_per_fact_and_harmless(tmp_path: Path) -> None:
    stream = io.StringIO()
    with Run.create(tmp_path, {}) as run, display(stream) as listener:
        run.listen(listener)
        for kind, data in EVENTS:
            run.emit(kind, **data)
    shown = stream.getvalue()
    assert "limits   60 steps, 2,000,000 tokens, $3.00, 3600 s" in shown
    assert "bash \\u202eevil [bold]text[/bold] second line  ✗  (1,200+34 tokens)" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert shown.splitlines()[-2:] == ["fixed, evidence E1", "  1 steps, 1,234 tokens, $0.25, 61 s"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_live_display_on_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert is_live(Terminal())
    assert not is_live(io.StringIO())
    stream = Terminal()
    with Run.create(tmp_path, {}) as run, display(stream) as listener:
        run.listen(listener)
        for kind, data in EVENTS:
            run.emit(kind, **data)
    assert "[bold]text[/bold]" in stream.getvalue()  # foreign text is not markup
    assert "\x1b[2J" not in stream.getvalue()
    assert "step 1/60 · 1,234 tokens · $0.25 · 1:01" in stream.getvalue()
    for variable, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            assert not is_live(Terminal())


def test_events_of_other_versions_are_shown_or_passed_over() -> None:
    assert tell({"kind": "unheard of"}) == []
    for kind, _ in EVENTS:
        assert all(isinstance(line, str) for line in tell({"kind": kind, "round": 0}))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "shapes.py").write_text(
        "def area(side):\n    return side * 2\n\n\ndef name():\n    return 'square'\n"
    )
    (folder / "other.py").write_text("def unrelated():\n    return None\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "shapes"\nversion = "1"\n')
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    return folder


def test_locate_ranks_what_the_issue_is_about(agentmem: Agentmem, repo: Path) -> None:
    issue = "`area` of a square is wrong"
    data = json.loads(agentmem("locate", str(repo), "--issue", issue, "--json").stdout)
    assert (data["hits"][0]["path"], data["hits"][0]["symbol"]) == ("shapes.py", "area")
    shown = agentmem("locate", str(repo), "--issue", issue, "--explain", "-k", "1").stdout.splitlines()
    assert "shapes.py:1-2  area" in shown[0]
    assert any("quoted in the issue" in line for line in shown[1:])
    by_file = agentmem("locate", str(repo), "--issue", issue, "--level", "file", "-k", "1").stdout
    assert by_file.split()[1:] == ["shapes.py"]
    assert agentmem("locate", str(repo), "--issue", issue, "--level", "line").returncode == 2


def test_doctor_tells_what_is_missing_and_its_mend(agentmem: Agentmem, repo: Path) -> None:
    local = {"AGENTMEM_SANDBOX": "local", "OPENAI_API_KEY": "hunter2hunter2"}
    done = agentmem("doctor", str(repo), "--json", **local)
    assert done.returncode == 3
    data = json.loads(done.stdout)
    checks = {check["name"]: check for check in data["checks"]}
    assert data["can_run"] is False
    assert [name for name, check in checks.items() if check["state"] == "failed"] == ["model"]
    assert "AGENTMEM_MODEL" in checks["model"]["mend"]
    assert "pip install -e ." in checks["set-up"]["found"]
    assert "pytest" in checks["tests"]["found"]

    plain = agentmem("doctor", AGENTMEM_MODEL="openai/gpt-5", **local)
    assert plain.returncode == 0
    assert "openai/gpt-5, key present" in plain.stdout
    assert "hunter2" not in plain.stdout + plain.stderr
    assert plain.stdout.splitlines()[-1] == "`agentmem fix` can run."


def test_doctor_ends_with_7_without_an_engine(agentmem: Agentmem) -> None:
    done = agentmem("doctor", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.returncode == 7
    assert "NO  engine" in done.stdout
    assert "--sandbox local" in done.stdout


def test_doctor_sees_a_home_that_cannot_be_used(agentmem: Agentmem, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = agentmem("doctor", AGENTMEM_SANDBOX="local", AGENTMEM_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 3
    assert "NO  home" in done.stdout


@pytest.mark.docker
def test_clean_names_what_it_would_remove(agentmem: Agentmem, home: Path) -> None:
    cache = home / "cache"
    cache.mkdir(parents=True)
    data = json.loads(agentmem("clean", "--cache", "--images", "--dry-run", "--json").stdout)
    assert data["dry_run"] is True
    assert data["removed"]["caches"] == [str(cache)]
    assert cache.is_dir()
    assert str(cache) in agentmem("clean", "--cache").stdout
    assert not cache.exists()
