"""Runs on disk: nothing written is lost by a kill, nothing secret is written, one process holds a run."""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from agentmem.errors import AgentmemError, ConfigError, UsageError
from agentmem.redact import Redactor
from agentmem.runs import Run, find_run, list_runs, read_run, remove_run


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    with Run.create(tmp_path, {"repo": "/r", "model": "m"}) as run:
        run.emit("step", role="patch", spent={"steps": 1, "tokens": 10, "cost": None})
        run.save_checkpoint({"turn": 1})
        run.save_checkpoint({"turn": 2})
        run.save_blob("workspace-1.tar", b"\0\1")
        run.save_result({"outcome": "fixed"})
        run.save_patch("diff --git a/ä b/ä\n\udcff")
    with Run.open(tmp_path, "latest") as again:
        assert again.id == run.id
        assert again.request == {"repo": "/r", "model": "m"}
        assert again.load_checkpoint() == {"turn": 2}
        assert again.load_blob("workspace-1.tar") == b"\0\1"
        again.emit("resumed")
    reader = read_run(tmp_path, run.id[:-1])
    assert [(e["seq"], e["kind"]) for e in reader.events()] == [(0, "created"), (1, "step"), (2, "resumed")]
    assert reader.load_result() == {"outcome": "fixed"}
    assert reader.patch_path.read_bytes().endswith(b"\xff")


