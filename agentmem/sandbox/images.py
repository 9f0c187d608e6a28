"""The base image: the one the user names, one that is there, a pulled one, or one made of Debian packages."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agentmem.errors import SandboxError
from agentmem.sandbox.engine import connect, gone_is_an_error
from agentmem.sandbox.locks import locked

Say = Callable[[str], None]

SUITES = {"3.9": "bullseye", "3.11": "bookworm", "3.13": "trixie"}  # Debian releases by their Python
KIND = "agentmem.kind"
KEPT = 20  # images of single commits, each a thin layer over its environment
FIRST_WORD = 8.0  # seconds a registry has to begin to answer
SILENCE = 120.0  # seconds a pull may stall
_PACKAGES = (
    "ca-certificates,git,gcc,g++,libc6-dev,make,patch,procps,"
    "python3,python3-dev,python3-venv,python3-pip,python-is-python3"
)
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
THREE_WAYS = (
    "Do one of these: name an image that is on this machine (--image), let the engine reach a registry, "
    "or run once as root with debootstrap installed (apt-get install debootstrap)."
)


def find_base(
    named: str | None, python: str | None, *, offline: bool = False, say: Say = lambda _: None
) -> str:
    """The id of the image to build on. Raises SandboxError."""
    if named:
        return present(named) or _must_pull(named, offline, say)
    version = python if python in SUITES else "3.11"
    tag, public = base_tag(version), f"python:{version}-bookworm"
    if image := present(tag) or present(public):
        return image
    with locked(tag.replace("/", "-").replace(":", "-")):
        if image := present(tag):  # made while we waited
            return image
        if not offline and pull(public, say) and (image := present(public)):
            return image
        return bootstrap(version, say)


def base_tag(python: str) -> str:
    return f"agentmem/base:{SUITES[python]}"


def prune_prepared(keep: int = KEPT) -> None:
    """Remove the images of single commits but for the `keep` newest; those in use stay."""
    from docker.errors import APIError

    with gone_is_an_error("the images could not be listed"):
        found = connect().images(filters={"label": f"{KIND}=prepared"})
    for item in sorted(found, key=lambda item: int(item["Created"]), reverse=True)[keep:]:
        with contextlib.suppress(APIError):
            connect().remove_image(item["Id"])


def present(name: str) -> str | None:
    """The image's id, None when the engine does not have it."""
    from docker.errors import ImageNotFound

    with gone_is_an_error("the engine does not answer"):
        try:
            api: Any = connect()
            return str(api.inspect_image(name)["Id"])
        except ImageNotFound:
            return None


def _must_pull(name: str, offline: bool, say: Say) -> str:
    if not offline and pull(name, say) and (image := present(name)):
        return image
    raise SandboxError(
        f"the image {name} is not here and cannot be pulled",
        "Check its name, or pull or build it yourself: docker pull, docker build.",
    )


def pull(name: str, say: Say) -> bool:
    """Whether the image came; gives up when no registry begins to answer within seconds."""
    from docker.errors import APIError

    repository, _, tag = name.rpartition(":")
    if "/" in tag or not repository:
        repository, tag = name, "latest"
    events: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def work() -> None:
        try:
            for event in connect().pull(repository, tag=tag, stream=True, decode=True):
                events.put(event)
        except (APIError, OSError, ValueError) as error:
            events.put({"error": str(error)})
        events.put(None)

    say(f"pulling {name}")
    threading.Thread(target=work, daemon=True).start()
    patience = FIRST_WORD
    while True:
        try:
            event = events.get(timeout=patience)
        except queue.Empty:
            say(f"{name}: no registry answers")
            return False
        if event is None:
            return True
        if "error" in event:
            say(f"{name} cannot be pulled")
            return False
        patience = SILENCE


def bootstrap(python: str, say: Say = lambda _: None) -> str:
    """Make the base image of a Python version from Debian packages; about a minute. Raises SandboxError."""
    suite = SUITES[python]
    tool = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if os.geteuid() != 0 or tool is None:
        raise SandboxError("there is no base image, and it cannot be pulled or made here", THREE_WAYS)
    say(f"making the base image from Debian {suite} packages: about a minute")
    with tempfile.TemporaryDirectory(prefix="agentmem-base-") as scratch:
        root = Path(scratch) / "root"
        _debootstrap(tool, suite, root, say)
        if Path(_CERTIFICATES).is_file():
            # What this machine trusts, so that pip works behind the same proxy as here.
            target = root / _CERTIFICATES.lstrip("/")
            target.unlink(missing_ok=True)
            shutil.copyfile(_CERTIFICATES, target)
        for package in (root / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        return _import(root, python, say)


def _debootstrap(tool: str, suite: str, root: Path, say: Say) -> None:
    # A clean environment, but for how the network is reached.
    keep = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    env = {key: os.environ[key] for key in keep if key in os.environ}
    env |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    command = [tool, "--variant=minbase", f"--include={_PACKAGES}", suite, str(root)]
    last: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = [*last[-8:], line.rstrip()]
            if line.startswith(("I: Retrieving", "I: Configuring")) and "base-files" in line:
                say(line.strip())
    if process.returncode:
        raise SandboxError("debootstrap failed: " + " | ".join(last), THREE_WAYS)


def _import(root: Path, python: str, say: Say) -> str:
    tag = base_tag(python)
    repository, _, name = tag.partition(":")
    changes = [
        f"ENV PIP_CERT={_CERTIFICATES} PIP_DEFAULT_TIMEOUT=60 PIP_RETRIES=8",
        f"LABEL {KIND}=base",
    ]

    def chunks(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        assert process.stdout is not None
        while chunk := process.stdout.read(1 << 20):
            yield chunk

    with (
        gone_is_an_error("the base image could not be imported"),
        subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar,
    ):
        connect().import_image_from_stream(chunks(tar), repository=repository, tag=name, changes=changes)
    image = present(tag)
    if image is None:
        raise SandboxError("the base image could not be imported", "Look at the engine's log.")
    say(f"made {tag}")
    return image
