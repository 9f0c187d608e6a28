"""A command as a process of this machine: capped output, a time-out that ends all it started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agentmem.sandbox.base import Completed
from agentmem.sandbox.limits import Limits, human
from agentmem.sandbox.output import Capped

TICK = 0.1
GRACE = 0.3
MARK = "AGENTMEM_SANDBOX"  # in the environment of all that a sandbox starts, to find what detached itself


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    limits: Limits,
    env: Mapping[str, str],
    cwd: str,
    on_output: Callable[[bytes], None] | None = None,
) -> Completed:
    """Run to the end, the time-out, or a limit on the output; the exit code is the shell's (128 + signal)."""
    started = time.monotonic()
    kept = Capped(limits.output)
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    ) as process:
        try:
            why = _pump(process, kept, limits.flood, started + timeout, on_output)
        finally:
            if process.poll() is None:
                end(process.pid, env.get(MARK, ""))
            assert process.stdout is not None
            process.stdout.close()
    seconds = time.monotonic() - started
    text = kept.text()
    if why == "timeout":
        text += f"\n[killed: the time-out of {timeout:g} s was reached]\n"
        return Completed(124, text, kept.left_out > 0, True, seconds)
    if why == "flood":
        text += f"\n[killed: more than {human(limits.flood)} of output]\n"
        return Completed(137, text, True, False, seconds)
    code = process.returncode
    return Completed(128 - code if code < 0 else code, text, kept.left_out > 0, False, seconds)


def _pump(
    process: subprocess.Popen[bytes],
    kept: Capped,
    flood: int,
    deadline: float,
    on_output: Callable[[bytes], None] | None,
) -> str:
    assert process.stdout is not None
    ended = 0.0
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while True:
            chunk = None
            if ready.select(TICK):
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                kept.feed(chunk)
                if chunk and on_output:
                    on_output(chunk)
            now = time.monotonic()
            if kept.total > flood:
                return "flood"
            if process.poll() is not None:
                # Something in the background may hold the pipe open for ever.
                ended = ended or now
                if chunk == b"" or now - ended > (1.0 if chunk else GRACE):
                    return ""
            elif now > deadline:
                return "timeout"
            elif chunk == b"":
                time.sleep(TICK / 10)


def end(leader: int, mark: str) -> None:
    """Kill a process group and whatever else carries the mark."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    if mark:
        end_marked(mark)


def end_marked(mark: str) -> None:
    """Kill every process of this user whose environment carries the mark."""
    wanted = f"{MARK}={mark}".encode()
    for _ in range(20):  # again while new ones appear
        found = [pid for pid in _pids() if wanted in _environment(pid)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.01)


def _pids() -> list[int]:
    proc = Path("/proc")
    names = [path.name for path in proc.iterdir()] if proc.is_dir() else []
    return [int(name) for name in names if name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
