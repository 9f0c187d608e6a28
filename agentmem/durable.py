"""Writing files that belong to the user alone, as a whole or not at all, with errors a user can act on."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from agentmem.errors import AgentmemError, ConfigError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def make_private(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


def open_private(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | flags, 0o600)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def replace_file(path: Path, data: bytes) -> None:
    """Write a file as a whole, durably: a reader or a crash sees the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        descriptor = open_private(temporary, os.O_TRUNC)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unusable(path, error) from None


def unusable(path: Path, error: OSError) -> AgentmemError:
    what = f"cannot use {error.filename or path}: {error.strerror or error}"
    if error.errno in _FULL:
        return AgentmemError(what, "Free some space (`agentmem clean`, `agentmem runs rm`), then --resume.")
    return ConfigError(what, "Make it usable for this user, or set AGENTMEM_HOME to another directory.")
