"""Every exit code of docs/exit-codes.md, from `agentmem fix` as a real process with a real container."""

from __future__ import annotations

import http.server
import json
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentmem.runs import Event, RunReader
from tests.commands import containers, environment, fix, lanes, record, wait_for_event
from tests.repairs import GOOD, GOOD_BY_LANE, ISSUE, LOOK, REPAIR, SUBMIT_PATCH, git, make_repo
from tests.scripted import Line

docker = pytest.mark.docker


@dataclass
class Place:
    """A repository with a bug, a home for the runs, and the `fix` of it."""

    repo: Path
    home: Path
    folder: Path

    def fix(
        self,
        *arguments: str | Path,
        environ: Mapping[str, str] = {},
        limit: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            fix(*arguments),
            env=environment(self.home, XDG_CONFIG_HOME=str(self.folder / "config"), **environ),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            preexec_fn=limit,
        )

    def repair(
        self,
        model: str,
        *arguments: str,
        environ: Mapping[str, str] = {},
    ) -> subprocess.CompletedProcess[str]:
        return self.fix(self.repo, "--issue", ISSUE, "--model", model, *arguments, environ=environ)

    def good(self) -> str:
        return record(self.folder / "good.jsonl", GOOD_BY_LANE)

    def run_id(self) -> str:
        (run,) = (self.home / "runs").iterdir()
        return run.name


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Afterwards the repository is as it was: whatever happened, `fix` has not touched it."""
    repo = make_repo(tmp_path / "repo")
    before = _state(repo)
    yield Place(repo, tmp_path / "home", tmp_path)
    assert _state(repo) == before


def _state(repo: Path) -> dict[str, str]:
    files = {
        str(path.relative_to(repo)): path.read_bytes().hex()
        for path in repo.rglob("*")
        if path.is_file() and path.name != "index"  # whose time stamps git may refresh
    }
    return {**files, "status": git(repo, "status", "--porcelain", "--ignored")}


def refused(done: subprocess.CompletedProcess[str], code: int, what: str) -> None:
    """The end of an error without --json: this code, what went wrong, a mend, and nothing else."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert what in "\n".join(lines[at:])
    assert "".join(lines[at + 1 :]).strip(), "there is no mend"
    assert done.stdout == ""


