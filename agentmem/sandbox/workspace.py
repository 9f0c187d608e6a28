"""What changed in a container's workspace: the engine says where, a tar parsed in memory says what."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from agentmem.changes import Changes, FileState
from agentmem.errors import SandboxError
from agentmem.sandbox.container import Container
from agentmem.sandbox.engine import ROOT
from agentmem.sandbox.tarball import Caps, Entry, names, pack, unpack

MANIFEST = "/.agentmem/manifest"  # root's: the sandbox cannot change what it is measured against
_DELETED = 2
_BATCH_BYTES = 64 * 1024  # of names in one command line
_LOSSY = "\N{REPLACEMENT CHARACTER}"

_TAR = ["sh", "-c", 'exec tar -cf - --no-recursion -- "$@" 2>/dev/null', "sh"]
_TAR_TREE = ["sh", "-c", 'exec tar -cf - -- "$@" 2>/dev/null', "sh"]
_READABLE = ["chmod", "-f", "u+rX", "--"]
# A script on standard input calls `gone NAME` for each path; folders left empty go too, as git has it.
_REMOVE = (
    'gone() { rm -rf -- "$1"; d=$1; while :; do case $d in ./*/*) d=${d%/*};; *) break;; esac; '
    'rmdir -- "$d" 2>/dev/null || break; done; }\n'
)
_BYTES = ("utf-8", "surrogateescape")


def changes(box: Container, base: Collection[str]) -> Changes:
    """`base` holds the paths of everything but directories in the prepared workspace. Raises SandboxError."""
    listed = dict(_below_root(box.diff()))
    entries = _contents(box, sorted(p for p, kind in listed.items() if kind != _DELETED))
    files = {path: entry.state for path, entry in entries.items() if entry.state is not None}
    # A directory that was deleted and made again is listed as deleted; what it holds now is listed, too.
    gone = [path for path, kind in listed.items() if kind == _DELETED]
    replaced = [path for path, entry in entries.items() if path in base and entry.state is None]
    no_folder = [path for path in files if path not in base]
    deleted = _expand(gone, base, files) | set(replaced) | _below(no_folder, base)
    return Changes(files, tuple(sorted(deleted)))


def _below_root(diff: Sequence[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    for item in diff:
        path = str(item["Path"])
        if path.startswith(ROOT + "/"):
            relative = path[len(ROOT) + 1 :]
            if relative.split("/", 1)[0] != ".git":
                yield relative, int(item["Kind"])


def _expand(gone: Sequence[str], base: Collection[str], files: Collection[str]) -> set[str]:
    """Deleted paths, with a directory as the files it held."""
    plain = {path for path in gone if _LOSSY not in path}
    found = (plain & set(base)) | _below(plain, base)
    if len(plain) < len(gone):  # the engine's spelling of a name that is not UTF-8
        lossy = {_lossy(path) for path in gone if _LOSSY in path}
        same = {path for path in base if _lossy(path) in lossy}
        under = {path for path in base if any(_lossy(path).startswith(name + "/") for name in lossy)}
        found |= same | under
    # A directory without files in the base: nothing for a patch, but a fork must lose it too.
    found |= {
        path for path in plain if not any(name == path or name.startswith(path + "/") for name in found)
    }
    return found - set(files)


def _below(folders: Collection[str], base: Collection[str]) -> set[str]:
    folders = set(folders)
    if not folders:
        return set()
    return {path for path in base if any(parent in folders for parent in _parents(path))}


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rsplit("/", 1)[0]
        yield path


def _lossy(path: str) -> str:
    """A name as the engine's JSON spells it: runs of bytes that are not UTF-8 become one U+FFFD."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return re.sub(f"{_LOSSY}+", _LOSSY, text)