def test_files_are_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Run.create(home, {}) as run:
        run.save_checkpoint({})
        run.save_patch("x")
        run.save_blob("b", b"")
    for path in [home, *home.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_listeners_get_each_event_after_it_is_on_disk(tmp_path: Path) -> None:
    seen = []
    with Run.create(tmp_path, {}) as run:
        run.listen(lambda event: seen.append((event["n"], len(list(run.events())))))
        run.emit("tick", n=1)
        run.emit("tick", n=2)
    assert seen == [(1, 2), (2, 3)]


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    with Run.create(tmp_path, {}) as run:
        threads = [
            threading.Thread(target=lambda: [run.emit("tick", text="x" * 500) for _ in range(20)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [event["seq"] for event in run.events()] == list(range(81))


@pytest.mark.parametrize("tail", [b'{"seq": 2, "ki', b'{"seq": 2}', b"\0\0\0\0\n", b'"text"\n'])
def test_a_torn_last_line_is_cut(tmp_path: Path, tail: bytes) -> None:
    with Run.create(tmp_path, {}) as run:
        run.emit("step", n=1)
    with (run.dir / "events.jsonl").open("ab") as file:
        file.write(tail)
    assert [e["seq"] for e in read_run(tmp_path, run.id).events()] == [0, 1]
    with Run.open(tmp_path, run.id) as again:
        again.emit("step", n=2)
    assert [e["seq"] for e in run.events()] == [0, 1, 2]


def test_kill_9_keeps_every_event_and_one_whole_checkpoint(tmp_path: Path) -> None:
    program = f"""
        import sys
        from pathlib import Path
        from agentmem.runs import Run
        run = Run.create(Path({str(tmp_path)!r}), {{}})
        for n in range(10**6):
            run.emit("step", n=n)
            run.save_checkpoint({{"n": n, "padding": "x" * 20000}})
            print(n, flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE)
    assert process.stdout
    told = [int(process.stdout.readline()) for _ in range(30)][-1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert list_runs(tmp_path)[0].status == "interrupted"
    with Run.open(tmp_path, "latest") as run:
        checkpoint = run.load_checkpoint()
        assert checkpoint
        assert checkpoint["n"] >= told
        assert [e["seq"] for e in run.events()] == list(range(len(list(run.events()))))
        assert len(list(run.events())) >= told + 2


def test_two_processes_cannot_hold_one_run(tmp_path: Path) -> None:
    with Run.create(tmp_path, {}) as run:
        assert list_runs(tmp_path)[0].status == "running"
        with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
            Run.open(tmp_path, run.id)
        with pytest.raises(UsageError, match="in use"):
            remove_run(tmp_path, run.id)
    assert remove_run(tmp_path, run.id) == run.id
    assert list_runs(tmp_path) == []


def test_runs_are_found_by_a_unique_beginning(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no runs"):
        find_run(tmp_path, "latest")
    ids = []
    for _ in range(2):
        with Run.create(tmp_path, {}) as run:
            ids.append(run.id)
    assert {find_run(tmp_path, name).name for name in ids} == set(ids)
    for wrong in ("2", "nothing", "", "../runs"):
        with pytest.raises(UsageError):
            find_run(tmp_path, wrong)


def test_a_summary_tells_the_story_in_a_line(tmp_path: Path) -> None:
    with Run.create(tmp_path, {"repo": "/r"}) as run:
        run.emit("run_started", repo="/r", issue_title="It breaks", model="m")
        run.emit("step", spent={"steps": 3, "tokens": 99, "cost": 0.5})
        run.emit("run_finished", outcome="fixed", evidence="E2", exit_code=0)
    (summary,) = list_runs(tmp_path)
    assert (summary.status, summary.title, summary.outcome, summary.evidence) == (
        "finished",
        "It breaks",
        "fixed",
        "E2",
    )
    assert (summary.steps, summary.tokens, summary.cost) == (3, 99, 0.5)


def test_a_run_killed_before_its_first_event_can_be_listed_and_removed(tmp_path: Path) -> None:
    with Run.create(tmp_path, {}) as run:
        pass
    (run.dir / "events.jsonl").write_bytes(b'{"se')
    assert list_runs(tmp_path)[0].status == "broken"
    with pytest.raises(UsageError, match="killed before it began"):
        _ = read_run(tmp_path, run.id).request
    remove_run(tmp_path, run.id)


def test_secrets_reach_no_file(tmp_path: Path) -> None:
    secret = 'hunter2/"+hunter'
    redactor = Redactor.from_environment({"MY_API_KEY": secret, "HOME": "/home/someone", "A_TOKEN": "short"})
    encoded = base64.b64encode(f"user:{secret}".encode()).decode()
    shapes = ["sk-ant-api03-abcdefghijklmnopqrstuvwx", "ghp_" + "a1" * 18, "AKIAIOSFODNN7EXAMPLE"]
    text = " ".join([secret, json.dumps(secret), quote(secret, safe=""), encoded, *shapes])
    with Run.create(tmp_path, {"issue": text}, redactor) as run:
        event = run.emit("step", tool={"arguments": [text], secret: 1}, home="/home/someone short")
        run.save_checkpoint({"messages": [secret, encoded]})
        run.save_result({"text": text})
        run.save_patch(f"+password = '{secret}'\n example = '{shapes[2]}'\n")
    core = base64.b64encode(b":" + secret.encode())[4:-4]
    written = b"".join(path.read_bytes() for path in run.dir.rglob("*") if path.is_file())
    assert secret.encode() not in written
    assert json.dumps(secret)[1:-1].encode() not in written
    assert core not in written
    assert shapes[0].encode() not in written
    assert shapes[1].encode() not in written
    assert b"[redacted MY_API_KEY]" in written
    assert event["home"] == "/home/someone short"
    # Text of the repository that only looks like a key must survive, or the patch would not apply.
    assert shapes[2] in run.patch_path.read_text()


def test_a_checkpoint_keeps_what_only_looks_like_a_key(tmp_path: Path) -> None:
    """A resumed run must ask and patch the same as one that was never interrupted."""
    diff = "-key = 'AKIAIOSFODNN7EXAMPLE'\n+key = 'hunter2hunter'\n"
    with Run.create(tmp_path, {}, Redactor.from_environment({"A_KEY": "hunter2hunter"})) as run:
        run.save_checkpoint({"diff": diff})
        saved = run.load_checkpoint()
    assert saved == {"diff": diff.replace("hunter2hunter", "[redacted A_KEY]")}


@pytest.mark.parametrize(
    "text", ["risk-assessment-of-something-quite-long", "the bearer of this", "tokenize"]
)
def test_words_are_not_secrets(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize("piece", ["sk-", "Bearer ", "xoxb-", "ghp_", "-----BEGIN PRIVATE KEY-----", "sk-a_"])
def test_a_flood_of_half_keys_is_passed_over(piece: str) -> None:
    flood = piece * 50_000  # would take minutes if each began a search to the end
    assert Redactor().text(flood) in (flood, "[redacted slack]")


def test_a_private_key_is_redacted() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
    assert Redactor().text(f"a {key} b") == "a [redacted pem] b"


def test_redacting_twice_changes_nothing() -> None:
    redactor = Redactor({"KEY": "hunter2hunter2"})
    once = redactor.text("hunter2hunter2 Authorization: Bearer abcdefghijklmnop12345")
    assert once == "[redacted KEY] Authorization: Bearer [redacted bearer]"
    assert redactor.text(once) == once


def test_an_unusable_home_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot use") as caught:
        Run.create(tmp_path / "file", {})
    assert "AGENTMEM_HOME" in caught.value.mend


def test_a_full_disk_is_explained_and_leaves_whole_lines(tmp_path: Path) -> None:
    with Run.create(tmp_path, {}) as run:
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
            with pytest.raises(AgentmemError, match="File too large") as caught:
                run.emit("step", text="x" * 8192)
            with pytest.raises(AgentmemError, match="File too large"):
                run.save_checkpoint({"text": "x" * 8192})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, handler)
        assert "Free some space" in caught.value.mend
        run.emit("step", text="small")
        assert [e["seq"] for e in run.events()] == [0, 1]
        assert run.load_checkpoint() is None
        assert sorted(p.name for p in run.dir.iterdir()) == ["events.jsonl", "lock"]


def test_blobs_that_no_checkpoint_needs_go(tmp_path: Path) -> None:
    with Run.create(tmp_path, {}) as run:
        for name in ("a", "b"):
            run.save_blob(name, b"x")
        run.prune_blobs(keep=lambda name: name == "b")
        assert run.load_blob("b") == b"x"
        with pytest.raises(FileNotFoundError):
            run.load_blob("a")
        for name in ("../x", ".", "", "a/b"):
            with pytest.raises(ValueError, match="not a blob name"):
                run.save_blob(name, b"")
