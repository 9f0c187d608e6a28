"""Reading and writing single files of a container, by its unprivileged user and with sh and tar only."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterable

from agentmem.changes import FileState
from agentmem.sandbox.container import Container
from agentmem.sandbox.engine import ROOT
from agentmem.sandbox.limits import human
from agentmem.sandbox.tarball import pack, reader

# Never a fifo or a device: opening one could hang. Links are followed, inside the container and as its user.
_READ = (
    '[ -d "$1" ] && exit 41; [ -f "$1" ] || { [ -e "$1" ] && exit 42; exit 40; }; [ -r "$1" ] || exit 43; '
    'exec tar -chf - -C / "./$1" 2>/dev/null'
)
# In place where the file exists, so that its mode stays; else tar makes the folders too.
_WRITE = (
    '[ -d "$1" ] && exit 41; if [ -e "$1" ] && [ ! -f "$1" ]; then exit 42; fi; '
    'if [ -f "$1" ]; then exec tar -xOf - > "$1"; fi; exec tar -xof - -C /'
)


def absolute(path: str) -> str:
    """A path of a tool call as an absolute one."""
    if not path or "\0" in path:
        raise ValueError("not a path")
    return posixpath.normpath(posixpath.join(ROOT, path))


def read(box: Container, path: str) -> bytes:
    """See `Sandbox.read`."""
    run = box.exec(["sh", "-c", _READ, "sh", absolute(path)], workdir="/")
    try:
        data = _first(run.chunks(60), path, box.limits.read)
        if data is not None:
            return data
        code = run.wait(10)
    finally:
        run.close()
    if code == 41:
        raise IsADirectoryError(path)
    if code == 42:
        raise ValueError(f"{path} is not a regular file")
    if code == 43:
        raise PermissionError(f"{path} may not be read")
    box.check_alive()
    raise FileNotFoundError(path)


def _first(stream: Iterable[bytes], path: str, limit: int) -> bytes | None:
    try:
        with reader(stream) as tar:
            member = tar.next()
            if member is None:
                return None
            if member.size > limit:
                raise ValueError(f"{path} is too large: {human(member.size)} of at most {human(limit)}")
            source = tar.extractfile(member)
            return source.read() if source else None
    except tarfile.ReadError:
        return None


def write(box: Container, path: str, data: bytes) -> None:
    """See `Sandbox.write`."""
    target = absolute(path)
    tar = pack({target.lstrip("/"): FileState(data)})
    run = box.exec(["sh", "-c", _WRITE, "sh", target], stdin=True, workdir="/")
    said = io.BytesIO()
    try:
        run.send(tar[i : i + (1 << 16)] for i in range(0, len(tar), 1 << 16))
        for chunk in run.chunks(60):
            said.write(chunk[:4096])
        code = run.wait(10)
    finally:
        run.close()
    if code == 0:
        return
    if code == 41:
        raise IsADirectoryError(path)
    if code == 42:
        raise ValueError(f"{path} is not a regular file")
    box.check_alive()
    raise PermissionError(f"{path} could not be written: {said.getvalue().decode('utf-8', 'replace')[-300:]}")
