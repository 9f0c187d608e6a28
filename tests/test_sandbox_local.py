"""The sandbox without a container, fenced in by bubblewrap and without any fence."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmem.changes import Changes, FileState
from agentmem.errors import ConfigError, SandboxError
from agentmem.sandbox import check, jail, local, open_sandboxes
from agentmem.sandbox.environment import Step, detect
from agentmem.sandbox.limits import MIB, Limits
from agentmem.sandbox.local import LocalPrepared, LocalSandbox
from tests.conftest import lacking
from tests.projects import TINY, archive_of

PLAN = detect([path for path in TINY if not path.startswith(".git/")], TINY.get)
LIMITS = Limits(memory=1024 * MIB, file_size=32 * MIB, disk=64 * MIB)


def no_steps(plan: object, venv: str, python: str = "") -> list[Step]:
    """The set-up without a package index: a bare virtual environment."""
    return [Step("python", f"{python} -m venv --without-pip {venv}", True)]


@pytest.fixture(params=["bubblewrap", "bare"])
def prepared(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> LocalPrepared:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(local, "steps", no_steps)
    if request.param == "bare":
        monkeypatch.setattr(local, "bubblewrap", lambda: "")
    elif not jail.bubblewrap():
        lacking("bubblewrap is missing, or forbidden here")
    return local.prepare(PLAN, commit="c", archive=archive_of(TINY), run_id="test", limits=LIMITS)


@pytest.fixture
def box(prepared: LocalPrepared) -> Iterator[LocalSandbox]:
    with prepared.start() as box:
        yield box


def test_it_runs_the_copy_and_nothing_of_the_hosts_environment(
    box: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", "sk-canary")
    done = box.run("python -c 'import sys; sys.path.insert(0, \"\"); import tiny; print(tiny.__file__)'", 30)
    assert done.output == f"{box.root}/tiny.py\n"
    assert "canary" not in box.run("env", 20).output.lower()
    assert box.run("echo 1; echo 2 >&2; exit 7", 20).exit_code == 7
    assert box.run("echo 1; echo 2 >&2; kill -9 $$", 20).output == "1\n2\n"


def test_the_fence(prepared: LocalPrepared, tmp_path: Path) -> None:
    facts = prepared.describe()
    secret = tmp_path / "secret"
    secret.write_text("s")
    with prepared.start() as box:
        if facts["network"] == "none":
            call = "python -c \"import socket; socket.create_connection(('1.1.1.1', 80), 3)\""
            assert "unreachable" in box.run(call, 20).output
            assert (
                box.run(f"cat {secret} /etc/shadow; touch /usr/x /etc/y", 20).output.count("No such file")
                == 2
            )
            assert box.run("id -u; ls /proc | grep -c '^[0-9]'", 20).output.split()[0] == "10001"
            assert not Path("/usr/x").exists()
        else:
            assert "WITHOUT" in facts["warning"]


def test_a_timeout_ends_everything(box: LocalSandbox) -> None:
    done = box.run("echo begun; setsid sleep 7771 & nohup setsid sleep 7772 & sleep 7773", 0.7)
    assert (done.exit_code, done.timed_out) == (124, True)
    assert done.output.startswith("begun\n")
    time.sleep(0.2)
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"777" in _bytes(path)]


def _bytes(path: Path) -> bytes:
    try:
        words = path.read_bytes().split(b"\0")
    except OSError:
        return b""
    return words[1] if words[0] == b"sleep" else b""


def test_output_is_capped_and_a_flood_killed(box: LocalSandbox) -> None:
    done = box.run("seq 1 200000", 60)
    assert done.truncated
    assert len(done.output) < 256 * 1024 + 100
    assert box.run("yes", 60).exit_code == 137
    assert box.run("sleep 300 & echo now", 60).output == "now\n"
    assert "File size limit" in box.run("head -c 40000000 /dev/zero > large; rm large", 30).output


def test_read_and_write(box: LocalSandbox) -> None:
    box.run("mkfifo fifo; ln -s /etc/passwd link; chmod 755 tiny.py; head -c 17000000 /dev/zero > big", 20)
    assert box.read("tiny.py") == box.read(f"{box.root}/tiny.py") == TINY["tiny.py"]
    for path, error in (
        ("nope", FileNotFoundError),
        ("docs", IsADirectoryError),
        ("fifo", ValueError),
        ("big", ValueError),
    ):
        with pytest.raises(error):
            box.read(path)
    box.write("new/deep/file name", b"\0\xff")
    assert box.read("new/deep/file name") == b"\0\xff"
    box.write("tiny.py", b"new\n")
    assert box.run("stat -c %a tiny.py", 20).output == "755\n"
    with pytest.raises(IsADirectoryError):
        box.write("docs", b"")


def test_changes_restore_and_fork(box: LocalSandbox) -> None:
    assert box.changes() == Changes()
    box.run("rm -rf docs/deep; mv README READ2; chmod +x tiny.py; ln -s /etc/passwd evil; mkfifo fifo", 20)
    box.run(
        "printf x > \"$(printf 'bad\\377name')\"; rm bin/tool; rmdir bin; echo f > bin; echo g > .git/x", 20
    )
    changes = box.changes()
    assert dict(changes.files) == {
        "READ2": FileState(b"tiny\n"),
        "tiny.py": FileState(TINY["tiny.py"], "100755"),
        "evil": FileState(b"/etc/passwd", "120000"),
        "bad\udcffname": FileState(b"x"),
        "bin": FileState(b"f\n"),
    }
    assert set(changes.deleted) == {"README", "docs/deep/b.txt", "docs/deep/c.txt", "bin/tool"}
    with box.fork() as other:
        assert other.changes() == changes
        other.write("tiny.py", b"only there")
    assert box.read("tiny.py") == TINY["tiny.py"]
    with pytest.raises(ValueError, match="not a path"):
        box.restore(Changes({"../x": FileState(b"")}))


def test_writing_too_much_and_a_closed_sandbox(box: LocalSandbox) -> None:
    with pytest.raises(SandboxError, match=r"more than 64\.0 MiB"):
        box.run("for i in 1 2 3; do head -c 30000000 /dev/zero > $i; done; sleep 1.1", 60)
    with pytest.raises(SandboxError):
        box.run("true", 5)
    box.close()


def test_folders_of_the_dead_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from agentmem.sandbox import owner

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    dead, alive = (tmp_path / "agentmem/local" / name for name in ("run-dead", "run-alive"))
    for folder, facts in ((dead, {owner.STARTED: "1"}), (alive, {})):
        folder.mkdir(parents=True)
        (folder / "owner.json").write_text(json.dumps(owner.labels("r") | facts))
    assert local.clean() == [str(dead)]
    assert alive.is_dir()
    assert not dead.exists()


def test_the_table_of_sandboxes() -> None:
    assert [line.name for line in check("local")] == ["bubblewrap"]
    with pytest.raises(ConfigError, match="podlet"):
        open_sandboxes("podlet", PLAN, commit="c", archive=archive_of(TINY), run_id="r")
