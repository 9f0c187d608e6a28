"""What `doctor` looks at. Each check finds out one fact, and for a failure says the mend."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agentmem.errors import AgentmemError, ExitCode

if TYPE_CHECKING:
    from agentmem.sandbox.environment import Plan
    from agentmem.settings import Settings

State = Literal["ok", "note", "failed"]
_LITTLE_DISK = 5 * 2**30  # bytes; a base image and a few environments
_SHOWN = ("litellm", "docker", "typer", "pydantic", "xllamacpp")


@dataclass(frozen=True, slots=True)
class Check:
    """One fact. `code` is what a failed check costs: the exit code of a `fix` that would meet it."""

    name: str
    state: State
    found: str
    mend: str = ""
    code: ExitCode = ExitCode.OK


def machine(home: Path) -> Iterator[Check]:
    """Python, git, disk, our own directory, the memory store, versions."""
    yield Check("python", "ok", f"{platform.python_version()} at {sys.executable}")
    git = shutil.which("git")
    if git is None:
        yield Check("git", "failed", "not found", "Install git (apt-get install git).", ExitCode.CONFIG)
    else:
        done = subprocess.run([git, "--version"], capture_output=True, text=True, check=False)
        yield Check("git", "ok", done.stdout.strip().removeprefix("git version "))
    nearest = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    enough = free >= _LITTLE_DISK
    space = f"{free / 2**30:.1f} GiB free at {nearest}"
    yield Check(
        "disk", "ok" if enough else "note", space, "" if enough else "Free some: agentmem clean --images"
    )
    yield _writable("home", home)
    yield _writable("memory store", home / "memory", f"lancedb {_version('lancedb')}, ")
    versions = ", ".join(f"{name} {_version(name)}" for name in _SHOWN)
    yield Check("versions", "ok", f"agentmem {_version('agentmem')}, {versions}")


def sandbox(settings: Settings) -> Iterator[Check]:
    """The engine, the base image, the limits it holds, the networks."""
    if settings.sandbox == "local":
        yield _bubblewrap()
        return
    from agentmem.sandbox.container import enforced
    from agentmem.sandbox.engine import connect
    from agentmem.sandbox.limits import MIB, Limits

    try:
        version = connect().version()
        yield Check("engine", "ok", f"Docker {version.get('Version')}, kernel {version.get('KernelVersion')}")
        yield _base_image(settings.image)
        limits = Limits(
            memory=settings.memory_limit * MIB,
            pids=settings.pids,
            cpus=settings.cpus,
            disk=settings.disk_limit * MIB,
        )
        held = enforced(limits)
    except AgentmemError as error:
        yield Check("engine", "failed", error.what, error.mend, ExitCode.SANDBOX)
        return
    for name, how in held.items():
        weak = how.startswith("not enforced")
        mend = "Another engine or kernel configuration is needed for it." if weak else ""
        yield Check(f"limit: {name}", "note" if weak else "ok", how, mend)
    # Whether the bridge works is found out by trying it, in the first set-up.
    network = (
        "bridge where it works, else host" if settings.setup_network == "auto" else settings.setup_network
    )
    yield Check("network", "ok", f"set-up: {network}; repairs: none")


def model(settings: Settings, home: Path) -> Check:
    """Whether the configured model can be asked. The key itself is never shown, nor sent anywhere."""
    name = settings.model
    if not name:
        mend = 'Name one: agentmem fix --model M, AGENTMEM_MODEL=M, or `model = "M"` in the user file.'
        files = sorted((home / "models").glob("*.gguf"))
        if files:
            mend = f"Use the one that is here: agentmem fix --model local:{files[0]}"
        return Check("model", "failed", "none is configured", mend, ExitCode.CONFIG)
    kind, _, target = name.partition(":")
    if kind in ("local", "replay", "file"):
        return _model_file(kind, target)
    try:
        from agentmem.model.litellm_library import missing_keys

        missing = missing_keys(name)
    except AgentmemError as error:
        return Check("model", "failed", error.what, error.mend, error.exit_code)
    if missing and settings.api_base is None:
        found = f"{name}: {', '.join(missing)} is not set"
        return Check("model", "failed", found, f"export {missing[0]}=…", ExitCode.CONFIG)
    where = f" at {settings.api_base}" if settings.api_base else ""
    return Check("model", "ok", f"{name}{where}, key {'not needed or not set' if missing else 'present'}")


def project(repo: Path, settings: Settings) -> Iterator[Check]:
    """How the project would be installed and tested, and why. Raises UsageError: not a repository."""
    import tempfile

    from agentmem.checkout import Checkout
    from agentmem.sandbox.environment import detect

    with tempfile.TemporaryDirectory(prefix="agentmem-") as scratch:
        checkout = Checkout.create(repo, Path(scratch))
        plan: Plan = detect(
            checkout.paths(),
            checkout.read,
            image=settings.image,
            setup_command=settings.setup_command,
            test_command=settings.test_command,
        )
        yield Check("repository", "ok", f"{checkout.name} at {checkout.commit[:12]}")
    yield Check("set-up", "ok", "; ".join((*plan.setup, *plan.extras)) or "nothing to install")
    yield Check("tests", "ok", plan.test_command)
    for choice, why in plan.reasons:
        yield Check(f"why: {choice}", "ok", why)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _writable(name: str, path: Path, about: str = "") -> Check:
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Check(name, "ok", f"{about}{path} can be written")
    mend = "Make it writable, or set AGENTMEM_HOME to another directory."
    return Check(name, "failed", f"{about}{path} cannot be written", mend, ExitCode.CONFIG)


def _bubblewrap() -> Check:
    if found := shutil.which("bwrap"):
        return Check("sandbox", "note", f"local, with bubblewrap at {found}: protects less than Docker does")
    mend = "apt-get install bubblewrap, or use --sandbox docker."
    return Check("sandbox", "note", "local, without bubblewrap: hardly protects this machine", mend)


def _base_image(named: str | None) -> Check:
    from agentmem.sandbox.images import base_tag, present

    wanted = [named] if named else [base_tag("3.11"), "python:3.11-bookworm"]
    for name in wanted:
        if image := present(name):
            return Check("base image", "ok", f"{name} ({image.removeprefix('sha256:')[:12]})")
    if not named and os.geteuid() == 0 and shutil.which("debootstrap"):
        return Check("base image", "note", "none yet: the first repair pulls it, or makes it in a minute")
    mend = (
        "The first repair tries to pull it. Without a registry: run once as root with debootstrap installed."
    )
    return Check("base image", "note", f"{wanted[0]} is not here", mend)


def _model_file(kind: str, target: str) -> Check:
    path = Path(target).expanduser()
    if kind == "local" and importlib.util.find_spec("xllamacpp") is None:
        mend = "pip install 'agentmem[local]'"
        return Check("model", "failed", "the xllamacpp package is missing", mend, ExitCode.CONFIG)
    if kind != "file" and not path.is_file():
        return Check("model", "failed", f"there is no file {path}", "Correct the path.", ExitCode.CONFIG)
    size = f", {path.stat().st_size / 2**20:.0f} MiB" if kind == "local" else ""
    return Check("model", "ok", f"{kind}: {path}{size}")
