"""How one state of a workspace differs from another: plain data that sandbox and git side exchange."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FileState:
    """One file of a workspace: `data` is its content, or the target of a link. `mode` is a git file mode."""

    data: bytes
    mode: str = "100644"  # 100644, 100755 (executable) or 120000 (symbolic link)


@dataclass(frozen=True, slots=True)
class Changes:
    """How a workspace differs from the prepared one; paths are relative to the root, with `/`.

    Never holds anything below `.git`. Files that were only touched may be listed with equal content.
    """

    files: Mapping[str, FileState] = field(default_factory=dict)
    deleted: Sequence[str] = ()


def pack(changes: Changes) -> bytes:
    """`changes` as bytes, for a checkpoint: a gzipped tar, the deleted paths in its global header."""
    buffer = io.BytesIO()
    header = {"agentmem.deleted": json.dumps(list(changes.deleted))}
    with tarfile.open(
        fileobj=buffer, mode="w:gz", compresslevel=1, format=tarfile.PAX_FORMAT, pax_headers=header
    ) as tar:
        for path, state in sorted(changes.files.items()):
            entry = tarfile.TarInfo(path)
            if state.mode == "120000":
                entry.type, entry.linkname = tarfile.SYMTYPE, os.fsdecode(state.data)
                tar.addfile(entry)
            else:
                entry.size, entry.mode = len(state.data), int(state.mode[-3:], 8)
                tar.addfile(entry, io.BytesIO(state.data))
    return buffer.getvalue()


def unpack(data: bytes) -> Changes:
    """The inverse of `pack`. Raises tarfile.TarError or ValueError for anything else."""
    files: dict[str, FileState] = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        deleted = json.loads(tar.pax_headers["agentmem.deleted"])
        for entry in tar:
            if entry.issym():
                files[entry.name] = FileState(os.fsencode(entry.linkname), "120000")
            else:
                content = tar.extractfile(entry)
                mode = "100755" if entry.mode & 0o100 else "100644"
                files[entry.name] = FileState(content.read() if content else b"", mode)
    return Changes(files, tuple(deleted))
