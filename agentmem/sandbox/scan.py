"""What changed in a folder of this machine that untrusted code could write; no link is ever followed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentmem.changes import Changes, FileState
from agentmem.errors import SandboxError
from agentmem.sandbox.limits import Limits, human
from agentmem.sandbox.tarball import EXECUTABLE, LINK

# path -> digest of mode and content
Manifest = Mapping[str, str]
_MEND = "Have the command write its products below /tmp, not in the workspace."


@dataclass(frozen=True, slots=True)
class _Found:
    """A file or link, while its folder is held open."""

    handle: int
    name: str
    facts: os.stat_result

    def chunks(self) -> Iterator[bytes]:
        if stat.S_ISLNK(self.facts.st_mode):
            yield os.fsencode(os.readlink(self.name, dir_fd=self.handle))
            return
        source = os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.handle)
        with os.fdopen(source, "rb") as file:
            left = self.facts.st_size
            while left > 0 and (chunk := file.read(min(left, 1 << 20))):
                left -= len(chunk)
                yield chunk

    @property
    def mode(self) -> str:
        if stat.S_ISLNK(self.facts.st_mode):
            return LINK
        return EXECUTABLE if self.facts.st_mode & 0o100 else "100644"

    def digest(self) -> str:
        digest = hashlib.sha256(self.mode.encode())
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


def manifest(root: Path) -> Manifest:
    """The files and links below, `.git` left out."""
    return {path: found.digest() for path, found in _walk(root)}


def difference(root: Path, base: Manifest, limits: Limits) -> Changes:
    """What differs from `base`. Raises SandboxError over a cap."""
    files: dict[str, FileState] = {}
    seen: set[str] = set()
    total = 0
    for path, found in _walk(root):
        seen.add(path)
        if base.get(path) == found.digest():
            continue
        size_here = found.facts.st_size
        total += size_here
        if size_here > limits.changed_file:
            what = f"{path} has {human(size_here)}; at most {human(limits.changed_file)} may be taken out"
            raise SandboxError(what, _MEND)
        if len(files) >= limits.changed_files:
            raise SandboxError(f"more than {limits.changed_files} files were changed in the sandbox", _MEND)
        if total > limits.changed_bytes:
            raise SandboxError(f"more than {human(limits.changed_bytes)} were changed in the sandbox", _MEND)
        files[path] = FileState(b"".join(found.chunks()), found.mode)
    return Changes(files, tuple(sorted(set(base) - seen)))


def _walk(root: Path) -> Iterator[tuple[str, _Found]]:
    # fwalk keeps directories open and looks names up in them, so nothing can be swapped under it.
    for folder, folders, names, handle in os.fwalk(root, follow_symlinks=False):
        relative = os.path.relpath(folder, root)
        if relative == ".":
            folders[:] = [name for name in folders if name != ".git"]
        for name in sorted([*names, *folders]):
            facts = os.lstat(name, dir_fd=handle)
            path = os.path.normpath(os.path.join(relative, name))  # noqa: PTH118 - names, not places
            if (stat.S_ISLNK(facts.st_mode) or stat.S_ISREG(facts.st_mode)) and path != ".git":
                yield path, _Found(handle, name, facts)


def size(root: Path) -> int:
    """Bytes of all files below."""
    total = 0
    for _, _, names, handle in os.fwalk(root, follow_symlinks=False):
        for name in names:
            try:
                total += os.lstat(name, dir_fd=handle).st_size
            except OSError:
                continue
    return total
