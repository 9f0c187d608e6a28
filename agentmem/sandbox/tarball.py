"""Tar streams made and read in memory: nothing of a sandbox ever touches the host's disk on its way."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentmem.changes import FileState
from agentmem.errors import SandboxError
from agentmem.sandbox.limits import human

LINK = "120000"
EXECUTABLE = "100755"


class Chunks:
    """A readable file over an iterable of bytes, for tarfile's streaming mode."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    break
            part, self._rest = self._rest[:size], self._rest[size:]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def reader(chunks: Iterable[bytes]) -> tarfile.TarFile:
    """A tar read while it comes; raises tarfile.ReadError. Names that are not UTF-8 carry surrogates."""
    source: Any = Chunks(chunks)
    return tarfile.open(fileobj=source, mode="r|", encoding="utf-8", errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class Caps:
    """Ceilings on what is taken out of a sandbox: number of files, bytes in all, bytes of one file."""

    files: int
    total: int
    single: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: `state` for a regular file or a link, None for a directory or a special file."""

    path: str
    is_dir: bool
    state: FileState | None


def pack(files: Mapping[str, FileState], *, uid: int = 0) -> bytes:
    """A tar of the given files, owned by `uid`, with fixed times."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for path, state in files.items():
            member = tarfile.TarInfo(path)
            member.uid = member.gid = uid
            if state.mode == LINK:
                member.type = tarfile.SYMTYPE
                member.linkname = state.data.decode("utf-8", "surrogateescape")
                tar.addfile(member)
            else:
                member.mode = 0o755 if state.mode == EXECUTABLE else 0o644
                member.size = len(state.data)
                tar.addfile(member, io.BytesIO(state.data))
    return raw.getvalue()


def unpack(chunks: Iterable[bytes], caps: Caps) -> Iterator[Entry]:
    """The members of a tar stream, without a leading "./". Raises SandboxError over a cap.

    Names that are not UTF-8 carry surrogates (`os.fsencode` gives the bytes back).
    """
    files = total = 0
    seen: dict[str, FileState] = {}
    try:
        with reader(chunks) as tar:
            for member in tar:
                files += 1
                total += member.size
                _check(member, files, total, caps)
                path = _clean(member.name)
                state = _state(tar, member, seen)
                if state:
                    seen[path] = state
                yield Entry(path, member.isdir(), state)
    except tarfile.ReadError as error:
        # An empty stream is what some tars send when they found none of the names.
        if files or "empty file" not in str(error):
            raise SandboxError(f"the sandbox sent a broken archive: {error}", "Run it again.") from error


def names(chunks: Iterable[bytes]) -> Iterator[str]:
    """The paths of a tar stream that are not directories, spelt as `unpack` does."""
    with reader(chunks) as tar:
        for member in tar:
            if not member.isdir():
                yield _clean(member.name)


def _clean(name: str) -> str:
    while name.startswith("./"):
        name = name[2:]
    return name.rstrip("/") or "."


def _state(tar: tarfile.TarFile, member: tarfile.TarInfo, seen: Mapping[str, FileState]) -> FileState | None:
    if member.issym():
        return FileState(member.linkname.encode("utf-8", "surrogateescape"), LINK)
    if member.islnk():  # a second name of a file that came before
        return seen.get(_clean(member.linkname))
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        return None
    return FileState(source.read(), EXECUTABLE if member.mode & 0o100 else "100644")


def _check(member: tarfile.TarInfo, files: int, total: int, caps: Caps) -> None:
    if member.isreg() and member.size > caps.single:
        what = f"{member.name} has {human(member.size)}; at most {human(caps.single)} may be taken out"
    elif files > caps.files:
        what = f"more than {caps.files} files were changed in the sandbox"
    elif total > caps.total:
        what = f"more than {human(caps.total)} were changed in the sandbox"
    else:
        return
    raise SandboxError(what, "Have the command write its products below /tmp, not in the workspace.")
