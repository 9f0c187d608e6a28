"""A sandbox that is a Docker container: no network, no capabilities, no mounts, and limits on everything."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from agentmem.changes import Changes
from agentmem.sandbox import files, workspace
from agentmem.sandbox.base import Completed
from agentmem.sandbox.container import Container
from agentmem.sandbox.engine import ROOT, Exec
from agentmem.sandbox.limits import human
from agentmem.sandbox.output import Capped

TICK = 0.1  # seconds between looks at a silent command
GRACE = 0.3  # seconds of silence after which output held open by something in the background is given up
WATCH = 2.0  # seconds between looks at the disk

# bash where the image has it. One pipe for both streams keeps their order.
_SHELL = (
    'if command -v bash >/dev/null 2>&1; then exec bash -c "$1"; else exec sh -c "$1"; fi </dev/null 2>&1'
)
_SCRIPT = "/tmp/.agentmem-command"
_LONGEST = 100_000  # bytes of a command given as an argument; the kernel's bound is 131,072


def stream(
    box: Container,
    command: str,
    timeout: float,
    *,
    on_output: Callable[[bytes], None] | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a shell command to its end, its time-out, or a limit on what it writes."""
    started = time.monotonic()
    if len(command.encode("utf-8", "replace")) > _LONGEST:
        files.write(box, _SCRIPT, command.encode("utf-8", "replace"))
        command = f". {_SCRIPT}"
    if "\0" in command:
        return Completed(126, "the command holds a NUL byte", False, False, 0.0)
    kept = Capped(box.limits.output)
    run = box.exec(["sh", "-c", _SHELL, "sh", command], env={**box.environment(), **(env or {})})
    try:
        killed = _pump(box, run, kept, started + timeout, on_output)
        code = None if killed else run.exit_code()
    finally:
        run.close()
    seconds = time.monotonic() - started
    if seconds > 1.0:
        box.check_disk()
    output = kept.text()
    if killed == "timeout":
        output += f"\n[killed: the time-out of {timeout:g} s was reached]\n"
        return Completed(124, output, kept.left_out > 0, True, seconds)
    if killed == "flood":
        output += f"\n[killed: more than {human(box.limits.flood)} of output]\n"
        return Completed(137, output, True, False, seconds)
    if code in (None, 137):
        box.check_survived()
    return Completed(137 if code is None else code, output, kept.left_out > 0, False, seconds)


def _pump(
    box: Container, run: Exec, kept: Capped, deadline: float, on_output: Callable[[bytes], None] | None
) -> str:
    """Read until the command is over; "timeout" or "flood" when it was killed, else ""."""
    watch = time.monotonic() + WATCH
    look = 0.0
    while True:
        chunk = run.read(TICK)
        now = time.monotonic()
        if chunk:
            kept.feed(chunk)
            if on_output:
                on_output(chunk)
        if kept.total > box.limits.flood:
            box.kill_processes(run.close)
            return "flood"
        if now > deadline:
            box.kill_processes(lambda: _drain(run, kept))
            return "timeout"
        if chunk == b"":
            # The end of the output; the command itself may have closed it and go on.
            if run.exit_code() is not None:
                return ""
            time.sleep(TICK / 10)
        elif now > look:
            if run.exit_code() is not None:
                _drain(run, kept)
                return ""
            look = now + TICK
        if now > watch:
            box.check_disk()
            watch = time.monotonic() + WATCH


def _drain(run: Exec, kept: Capped) -> None:
    """What is still on its way; something left in the background may hold the stream open for ever."""
    end = time.monotonic() + 1.0
    while time.monotonic() < end and (chunk := run.read(GRACE)):
        kept.feed(chunk)
    run.close()


class DockerSandbox:
    """See `agentmem.sandbox.base.HarnessSandbox`."""

    root = ROOT

    def __init__(self, box: Container, fresh: Callable[[], DockerSandbox]) -> None:
        """`fresh` starts another sandbox from the same prepared image."""
        self._box = box
        self._fresh = fresh

    @property
    def container(self) -> str:
        """The engine's id of the container."""
        return self._box.id

    def run(self, command: str, timeout: float) -> Completed:
        return stream(self._box, command, timeout)

    def read(self, path: str) -> bytes:
        return files.read(self._box, path)

    def write(self, path: str, data: bytes) -> None:
        files.write(self._box, path, data)

    def changes(self) -> Changes:
        return workspace.changes(self._box, workspace.manifest(self._box))

    def restore(self, changes: Changes) -> None:
        workspace.restore(self._box, changes)

    def fork(self) -> DockerSandbox:
        state = self.changes()
        sandbox = self._fresh()
        try:
            sandbox.restore(state)
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def close(self) -> None:
        self._box.remove()

    def __enter__(self) -> DockerSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