def one_object(done: subprocess.CompletedProcess[str], code: int) -> dict[str, Any]:
    """The one JSON object on standard output, which names the process's own exit code."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["exit_code"] == code
    return told


# 0


@docker
def test_0_a_verified_patch_whose_path_is_the_last_line(place: Place) -> None:
    done = place.repair(place.good())
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    patch = Path(done.stdout.splitlines()[-1])
    assert patch == RunReader(place.home / "runs" / place.run_id()).patch_path
    git(place.repo, "apply", "--check", str(patch))
    assert "fixed, evidence E2" in done.stderr
    assert containers(place.run_id()) == []


# 1


def test_1_a_full_disk_is_explained(place: Place) -> None:
    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    ask = (place.repo, "--issue", "it breaks " * 1000, "--model", "file:answers")
    refused(place.fix(*ask, limit=small_files_only), 1, "Free some space")
    assert one_object(place.fix(*ask, "--json", limit=small_files_only), 1)["mend"].startswith("Free")


def test_1_a_fault_of_ours_is_one_line_and_a_saved_traceback(place: Place) -> None:
    command = "import sys; from agentmem.cli import app\ndef probe(): return 1 / 0\n"
    register = "sys.modules['probe'] = type(sys)('probe'); app.COMMANDS['probe'] = ('probe', '')\n"
    run = "sys.modules['probe'].register = lambda a: a.command('probe')(probe); sys.exit(app.run(['probe']))"
    done = subprocess.run(
        [sys.executable, "-c", command + register + run],
        env=environment(place.home),
        capture_output=True,
        text=True,
    )
    refused(done, 1, "internal error, please report it: ZeroDivisionError: division by zero")
    (log,) = (place.home / "logs").iterdir()
    assert str(log) in done.stderr
    assert "in probe\n" in log.read_text()


# 2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["repo"], "--issue is missing"),
        (["nowhere", "--issue", ISSUE], "is not a directory"),
        (["plain", "--issue", ISSUE], "is not a git repository"),
        (["repo", "--issue", ISSUE, "--commit", "v9"], "v9"),
        (["repo", "--issue", "missing/issue.md"], "there is no file"),
        (["repo", "--issue", "https://example.org/issues/1"], "issues are not fetched from the network"),
        (["repo", "--issue", "  "], "the issue is empty"),
        (["repo", "--issue", ISSUE, "--apply", "--branch", "b"], "exclude each other"),
        (["repo", "--issue", ISSUE, "--accept", "E9"], "--accept takes E0, not E9"),
        (["--resume", "latest"], "there are no runs"),
        (["--resume", "latest", "--issue", ISSUE], "--resume takes no --issue"),
    ],
)
def test_2_wrong_use(place: Place, arguments: list[str], what: str) -> None:
    (place.folder / "plain").mkdir()
    refused(place.fix(*arguments), 2, what)
    told = one_object(place.fix(*arguments, "--json"), 2)
    assert what in told["error"]
    assert told["mend"]
    assert not (place.home / "runs").exists(), "nothing was begun"


def test_2_an_unknown_flag(place: Place) -> None:
    done = place.fix("repo", "--isue", ISSUE)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--isue" in done.stderr
    assert "Traceback" not in done.stderr


# 3


@pytest.mark.parametrize(
    ("arguments", "environ", "what"),
    [
        ([], {}, "no model is configured"),
        (["--model", "local:absent.gguf"], {}, "absent.gguf"),
        (["--model", "replay:absent.jsonl"], {}, "There is no recording"),
        (["--model", "file:answers", "--api-base", "http://127.0.0.1:1"], {}, "has no API base"),
        (["--model", "m", "--max-steps", "0"], {}, "`max_steps` cannot be 0"),
        (["--model", "m", "--context", "nonsense"], {}, "`context` cannot be"),
        (["--model", "m"], {"AGENTMEM_MAX_STPES": "4"}, "Did you mean `max_steps`?"),
    ],
)
def test_3_a_setting_is_missing_or_wrong(
    place: Place, arguments: list[str], environ: dict[str, str], what: str
) -> None:
    ask: list[str | Path] = [place.repo, "--issue", ISSUE, *arguments]
    refused(place.fix(*ask, environ=environ), 3, what)
    told = one_object(place.fix(*ask, "--json", environ=environ), 3)
    assert what in told["error"] + told["mend"]


# 4


@docker
def test_4_a_strict_recording_of_another_run(place: Place) -> None:
    model = place.good().partition("?")[0]
    refused(place.repair(model), 4, "is not the recorded one")
    told = one_object(place.fix("--resume", "latest", "--json"), 4)
    assert told["run_id"] == place.run_id()
    assert containers(place.run_id()) == []


@docker
def test_4_nobody_answers_the_files(place: Place) -> None:
    answers = place.folder / "answers"
    refused(place.repair(f"file:{answers}", "--timeout", "8"), 4, "No reply came for reproduce-c0-r0-000")
    assert (answers / "reproduce-c0-r0-000.request.json").is_file()


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@docker
def test_4_a_server_refuses_the_key(place: Place) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}/v1"
        key = "sk-not-a-real-key-of-anybody"
        done = place.repair("openai/some-model", "--api-base", base, environ={"OPENAI_API_KEY": key})
        server.shutdown()
    refused(done, 4, "OPENAI_API_KEY")
    assert key not in done.stderr


# 5


@docker
def test_5_a_patch_without_evidence(place: Place) -> None:
    model = record(
        place.folder / "r.jsonl", lanes(reproduce=["no", "I", "can't"], patch=[REPAIR, SUBMIT_PATCH])
    )
    done = place.repair(model, "--apply")
    assert done.returncode == 5, done.stderr
    patch = Path(done.stdout.splitlines()[-1])
    assert "total(values) / len(values)" in patch.read_text()
    assert "error: the patch has evidence E0, and publishing it needs E1" in done.stderr
    assert "--accept E0 publishes it all the same" in done.stderr
    told = one_object(place.fix("--resume", "latest", "--apply", "--json"), 5)
    assert (told["status"], told["evidence"]) == ("unproven", "E0")
    assert told["patch_path"] == str(patch)
    assert "needs E1" in told["error"]


@docker
def test_5_no_patch(place: Place) -> None:
    model = record(place.folder / "r.jsonl", lanes(reproduce=["a", "b", "c"], patch=["d", "e", "f"]))
    done = place.repair(model)
    assert (done.returncode, done.stdout) == (5, "")
    assert "no_patch" in done.stderr
    assert "Traceback" not in done.stderr


# 6


@docker
@pytest.mark.parametrize(
    ("flag", "value", "steps", "limit"),
    [
        ("--max-tokens", "200", 0, "the next call would pass the limit of 200 tokens"),
        ("--max-cost", "0.0015", 1, "the next call would pass the limit of $0.0015"),
    ],
)
def test_6_a_limit_is_kept_before_a_call(place: Place, flag: str, value: str, steps: int, limit: str) -> None:
    told = one_object(place.repair(place.good(), flag, value, "--json"), 6)
    assert (told["status"], told["limit"]) == ("no_patch", limit)
    assert told["spent"]["steps"] == steps
    assert containers(told["run_id"]) == []


@docker
def test_6_with_a_higher_limit_the_run_goes_on(place: Place) -> None:
    patch: list[Line] = [LOOK, [("view", {"path": "test_stats.py"})], REPAIR, SUBMIT_PATCH]
    model = record(place.folder / "r.jsonl", lanes(reproduce=GOOD["reproduce"], patch=patch))
    told = one_object(place.repair(model, "--max-steps", "4", "--json"), 6)
    assert told["limit"] == "the limit of 4 steps is reached"
    done = place.fix("--resume", told["run_id"], "--max-steps", "60")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).name == "patch.diff"
    assert "  6 steps" in done.stderr


@docker
def test_6_the_time_is_up(place: Place) -> None:
    model = record(place.folder / "r.jsonl", lanes(reproduce=[[("bash", {"command": "sleep 4"})], LOOK]))
    done = place.repair(model, "--timeout", "4")
    assert (done.returncode, done.stdout) == (6, "")
    assert "the limit of 4 s is reached" in done.stderr
    assert "Traceback" not in done.stderr


@docker
def test_a_verified_patch_outranks_a_limit(place: Place) -> None:
    by_lane = {**GOOD_BY_LANE, "patch-c0-r0-002": LOOK}  # it is never handed in
    done = place.repair(record(place.folder / "r.jsonl", by_lane), "--max-steps", "4")
    assert done.returncode == 0, done.stderr
    assert "the limit of 4 steps is reached" in done.stderr


# 7


def test_7_no_engine_answers(place: Place) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nonexistent.sock"}
    refused(place.repair(place.good(), environ=nowhere), 7, "use --sandbox local")
    told = one_object(place.fix("--resume", "latest", "--json", environ=nowhere), 7)
    assert told["run_id"] == place.run_id()


# 130 and 143


def is_waiting(event: Event) -> bool:
    """The sandbox is there; the model is asked, and then its command sleeps."""
    return bool(event["kind"] == "attempt")


@docker
@pytest.mark.parametrize(
    ("number", "code", "said", "asleep"),
    [(signal.SIGINT, 130, "interrupted", "command"), (signal.SIGTERM, 143, "ended by a signal", "model")],
)
def test_a_signal_ends_it_cleanly_and_it_can_go_on(
    place: Place, number: signal.Signals, code: int, said: str, asleep: str
) -> None:
    slow = record(place.folder / "slow.jsonl", lanes(reproduce=[[("bash", {"command": "sleep 100"})]]))
    model = slow if asleep == "command" else f"file:{place.folder / 'answers'}"
    command = fix(place.repo, "--issue", ISSUE, "--model", model, *(["--json"] if code == 130 else []))
    process = subprocess.Popen(
        command, env=environment(place.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    run_id = wait_for_event(place.home, process, is_waiting)
    assert containers(run_id) != []
    process.send_signal(number)
    out, err = (stream.decode() for stream in process.communicate(timeout=60))
    assert process.returncode == code, err
    assert containers(run_id) == []
    assert "Traceback" not in err
    assert f"agentmem fix --resume {run_id}" in err
    assert f"stopped: {said}" in err
    assert json.loads(out or '{"exit_code": 143}')["exit_code"] == code

    done = place.fix("--resume", run_id, "--model", place.good(), "--json")
    assert one_object(done, 0)["status"] == "fixed"
    kinds = [event["kind"] for event in RunReader(place.home / "runs" / run_id).events()]
    assert kinds.count("run_stopped") == 1
    assert kinds[-1] == "run_finished"
