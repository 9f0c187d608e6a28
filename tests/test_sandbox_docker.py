"""The Docker sandbox against a real engine: every promise is tried, not only configured."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from agentmem.changes import Changes, FileState
from agentmem.errors import SandboxError
from agentmem.sandbox import reaper
from agentmem.sandbox.build import DockerPrepared, prepare
from agentmem.sandbox.container import Container
from agentmem.sandbox.docker import DockerSandbox
from agentmem.sandbox.engine import connect
from agentmem.sandbox.environment import detect
from agentmem.sandbox.limits import MIB, Limits
from tests.projects import TINY, archive_of

pytestmark = pytest.mark.docker
LIMITS = Limits(memory=512 * MIB, pids=64, file_size=32 * MIB, disk=96 * MIB)


@pytest.fixture(scope="session")
def prepared() -> DockerPrepared:
    plan = detect([path for path in TINY if not path.startswith(".git/")], TINY.get)
    return prepare(plan, commit="tiny-1", archive=archive_of(TINY), run_id="test", limits=LIMITS)


@pytest.fixture(scope="module")
def shared(prepared: DockerPrepared) -> Iterator[DockerSandbox]:
    """For tests that leave no trace in the workspace."""
    with prepared.start() as box:
        yield box


@pytest.fixture
def box(prepared: DockerPrepared) -> Iterator[DockerSandbox]:
    with prepared.start() as box:
        yield box


def processes(box: DockerSandbox) -> str:
    """The command lines in the container, as the engine sees them."""
    found = connect().top(box.container)["Processes"]
    assert found
    return "\n".join(line[-1] for line in found)


def test_the_engine_was_asked_for_every_limit(shared: DockerSandbox) -> None:
    facts = connect().inspect_container(shared.container)
    host = facts["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert host["Memory"] == host["MemorySwap"] == 512 * MIB
    assert host["PidsLimit"] == 64
    assert host["NanoCpus"] == 2_000_000_000
    assert host["Init"] is True
    assert not host["Binds"]
    assert not facts["Mounts"]
    assert not host["Privileged"]
    assert facts["Config"]["Labels"]["agentmem.run"] == "test"
    assert facts["Config"]["Labels"]["agentmem.pid"] == str(os.getpid())
    assert facts["Config"]["Hostname"] == "sandbox"


def test_commands_are_the_unprivileged_user_without_any_capability(shared: DockerSandbox) -> None:
    status = shared.run("id -u; grep -E 'Cap|NoNewPrivs' /proc/self/status", 20).output
    assert status.splitlines()[0] == "10001"
    assert "NoNewPrivs:\t1" in status
    assert all(line.endswith("0000000000000000") for line in status.splitlines() if line.startswith("Cap"))
    init = shared.run("grep -E '^(Uid|CapEff|CapBnd)' /proc/1/status", 20).output
    assert "Uid:\t0\t" in init
    assert init.count("0000000000000000") == 2
    assert shared.run("touch /etc/x; kill -9 1", 20).exit_code != 0


def test_no_network_and_nothing_of_the_hosts_environment(
    shared: DockerSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", "sk-canary")
    seen = shared.run("env; cat /proc/1/environ; ls /sys/class/net", 20).output
    assert "canary" not in seen.lower()
    assert seen.split()[-1] == "lo"
    call = "python -c \"import socket; socket.create_connection(('1.1.1.1', 80), 3)\""
    assert "unreachable" in shared.run(call, 20).output


def test_memory_processes_and_file_size_are_bounded(shared: DockerSandbox) -> None:
    hog = shared.run("python -c 'bytearray(900_000_000)'; echo code $?", 60)
    assert hog.output.strip().endswith("code 137")
    many = shared.run("for i in $(seq 100); do sleep 2 & done 2>&1; wait", 30)
    assert "Resource temporarily unavailable" in many.output
    large = shared.run("head -c 40000000 /dev/zero > /tmp/large; wc -c < /tmp/large; rm /tmp/large", 30)
    assert large.output.split()[-1] == str(32 * MIB)


def test_the_environment_is_ready(shared: DockerSandbox) -> None:
    done = shared.run("python -m pytest -q -p no:cacheprovider tests", 60)
    assert done.exit_code == 0, done.output
    assert shared.run("command -v python; git --version", 20).output.startswith("/opt/venv/bin/python")
    rc = "[run]\nparallel = true\ndata_file = /tmp/cov/data\n"
    shared.write("/tmp/rc", rc.encode())
    assert shared.run("python -c 'import sys; print(\"coverage\" in sys.modules)'", 20).output == "False\n"
    on = "mkdir -p /tmp/cov; COVERAGE_PROCESS_START=/tmp/rc python -c 'import tiny'; ls /tmp/cov | wc -l"
    assert shared.run(on, 20).output.strip() == "1"


def test_output_keeps_its_order_and_its_exit_code(shared: DockerSandbox) -> None:
    done = shared.run("echo 1; echo 2 >&2; echo 3; printf '\\377'; exit 7", 20)
    assert (done.exit_code, done.output) == (7, "1\n2\n3\n�")
    assert (done.truncated, done.timed_out) == (False, False)
    assert shared.run("cat; echo end", 20).output == "end\n"
    assert shared.run("[[ a == a ]] && echo bash", 20).output == "bash\n"
    assert shared.run(f"echo {'x' * 300_000} | wc -c", 20).output == "300001\n"


def test_a_timeout_kills_detached_processes_and_the_container_lives(box: DockerSandbox) -> None:
    done = box.run("echo begun; setsid sleep 777 & nohup setsid sh -c 'sleep 778' & sleep 779", 1.0)
    assert (done.exit_code, done.timed_out) == (124, True)
    assert done.output.startswith("begun\n")
    assert done.seconds < 10
    assert "sleep 77" not in processes(box)
    assert box.run("echo alive", 20).output == "alive\n"


def test_a_fork_bomb_ends(box: DockerSandbox) -> None:
    assert box.run("bomb() { bomb | bomb & }; bomb; sleep 60", 2.0).timed_out
    assert "bomb" not in processes(box)
    assert box.run("echo $(seq 3)", 20).output == "1 2 3\n"


def test_a_background_process_does_not_hold_the_call(box: DockerSandbox) -> None:
    done = box.run("(sleep 1; echo late > /tmp/late; sleep 300) & echo now", 60)
    assert (done.exit_code, done.output) == (0, "now\n")
    assert done.seconds < 10
    time.sleep(1.2)
    assert box.read("/tmp/late") == b"late\n"
    closed = box.run("exec >&- 2>&-; sleep 0.5; exit 3", 30)
    assert closed.exit_code == 3


def test_long_output_keeps_head_and_tail(shared: DockerSandbox) -> None:
    done = shared.run("seq 1 200000", 60)
    assert done.truncated
    assert done.exit_code == 0
    assert len(done.output) < 256 * 1024 + 100
    assert done.output.startswith("1\n2\n")
    assert done.output.endswith("\n200000\n")
    assert f"[... {1_288_895 - 256 * 1024} bytes left out ...]" in done.output


def test_a_flood_is_killed(box: DockerSandbox) -> None:
    done = box.run("yes", 120)
    assert (done.exit_code, done.truncated, done.timed_out) == (137, True, False)
    assert "more than 64.0 MiB of output" in done.output
    assert "yes" not in processes(box)


def test_read_takes_regular_files_only(box: DockerSandbox) -> None:
    box.run("mkfifo fifo; ln -s tiny.py good; ln -s nowhere bad; head -c 17000000 /dev/zero > big; : > e", 20)
    assert box.read("tiny.py") == box.read("/workspace/tiny.py") == box.read("good") == TINY["tiny.py"]
    assert box.read("e") == b""
    assert b"root:" in box.read("../etc/passwd")  # the container's own
    for path, error in (
        ("nope", FileNotFoundError),
        ("bad", FileNotFoundError),
        ("docs", IsADirectoryError),
        ("fifo", ValueError),
        ("big", ValueError),
        ("", ValueError),
        ("/proc/1/environ", PermissionError),
    ):
        with pytest.raises(error):
            box.read(path)


def test_write_makes_folders_keeps_modes_and_is_nobody_special(box: DockerSandbox) -> None:
    box.run("chmod 755 tiny.py; ln -s /etc/passwd link; ln -s /etc door", 20)
    box.write("new/deep/file name", b"\0\xff")
    box.write("tiny.py", b"new\n")
    assert box.read("new/deep/file name") == b"\0\xff"
    stat = box.run("stat -c '%a %u' tiny.py 'new/deep/file name'", 20).output
    assert stat == "755 10001\n644 10001\n"
    for path in ("link", "door/passwd", "door/fresh", "/etc/fresh", "/.agentmem/manifest"):
        with pytest.raises(PermissionError):
            box.write(path, b"owned")
    with pytest.raises(IsADirectoryError):
        box.write("docs", b"")
    assert b"owned" not in box.read("/etc/passwd")


MANY = """
rm -rf docs/deep; mv README READ2; echo more >> tiny.py; chmod +x tests/test_tiny.py; ln -s /etc/passwd evil
mkdir -p new/empty new/full; echo n > "new/full/a b'c"; printf x > "$(printf 'bad\\377name')"; mkfifo fifo
rm bin/tool; rmdir bin; echo file > bin; echo s > secret; chmod 0 secret; echo g > .git/config
ln tiny.py hard; echo dash > -rf; rm docs/a.txt; mkdir docs/a.txt; echo z > docs/a.txt/z
"""


def test_changes_are_what_the_engine_sees(box: DockerSandbox) -> None:
    assert box.changes() == Changes()
    assert box.run(MANY, 20).exit_code == 0
    changes = box.changes()
    tiny = TINY["tiny.py"] + b"more\n"
    assert dict(changes.files) == {
        "READ2": FileState(b"tiny\n"),
        "tiny.py": FileState(tiny),
        "hard": FileState(tiny),
        "tests/test_tiny.py": FileState(TINY["tests/test_tiny.py"], "100755"),
        "evil": FileState(b"/etc/passwd", "120000"),
        "new/full/a b'c": FileState(b"n\n"),
        "bad\udcffname": FileState(b"x"),
        "bin": FileState(b"file\n"),
        "secret": FileState(b"s\n"),
        "-rf": FileState(b"dash\n"),
        "docs/a.txt/z": FileState(b"z\n"),
    }
    assert set(changes.deleted) == {"README", "docs/deep/b.txt", "docs/deep/c.txt", "docs/a.txt", "bin/tool"}
    with box.fork() as other:
        assert other.container != box.container
        assert other.changes() == changes
        other.write("tiny.py", b"only there")
    assert box.read("tiny.py") == tiny


def test_a_directory_made_again_has_lost_what_it_held(box: DockerSandbox) -> None:
    box.run("rm -rf docs; mkdir docs; echo new > docs/b", 20)
    changes = box.changes()
    assert dict(changes.files) == {"docs/b": FileState(b"new\n")}
    assert set(changes.deleted) == {"docs/a.txt", "docs/deep/b.txt", "docs/deep/c.txt"}


def test_too_large_changes_are_refused(prepared: DockerPrepared) -> None:
    limits = Limits(changed_file=1000, changed_bytes=1500, changed_files=3)
    for command, what in (
        ("head -c 2000 /dev/zero > big", "big has 2.0 KiB"),
        ("for i in 1 2; do head -c 900 /dev/zero > f$i; done", "more than 1.5 KiB"),
        ("touch a b c d", "more than 3"),
    ):
        with DockerPrepared(prepared.image, "test", limits, {}).start() as box:
            box.run(command, 20)
            with pytest.raises(SandboxError, match=what):
                box.changes()


@pytest.mark.parametrize("path", ["../x", "/etc/x", ".git/hooks/x", "a/../../x", ""])
def test_restore_stays_in_the_workspace(shared: DockerSandbox, path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        shared.restore(Changes({path: FileState(b"")}))
    with pytest.raises(ValueError, match="not a path"):
        shared.restore(Changes(deleted=[path]))


def test_a_lost_container_is_a_sandbox_error(prepared: DockerPrepared) -> None:
    box = prepared.start()
    killer = threading.Timer(0.5, lambda: connect().kill(box.container))
    killer.start()
    with pytest.raises(SandboxError):
        box.run("sleep 30", 60)
    for use in (lambda: box.run("true", 5), box.changes, box.fork, lambda: box.read("tiny.py")):
        with pytest.raises(SandboxError):
            use()
    box.close()
    box.close()


def test_writing_too_much_destroys_the_sandbox(prepared: DockerPrepared) -> None:
    with prepared.start() as box:
        with pytest.raises(SandboxError, match=r"more than 96\.0 MiB"):
            box.run("for i in 1 2 3 4 5; do head -c 30000000 /dev/zero > /tmp/$i; done; sleep 30", 60)
        with pytest.raises(SandboxError):
            box.run("true", 5)


def test_four_sandboxes_start_at_once(prepared: DockerPrepared) -> None:
    boxes: list[DockerSandbox] = []
    threads = [threading.Thread(target=lambda: boxes.append(prepared.start())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({box.container for box in boxes}) == 4
    for box in boxes:
        assert box.run("python -c 'import tiny; print(tiny.f())'", 30).output == "1\n"
        box.close()


def test_what_is_cached_is_used_again(prepared: DockerPrepared) -> None:
    plan = detect([path for path in TINY if not path.startswith(".git/")], TINY.get)
    again = prepare(plan, commit="tiny-1", archive=archive_of(TINY), run_id="test", limits=LIMITS)
    assert again.image == prepared.image
    facts = again.describe()
    assert facts["set-up"] == "cached"
    assert facts["network"] == "none"
    assert "watchdog" in facts["disk"] or "storage driver" in facts["disk"]
    files = {path: data for path, data in TINY.items() if path != "docs/a.txt"} | {"added": b"1"}
    plan = detect([path for path in files if not path.startswith(".git/")], files.get)
    other = prepare(plan, commit="tiny-2", archive=archive_of(files), run_id="test", limits=LIMITS)
    assert other.describe()["environment"] == facts["environment"]
    with other.start() as box:
        assert sorted(box.run("ls docs added", 20).output.split()) == ["added", "deep", "docs:"]
        assert box.changes() == Changes()


def test_a_failing_setup_says_what_and_how_to_mend() -> None:
    plan = detect([], TINY.get, setup_command="echo broken here; exit 3")
    with pytest.raises(SandboxError, match="broken here") as caught:
        prepare(plan, commit="x", archive=archive_of(TINY), run_id="test", limits=LIMITS, network="none")
    assert "--setup-command" in caught.value.mend
    assert "--image" in caught.value.mend


def test_an_image_that_is_nowhere() -> None:
    plan = detect([], TINY.get, image="agentmem/no-such-image:1")
    with pytest.raises(SandboxError, match="no-such-image"):
        prepare(plan, commit="x", archive=archive_of(TINY), run_id="test", limits=LIMITS, network="none")


def test_the_dead_are_reaped_and_the_living_left(prepared: DockerPrepared, shared: DockerSandbox) -> None:
    code = (
        "import os, sys, time; from agentmem.sandbox.container import Container\n"
        "from agentmem.sandbox.limits import Limits\n"
        "print(Container(sys.argv[1], sys.argv[2], Limits()).id, flush=True)\n"
        "time.sleep(600) if sys.argv[2] != 'leaves' else sys.exit(0)\n"
    )

    def child(run: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, prepared.image, run], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    dying, orphan = child("dies")
    living, kept = child("lives")
    leaving, tidy = child("leaves")
    assert leaving.wait(30) == 0
    dying.kill()
    dying.wait()
    try:
        ids = {item["Id"] for item in connect().containers(all=True)}
        assert tidy not in ids
        assert {orphan, kept, shared.container} <= ids
        reaper.reap()
        ids = {item["Id"] for item in connect().containers(all=True)}
        assert orphan not in ids
        assert {kept, shared.container} <= ids
        mine = Container(prepared.image, "mine", LIMITS)
        assert kept not in str(reaper.leftovers(everything=True))
        assert mine.id in str(reaper.leftovers(everything=True))
        mine.remove()
    finally:
        living.kill()
        living.wait()
        reaper.reap()
    assert kept not in {item["Id"] for item in connect().containers(all=True)}