def _contents(box: Container, paths: Sequence[str]) -> dict[str, Entry]:
    """The given paths as they are now."""
    clean = [path for path in paths if _LOSSY not in path]
    entries = _fetch(box, clean)
    hidden = [path for path in clean if path not in entries]
    if hidden:  # made unreadable for their own user, or gone since the engine looked
        for batch in _batches(hidden):
            run = box.exec([*_READABLE, *batch])
            list(run.chunks(60))
            run.close()
        entries |= _fetch(box, hidden)
    wanted = {_lossy(path) for path in paths if _LOSSY in path}
    if wanted:
        # The engine cannot spell these names, so their nearest nameable folder is read as a whole.
        folders = sorted({_nameable(path) for path in wanted})
        found = _fetch(box, folders, recurse=True)
        entries |= {path: entry for path, entry in found.items() if _lossy(path) in wanted}
    return entries


def _nameable(path: str) -> str:
    while _LOSSY in path:
        path = path.rsplit("/", 1)[0] if "/" in path else "."
    return path


def _fetch(box: Container, paths: Sequence[str], *, recurse: bool = False) -> dict[str, Entry]:
    limits = box.limits
    files, total = limits.changed_files, limits.changed_bytes
    if len(paths) > files:
        raise SandboxError(
            f"more than {files} paths were changed in the sandbox",
            "Have the command write its products below /tmp, not in the workspace.",
        )
    entries: dict[str, Entry] = {}
    for batch in _batches(paths):
        run = box.exec([*(_TAR_TREE if recurse else _TAR), *batch])
        try:
            for entry in unpack(run.chunks(60), Caps(files, total, limits.changed_file)):
                if entry.path.split("/", 1)[0] != ".git":
                    entries[entry.path] = entry
                    files -= 1
                    total -= len(entry.state.data) if entry.state else 0
        finally:
            run.close()
    return entries


def _batches(paths: Sequence[str]) -> Iterator[list[str]]:
    """Command lines of names that cannot be taken for options."""
    batch: list[str] = []
    size = 0
    for path in paths:
        batch.append(f"./{path}")
        size += len(path) * 4
        if size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def restore(box: Container, wanted: Changes) -> None:
    """See `Workspace.restore`."""
    for path in [*wanted.files, *wanted.deleted]:
        parts = path.split("/")
        if not path or parts[0] in ("", ".git") or ".." in parts:
            raise ValueError(f"not a path of the workspace: {path!r}")
    remove(box, wanted.deleted)
    if wanted.files:
        feed(box, ["tar", "-xof", "-"], [pack(wanted.files)])


def remove(box: Container, paths: Sequence[str]) -> None:
    """Delete paths of the workspace, and the folders left empty."""
    if paths:
        script = _REMOVE + "".join(f"gone {shlex.quote(f'./{path}')}\n" for path in paths)
        feed(box, ["sh", "-s"], [script.encode(*_BYTES)])


def feed(box: Container, argv: Sequence[str], data: Iterable[bytes]) -> None:
    """Run a command in the workspace with this input. Raises SandboxError when it fails."""
    run = box.exec(argv, stdin=True)
    try:
        run.send(data)
        said = b"".join(run.chunks(300))
        code = run.wait(10)
    finally:
        run.close()
    if code:
        box.check_alive()
        text = said.decode("utf-8", "replace")[-500:]
        raise SandboxError(f"files could not be put into the sandbox: {text}", "Start a fresh run.")


def remember(box: Container) -> None:
    """Note what the prepared workspace holds, in a folder of root's, to tell later what was deleted."""
    listing = "\0".join(sorted(tree(box))).encode(*_BYTES)
    box.place("/", pack({MANIFEST.lstrip("/"): FileState(listing)}))


def manifest(box: Container) -> frozenset[str]:
    """What `remember` noted."""
    for entry in unpack(box.fetch(MANIFEST), Caps(1, 1 << 30, 1 << 30)):
        if entry.state:
            return frozenset(entry.state.data.decode(*_BYTES).split("\0")) - {""}
    return frozenset()


def tree(box: Container) -> frozenset[str]:
    """Everything but directories in the workspace, as paths; for a container that nobody else uses."""
    run = box.exec(["tar", "-cf", "-", "--exclude=./.git", "."])
    try:
        return frozenset(names(run.chunks(300)))
    finally:
        run.close()
