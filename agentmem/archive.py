"""A commit as a streamed tar: its files, and a small `.git` that knows its past and nothing of the host."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

OWNER = 10001
_BLOCK = 512
_CHUNK = 1 << 20

_CONFIG = """[core]
\trepositoryformatversion = {version}
\tfilemode = true
\tbare = false
\tlogallrefupdates = false
[gc]
\tauto = 0
[user]
\tname = agentmem
\temail = agentmem@localhost
"""
_SHA256 = "[extensions]\n\tobjectformat = sha256\n"
# The files are the blobs, byte for byte: no line-end, filter or encoding attribute may call them modified.
_ATTRIBUTES = "* -text !eol -ident -filter !working-tree-encoding\n"


def tar_of(
    modes: Mapping[str, str], contents: Iterable[tuple[str, bytes]], store: Path, index: Path, mtime: int
) -> Iterator[bytes]:
    """Chunks of a tar of the files of `modes` (path to git mode) and of a `.git` made from the bare `store`.

    `contents` gives the data of all but submodules in the order of `modes`. Memory: one file at a time.
    """
    seen: set[str] = set()
    for path in modes:
        yield from _folders(path, seen, mtime)
        if modes[path] == "160000":
            yield _header(path, mtime, tarfile.DIRTYPE)
            seen.add(path)
    for path, data in contents:
        if modes[path] == "120000":
            yield _header(path, mtime, tarfile.SYMTYPE, link=data.decode("utf-8", "surrogateescape"))
        else:
            yield from _file(path, data, mtime, 0o755 if modes[path] == "100755" else 0o644)
    yield from _git_folder(store, index, mtime, seen)
    yield bytes(2 * _BLOCK)


def _git_folder(store: Path, index: Path, mtime: int, seen: set[str]) -> Iterator[bytes]:
    sha256 = "objectformat = sha256" in (store / "config").read_text().lower()
    config = _CONFIG.format(version=int(sha256)) + (_SHA256 if sha256 else "")
    small = {
        "HEAD": b"ref: refs/heads/main\n",
        "config": config.encode(),
        "info/attributes": _ATTRIBUTES.encode(),
        "index": index.read_bytes(),
        "refs/heads/main": (store / "refs/heads/main").read_bytes(),
    }
    if (store / "shallow").is_file():
        small["shallow"] = (store / "shallow").read_bytes()
    for name in ("refs/tags/x", "objects/info/x"):  # git calls a folder without these no repository
        yield from _folders(f".git/{name}", seen, mtime)
    for name, data in small.items():
        yield from _folders(f".git/{name}", seen, mtime)
        yield from _file(f".git/{name}", data, mtime, 0o644)
    for pack in sorted((store / "objects/pack").glob("pack-*")):
        yield from _folders(f".git/objects/pack/{pack.name}", seen, mtime)
        yield from _stream(f".git/objects/pack/{pack.name}", pack, mtime)


def _folders(path: str, seen: set[str], mtime: int) -> Iterator[bytes]:
    for folder in [str(parent) for parent in reversed(PurePosixPath(path).parents)][1:]:
        if folder not in seen:
            seen.add(folder)
            yield _header(folder, mtime, tarfile.DIRTYPE)


def _file(path: str, data: bytes, mtime: int, mode: int) -> Iterator[bytes]:
    yield _header(path, mtime, tarfile.REGTYPE, size=len(data), mode=mode)
    yield data + bytes(-len(data) % _BLOCK)


def _stream(path: str, file: Path, mtime: int) -> Iterator[bytes]:
    size = file.stat().st_size
    yield _header(path, mtime, tarfile.REGTYPE, size=size, mode=0o444)
    with file.open("rb") as data:
        while chunk := data.read(_CHUNK):
            yield chunk
    yield bytes(-size % _BLOCK)


def _header(path: str, mtime: int, kind: bytes, *, size: int = 0, mode: int = 0o755, link: str = "") -> bytes:
    info = tarfile.TarInfo(path)
    info.type, info.size, info.mode, info.linkname = kind, size, mode, link
    info.uid = info.gid = OWNER
    info.mtime = max(mtime, 0)
    # GNU rather than pax: names that are not UTF-8 stay bytes, and every small tar reads it.
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
