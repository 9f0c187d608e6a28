"""The Docker engine, and one command in a container as a pair of streams."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from agentmem.errors import SandboxError

if TYPE_CHECKING:
    from docker import APIClient

UID = 10001
USER = f"{UID}:{UID}"
HOME = "/home/agentmem"
ROOT = "/workspace"
VENV = "/opt/venv"
# What the harness itself calls is looked up here only, never in a folder the sandbox may write.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@cache
def connect() -> APIClient:
    """The engine named by DOCKER_HOST, else the local one. Raises SandboxError when none answers."""
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        raise SandboxError(
            "the docker package is missing", "Install it: pip install docker, or use --sandbox local."
        ) from error
    try:
        api = docker.from_env(timeout=120).api
        api.ping()
    except DockerException as error:
        raise SandboxError(
            f"no Docker engine answers ({_short(error)})",
            "Start Docker and make sure this user may use it (docker info), or use --sandbox local.",
        ) from error
    return api


def _short(error: Exception) -> str:
    text = str(getattr(error, "explanation", None) or error)
    return " ".join(text.split())[:300]


@contextlib.contextmanager
def gone_is_an_error(what: str) -> Iterator[None]:
    """Turns what the engine or the wire may raise into a SandboxError."""
    import requests
    from docker.errors import DockerException

    try:
        yield
    except (DockerException, requests.RequestException, OSError) as error:
        raise SandboxError(
            f"{what}: {_short(error)}",
            "Look at docker ps and at the engine's log; `agentmem doctor` checks the engine.",
        ) from error


class Exec:
    """A command started in a container: its output as chunks, its input when asked for, its exit code."""

    def __init__(
        self,
        container: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str = USER,
        workdir: str = ROOT,
        stdin: bool = False,
    ) -> None:
        self._api = connect()
        self.id = str(
            self._api.exec_create(
                container, list(argv), user=user, workdir=workdir, environment=dict(env or {}), stdin=stdin
            )["Id"]
        )
        wire: Any = self._api.exec_start(self.id, socket=True)
        self._wire = wire
        self._socket: Any = getattr(wire, "_sock", wire)
        self._buffer = bytearray(self._read_ahead(wire))
        self._left = 0  # bytes of the current frame still to come

    def _read_ahead(self, wire: Any) -> bytes:
        """The HTTP client may have read output together with the headers; the bare socket has lost that."""
        buffered: Any = getattr(getattr(wire, "_response", None), "raw", None)
        buffered = getattr(getattr(buffered, "_fp", None), "fp", None)
        if not hasattr(buffered, "peek"):
            return b""
        self._socket.setblocking(False)
        try:
            return bytes(buffered.peek())
        except (BlockingIOError, OSError):
            return b""
        finally:
            self._socket.setblocking(True)

    def read(self, timeout: float) -> bytes | None:
        """The next output: b"" at its end, None when none came within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            chunk = self._frame()
            if chunk:
                return chunk
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                received = self._socket.recv(1 << 16)
            except TimeoutError:
                return None
            except OSError:
                return b""
            if not received:
                return b""
            self._buffer += received
            if time.monotonic() > deadline and len(self._buffer) < 8:
                return None

    def _frame(self) -> bytes:
        """What is there of the current frame (8 bytes: stream, 3 x 0, length; then the data)."""
        while not self._left:
            if len(self._buffer) < 8:
                return b""
            (self._left,) = struct.unpack(">L", self._buffer[4:8])
            del self._buffer[:8]
        chunk = bytes(self._buffer[: self._left])
        del self._buffer[: len(chunk)]
        self._left -= len(chunk)
        return chunk

    def send(self, chunks: Iterable[bytes], timeout: float = 300.0) -> None:
        """Feed the command's input and end it."""
        self._socket.settimeout(timeout)
        # A command that ends early breaks the pipe; its exit code tells more than that.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for chunk in chunks:
                self._socket.sendall(chunk)
            self._socket.shutdown(socket.SHUT_WR)

    def chunks(self, timeout: float) -> Iterator[bytes]:
        """All output. Raises SandboxError when the command is silent for `timeout` seconds."""
        while chunk := self.read(timeout):
            yield chunk
        if chunk is None:
            raise SandboxError(f"the sandbox did not answer for {timeout:.0f} s", "Run it again.")

    def exit_code(self) -> int | None:
        """None while it runs."""
        from docker.errors import NotFound

        with gone_is_an_error("the sandbox is gone"):
            try:
                state = self._api.exec_inspect(self.id)
            except NotFound:  # a restart of the container ended it, and the engine forgot it
                return 137
        code = state.get("ExitCode")
        return None if state.get("Running") or code is None else int(code)

    def wait(self, timeout: float) -> int:
        """The exit code. Raises SandboxError when there is none in time."""
        deadline = time.monotonic() + timeout
        pause = 0.005
        while (code := self.exit_code()) is None:
            if time.monotonic() > deadline:
                raise SandboxError("the sandbox did not finish a command of the harness", "Run it again.")
            time.sleep(pause)
            pause = min(0.1, pause * 2)
        return code

    def close(self) -> None:
        # Shut down, not only closed: the HTTP response holds the socket too, and an engine that still has
        # output to deliver holds up every later event of the container.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._wire.close()
