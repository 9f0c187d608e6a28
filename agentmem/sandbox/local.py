"""`--sandbox local`: the same contract without a container, for machines without Docker. It protects less."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import posixpath
import shlex
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import platformdirs

from agentmem.changes import Changes
from agentmem.errors import SandboxError
from agentmem.sandbox import owner, process
from agentmem.sandbox.base import Check, Completed
from agentmem.sandbox.environment import Plan, steps
from agentmem.sandbox.jail import Jail, bubblewrap
from agentmem.sandbox.limits import GIB, Limits, human
from agentmem.sandbox.scan import Manifest, difference, manifest, size
from agentmem.sandbox.tarball import pack

_OWNER = "owner.json"
_READ = (
    '[ -d "$1" ] && exit 41; [ -f "$1" ] || { [ -e "$1" ] && exit 42; exit 40; }; [ -r "$1" ] || exit 43; '
    'exec head -c "$2" -- "$1"'
)
_WRITE = (
    '[ -d "$1" ] && exit 41; if [ -e "$1" ] && [ ! -f "$1" ]; then exit 42; fi; '
    'mkdir -p -- "$(dirname -- "$1")" && exec cat > "$1"'
)


def warning() -> str:
    """What this kind of sandbox does not protect."""
    if bubblewrap():
        return (
            "--sandbox local with bubblewrap: no network and only this project's copy is writable, but the "
            "programs of this machine are readable, and memory and disk are bounded per process only"
        )
    return (
        "--sandbox local WITHOUT bubblewrap: the project's code and the model's commands run as your user, "
        "with your network and your files; only the environment is clean. Use it for code you trust"
    )


def check() -> list[Check]:
    """What doctor shows."""
    fence = bool(bubblewrap())
    mend = "" if fence else "Install bubblewrap (apt-get install bubblewrap), or use Docker."
    return [Check("bubblewrap", fence, "works" if fence else "missing, or forbidden here", mend)]


class LocalSandbox:
    """See `agentmem.sandbox.base.HarnessSandbox`."""

    def __init__(self, folder: Path, jail: Jail, base: Manifest, fresh: Callable[[], LocalSandbox]) -> None:
        self._folder = folder
        self._jail = jail
        self._base = base
        self._fresh = fresh
        self.root = jail.root

    def run(self, command: str, timeout: float) -> Completed:
        if "\0" in command:
            return Completed(126, "the command holds a NUL byte", False, False, 0.0)
        self._alive()
        done = _run(self._jail, command, timeout)
        limit = self._jail.limits.disk
        if done.seconds > 1.0 and size(self._folder) > limit:
            self.close()
            raise SandboxError(
                f"the sandbox wrote more than {human(limit)} and was destroyed", "Raise the disk limit."
            )
        return done

    def read(self, path: str) -> bytes:
        limit = self._jail.limits.read
        done = self._inside(_READ, [self._absolute(path), str(limit + 1)])
        self._refuse(done.returncode, path)
        if done.returncode == 40:
            raise FileNotFoundError(path)
        if len(done.stdout) > limit:
            raise ValueError(f"{path} is too large: more than {human(limit)}")
        return done.stdout

    def write(self, path: str, data: bytes) -> None:
        done = self._inside(_WRITE, [self._absolute(path)], data)
        self._refuse(done.returncode, path)
        if done.returncode:
            raise PermissionError(
                f"{path} could not be written: {done.stderr.decode(errors='replace')[-300:]}"
            )

    def changes(self) -> Changes:
        self._alive()
        return difference(self._jail.work, self._base, self._jail.limits)

    def restore(self, changes: Changes) -> None:
        for path in [*changes.files, *changes.deleted]:
            parts = path.split("/")
            if not path or parts[0] in ("", ".git") or ".." in parts:
                raise ValueError(f"not a path of the workspace: {path!r}")
        script = "".join(f"rm -rf -- {shlex.quote('./' + path)}\n" for path in changes.deleted)
        done = [self._inside("exec sh -s", [], os.fsencode(script))] if script else []
        done += [self._inside("exec tar -xof -", [], pack(changes.files))] if changes.files else []
        for each in done:
            if each.returncode:
                said = each.stderr.decode(errors="replace")[-500:]
                raise SandboxError(f"files could not be put into the sandbox: {said}", "Start a fresh run.")

    def fork(self) -> LocalSandbox:
        state = self.changes()
        sandbox = self._fresh()
        try:
            sandbox.restore(state)
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def close(self) -> None:
        process.end_marked(self._jail.mark)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> LocalSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _alive(self) -> None:
        if not self._jail.work.is_dir():
            raise SandboxError("the sandbox is gone", "Start the run again with --resume.")

    def _absolute(self, path: str) -> str:
        if not path or "\0" in path:
            raise ValueError("not a path")
        return posixpath.normpath(posixpath.join(self.root, path))

    def _inside(
        self, script: str, words: Sequence[str], data: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """A command of the harness: fenced in as those of the agent, so no planted link leads out."""
        self._alive()
        return inside(self._jail, script, words, data)

    def _refuse(self, code: int, path: str) -> None:
        if code == 41:
            raise IsADirectoryError(path)
        if code == 42:
            raise ValueError(f"{path} is not a regular file")
        if code == 43:
            raise PermissionError(f"{path} may not be read")


def inside(jail: Jail, script: str, words: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    command = f"set -- {shlex.join(words)}; {script}" if words else script
    try:
        return subprocess.run(
            jail.argv(command),
            input=data,
            capture_output=True,
            env=jail.environment({}),
            cwd=str(jail.work),
            timeout=300,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"the sandbox does not answer: {error}", "Start the run again.") from error


def _run(
    jail: Jail,
    command: str,
    timeout: float,
    *,
    network: bool = False,
    install: bool = False,
    extra: Mapping[str, str] | None = None,
    on_output: Callable[[bytes], None] | None = None,
) -> Completed:
    return process.run(
        jail.argv(command, network=network, install=install),
        timeout=timeout,
        limits=jail.limits,
        env=jail.environment(extra or {}),
        cwd=str(jail.work),
        on_output=on_output,
    )


class LocalPrepared:
    """See `agentmem.sandbox.base.Prepared`."""

    def __init__(
        self, folder: Path, jail: Jail, base: Manifest, limits: Limits, facts: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._jail = jail
        self._base = base
        self._limits = limits
        self._facts = dict(facts)

    def start(self) -> LocalSandbox:
        folder = self._folder / f"sandbox-{uuid.uuid4().hex[:12]}"
        jail = _jail(folder, self._jail.venv, self._limits)
        jail.work.rmdir()
        copied = subprocess.run(
            ["cp", "-a", "--", str(self._jail.work), str(jail.work)], capture_output=True, check=False
        )
        if copied.returncode:
            raise SandboxError("the workspace could not be copied", "Is the disk full?")
        return LocalSandbox(folder, jail, self._base, self.start)

    def describe(self) -> Mapping[str, str]:
        fenced = self._jail.fenced
        each = f"{human(self._limits.memory)} per process" if shutil.which("prlimit") else "not enforced"
        return {
            "kind": "local, in bubblewrap" if fenced else "local, without any fence",
            **self._facts,
            "network": "none" if fenced else "not enforced",
            "memory": each,
            "processes": "not enforced",
            "cpus": "not enforced",
            "disk": f"{human(self._limits.disk)}, looked at after each command",
            "warning": warning(),
        }


def prepare(
    plan: Plan,
    *,
    commit: str,
    archive: Callable[[], Iterable[bytes]],
    run_id: str,
    limits: Limits,
    network: str = "auto",
    on_output: Callable[[str], None] = lambda _: None,
    proxies: Mapping[str, str] | None = None,
) -> LocalPrepared:
    """Install the project in a scratch folder of this machine, for this process only. Raises SandboxError."""
    clean()
    on_output(f"warning: {warning()}")
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=_home()))
    (folder / _OWNER).write_text(json.dumps(owner.labels(run_id)))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    venv = folder / "venv"
    venv.mkdir()
    setup = replace(limits, flood=GIB, file_size=8 * GIB)
    jail = _jail(folder / "base", venv, setup)
    unpacked = b"".join(archive())
    _extract(jail, unpacked)
    failed: list[str] = []
    for step in steps(
        replace(plan, image=None), jail.venv_inside, python=str(Path(sys.executable).resolve())
    ):
        on_output(f"{step.name}: {step.command.splitlines()[0]}")
        done = _run(
            jail, step.command, setup.setup_seconds, network=network != "none", install=True, extra=proxies
        )
        if done.exit_code and step.must:
            tail = done.output.strip()[-2000:]
            raise SandboxError(f"the set-up failed ({step.name}, exit {done.exit_code}):\n{tail}", step.mend)
        if done.exit_code:
            failed.append(step.name)
            on_output(f"{step.name} failed (exit {done.exit_code}); going on without")
    _extract(jail, unpacked)  # what the set-up changed in tracked files
    facts = {"commit": commit, "set-up": "done" + (f"; failed: {', '.join(failed)}" if failed else "")}
    return LocalPrepared(folder, jail, manifest(jail.work), limits, facts)


def _extract(jail: Jail, tar: bytes) -> None:
    done = inside(jail, "exec tar -xof -", [], tar)
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-500:]
        raise SandboxError(f"the project could not be unpacked: {said}", "Is the disk full?")


def _jail(folder: Path, venv: Path, limits: Limits) -> Jail:
    for name in ("work", "tmp/home"):
        (folder / name).mkdir(parents=True)
    mark = uuid.uuid4().hex
    return Jail(folder / "work", venv, folder / "tmp", mark, limits, fenced=bool(bubblewrap()))


def _home() -> Path:
    path = platformdirs.user_cache_path("agentmem", appauthor=False) / "local"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def clean() -> list[str]:
    """Remove the folders of dead owners."""
    removed: list[str] = []
    for folder in _home().glob("run-*"):
        found: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((folder / _OWNER).read_text())
        if owner.alive(found) is False:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(str(folder))
    return removed
