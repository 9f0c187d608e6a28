"""From a base image to a project installed at one commit: three cached layers, user, environment, commit."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from agentmem.changes import FileState
from agentmem.errors import SandboxError
from agentmem.sandbox import images, workspace
from agentmem.sandbox.checks import check
from agentmem.sandbox.container import Container, enforced
from agentmem.sandbox.docker import DockerSandbox, stream
from agentmem.sandbox.engine import HOME, ROOT, UID, VENV
from agentmem.sandbox.environment import FORMAT, Plan, Step, steps
from agentmem.sandbox.limits import GIB, Limits
from agentmem.sandbox.locks import locked
from agentmem.sandbox.reaper import reap
from agentmem.sandbox.tarball import Caps, names, pack, unpack

__all__ = ["DockerPrepared", "check", "prepare"]

Archive = Callable[[], Iterable[bytes]]
Say = Callable[[str], None]

_TRACKED = "/.agentmem/tracked"
_ANY = Caps(1 << 30, 1 << 40, 1 << 40)


class DockerPrepared:
    """See `agentmem.sandbox.base.Prepared`."""

    def __init__(self, image: str, run_id: str, limits: Limits, facts: Mapping[str, str]) -> None:
        self.image = image
        self._run_id = run_id
        self._limits = limits
        self._facts = dict(facts)

    def start(self) -> DockerSandbox:
        return DockerSandbox(Container(self.image, self._run_id, self._limits), self.start)

    def describe(self) -> Mapping[str, str]:
        return {"kind": "docker", **self._facts, **enforced(self._limits, self.image)}


def prepare(
    plan: Plan,
    *,
    commit: str,
    archive: Archive,
    run_id: str,
    limits: Limits,
    network: str = "auto",
    on_output: Say = lambda _: None,
    proxies: Mapping[str, str] | None = None,
) -> DockerPrepared:
    """Install the project at `commit`; what is cached is used again. Raises SandboxError.

    `archive` gives a tar of the tracked files and of `.git`, relative to the root. `network` is that of the
    set-up alone: auto, bridge, host or none. `proxies` are variables for the set-up's commands.
    """
    reap()
    base = images.find_base(plan.image, plan.python, offline=network == "none", say=on_output)
    builder = _Builder(run_id, limits, network, on_output, dict(proxies or {}))
    user = builder.with_user(base)
    environment = builder.with_project(user, plan, archive)
    image = builder.at_commit(environment, commit, archive)
    facts = {
        "image": plan.image or images.base_tag(plan.python or "3.11"),
        "environment": environment.removeprefix("sha256:")[:12],
        "set-up": builder.report(),
    }
    return DockerPrepared(image, run_id, limits, facts)


class _Builder:
    def __init__(
        self, run_id: str, limits: Limits, network: str, say: Say, proxies: Mapping[str, str]
    ) -> None:
        self._run_id = run_id
        # A set-up may write more than a repair: compilers and packages are large.
        self._limits = replace(limits, flood=GIB, disk=max(limits.disk, 32 * GIB), file_size=8 * GIB)
        self._network = network
        self._say = say
        self._proxies = proxies
        self._failed: list[str] = []
        self._cached = True

    def report(self) -> str:
        """One line on how the set-up went."""
        if self._cached:
            return "cached"
        return "done" + (f"; failed: {', '.join(self._failed)}" if self._failed else "")

    def _container(self, image: str, network: str = "none") -> Container:
        return Container(image, self._run_id, self._limits, network=network, quota=False)

    def with_user(self, base: str) -> str:
        """The unprivileged user, with a home, the work tree and a place for an environment it may write."""
        tag = _key(FORMAT, base)
        with locked(f"user-{tag}"):
            if image := images.present(f"agentmem/user:{tag}"):
                return image
            box = self._container(base)
            try:
                for path, line in (
                    ("/etc/passwd", f"agentmem:x:{UID}:{UID}::{HOME}:/bin/sh\n"),
                    ("/etc/group", f"agentmem:x:{UID}:\n"),
                ):
                    _append(box, path, line)
                box.place("/", _folders({HOME: UID, ROOT: UID, VENV: UID, "/.agentmem": 0}))
                if _ask(box, "command -v tar") != 0:
                    raise SandboxError("the image has no sh or no tar", "Name another image with --image.")
                return box.commit("agentmem/user", tag, labels={images.KIND: "user"})
            finally:
                box.remove()

    def with_project(self, user: str, plan: Plan, archive: Archive) -> str:
        """The project installed, with what its tests need."""
        tag = _key(FORMAT, user, plan.digest)
        with locked(f"env-{tag}"):
            if image := images.present(f"agentmem/env:{tag}"):
                return image
            self._cached = False
            network = _working_network(user, self._network, self._container)
            if network == "host":
                self._say("the set-up uses the host's network; repairs have none")
            box = self._container(user, network)
            try:
                workspace.feed(box, ["tar", "-xof", "-"], archive())
                for step in steps(plan, VENV):
                    self._run(box, step)
                box.place("/", _listing(_TRACKED, _tracked(archive)))
                return box.commit("agentmem/env", tag, labels={images.KIND: "environment"})
            finally:
                box.remove()

    def _run(self, box: Container, step: Step) -> None:
        lines = _Lines(self._say)
        self._say(f"{step.name}: {step.command.splitlines()[0]}")
        done = stream(box, step.command, self._limits.setup_seconds, on_output=lines.feed, env=self._proxies)
        lines.end()
        if done.exit_code == 0:
            return
        if step.must:
            tail = done.output.strip()[-2000:]
            raise SandboxError(f"the set-up failed ({step.name}, exit {done.exit_code}):\n{tail}", step.mend)
        self._failed.append(step.name)
        self._say(f"{step.name} failed (exit {done.exit_code}); going on without")

    def at_commit(self, environment: str, commit: str, archive: Archive) -> str:
        """Tracked files exactly as in the commit; what the set-up built beside them stays."""
        tag = _key(FORMAT, environment, commit)
        with locked(f"prepared-{tag}"):
            if image := images.present(f"agentmem/prepared:{tag}"):
                return image
            box = self._container(environment)
            try:
                old = _read_listing(box, _TRACKED)
                workspace.remove(box, [".git", *sorted(old - _tracked(archive))])
                workspace.feed(box, ["tar", "-xof", "-"], archive())
                _ask(box, "command -v git >/dev/null && git update-index -q --refresh")
                workspace.remember(box)
                image = box.commit("agentmem/prepared", tag, labels={images.KIND: "prepared"})
            finally:
                box.remove()
        images.prune_prepared()
        return image


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _ask(box: Container, command: str) -> int:
    try:
        run = box.exec(["sh", "-c", command])
    except SandboxError:
        return 127
    list(run.chunks(60))
    run.close()
    return run.wait(60)


def _append(box: Container, path: str, line: str) -> None:
    """Add a line to a small file of the image, by the engine."""
    try:
        found = [entry.state for entry in unpack(box.fetch(path), _ANY)]
    except SandboxError:
        found = []
    data = found[0].data if found and found[0] else b""
    box.place(
        "/", pack({path.lstrip("/"): FileState(data.rstrip(b"\n") + b"\n" * bool(data) + line.encode())})
    )


def _folders(owners: Mapping[str, int]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for path, uid in owners.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, 0o755, uid, uid
            tar.addfile(member)
    return raw.getvalue()


def _tracked(archive: Archive) -> frozenset[str]:
    return frozenset(path for path in names(archive()) if path.split("/", 1)[0] != ".git")


def _listing(path: str, paths: Iterable[str]) -> bytes:
    data = "\0".join(sorted(paths)).encode("utf-8", "surrogateescape")
    return pack({path.lstrip("/"): FileState(data)})


def _read_listing(box: Container, path: str) -> frozenset[str]:
    for entry in unpack(box.fetch(path), _ANY):
        if entry.state:
            return frozenset(entry.state.data.decode("utf-8", "surrogateescape").split("\0")) - {""}
    return frozenset()


class _Lines:
    """Cuts a stream of bytes into lines of text."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._say(line.decode("utf-8", "replace").rstrip("\r"))
        self._rest = self._rest[-4096:]

    def end(self) -> None:
        if self._rest:
            self._say(self._rest.decode("utf-8", "replace"))


_TRY = "PIP_RETRIES=0 PIP_DEFAULT_TIMEOUT=8 python3 -m pip download -q --no-deps -d /tmp/.agentmem-try pip"


def _bridge_works(image: str, make: Callable[[str, str], Container]) -> bool:
    """Whether pip reaches its index from the engine's own network; some machines have none that works."""
    try:
        box = make(image, "bridge")
    except SandboxError:
        return False
    try:
        return stream(box, _TRY, 30).exit_code == 0
    finally:
        box.remove()


def _working_network(image: str, wanted: str, make: Callable[[str, str], Container]) -> str:
    if wanted != "auto":
        return wanted
    return "bridge" if _bridge_works(image, make) else "host"
