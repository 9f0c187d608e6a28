"""Reads git's unified diffs strictly: what this parser does not understand, git must not get to interpret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from agentmem.errors import PatchRefused

_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)$", re.DOTALL)
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_REFUSED_HEADERS = ("rename ", "copy ", "similarity ", "dissimilarity ")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a hunk: kind ` `, `+` or `-`, and its numbers in the old and the new file (1-based)."""

    kind: str
    old: int
    new: int
    text: str


@dataclass(slots=True)
class FileDiff:
    """One file of a diff. `modes` holds every file mode its headers name, `new_mode` the one it ends with."""

    path: str
    modes: list[str] = field(default_factory=list)
    new_mode: str = ""
    created: bool = False
    deleted: bool = False
    hunks: list[list[Line]] = field(default_factory=list)

    @property
    def lines(self) -> Iterator[Line]:
        return (line for hunk in self.hunks for line in hunk)

    @property
    def added(self) -> list[int]:
        return [line.new for line in self.lines if line.kind == "+"]

    @property
    def removed(self) -> list[int]:
        return [line.old for line in self.lines if line.kind == "-"]


def parse(text: str) -> list[FileDiff]:
    """The files of a diff as git writes it (`a/`, `b/` prefixes, no renames). Raises PatchRefused."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    reader = _Reader(lines)
    files = []
    while not reader.done:
        files.append(_file(reader))
    return files


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.at = 0

    @property
    def done(self) -> bool:
        return self.at >= len(self.lines)

    def peek(self) -> str:
        return "" if self.done else self.lines[self.at]

    def next(self) -> str:
        self.at += 1
        return self.lines[self.at - 1]

    def refuse(self, why: str) -> PatchRefused:
        shown = (self.lines[min(self.at, len(self.lines)) - 1] if self.at else "")[:120]
        return PatchRefused(
            f"line {self.at} of the patch {why}: {shown!r}", "it must be the output of git diff"
        )


def _file(reader: _Reader) -> FileDiff:
    path = _header_path(reader)
    file = FileDiff(path)
    while not reader.done and not reader.peek().startswith(("diff --git ", "--- ", "@@ ")):
        _extended_header(reader, file)
    if reader.peek().startswith("--- "):
        _names(reader, file)
        while reader.peek().startswith("@@ "):
            file.hunks.append(_hunk(reader))
        if not file.hunks:
            raise reader.refuse("names a file but changes nothing in it")
    if not (file.hunks or file.created or file.deleted or file.new_mode):
        raise reader.refuse("ends a file without any change")
    return file


def _header_path(reader: _Reader) -> str:
    line = reader.next()
    names = line.removeprefix("diff --git ")
    if names == line:
        raise reader.refuse("is no part of a git diff")
    if names.startswith('"'):
        old, end = unquote(names)
        new = unquote(names[end + 1 :])[0] if names[end : end + 2] == ' "' else names[end + 1 :]
    else:  # without renames both names are the same, so the line splits in its middle
        middle = len(names) // 2
        old, new = names[:middle], names[middle + 1 :]
        if names[middle : middle + 1] != " ":
            raise reader.refuse("names two different files")
    if old[:2] != "a/" or new[:2] != "b/" or old[2:] != new[2:] or not old[2:]:
        raise reader.refuse("names two different files, or lacks the a/ and b/ prefixes")
    return old[2:]


def _extended_header(reader: _Reader, file: FileDiff) -> None:
    line = reader.next()
    name, _, mode = line.rpartition(" ")
    if name in ("old mode", "deleted file mode"):
        file.modes.append(mode)
        file.deleted = file.deleted or name.startswith("deleted")
    elif name in ("new mode", "new file mode"):
        file.modes.append(mode)
        file.new_mode, file.created = mode, file.created or name == "new file mode"
    elif line.startswith("index "):
        found = re.fullmatch(r"index [0-9a-f]+\.\.[0-9a-f]+(?: (\d+))?", line)
        if not found:
            raise reader.refuse("is a broken header")
        if found[1]:
            file.modes.append(found[1])
    elif line.startswith(("GIT binary patch", "Binary files ")):
        raise PatchRefused(f"{file.path}: binary content is refused", "leave it out of the patch")
    elif line.startswith(_REFUSED_HEADERS):
        raise PatchRefused(f"{file.path}: renames and copies are refused", "make the diff with --no-renames")
    else:
        raise reader.refuse("is no part of a git diff")


def _names(reader: _Reader, file: FileDiff) -> None:
    old = _plain_name(reader.next().removeprefix("--- "))
    if not reader.peek().startswith("+++ "):
        raise reader.refuse("is not followed by +++")
    new = _plain_name(reader.next().removeprefix("+++ "))
    expected_old = "/dev/null" if file.created else f"a/{file.path}"
    expected_new = "/dev/null" if file.deleted else f"b/{file.path}"
    if (old, new) != (expected_old, expected_new):
        raise reader.refuse("names another file than the header above it")


def _plain_name(name: str) -> str:
    return unquote(name)[0] if name.startswith('"') else name.removesuffix("\t")


def _hunk(reader: _Reader) -> list[Line]:
    found = _HUNK.match(reader.next())
    if not found:
        raise reader.refuse("is a broken hunk header")
    old, new = int(found[1]), int(found[3])
    olds, news = int(found[2] or 1), int(found[4] or 1)
    lines: list[Line] = []
    while olds > 0 or news > 0:
        if reader.done:
            raise reader.refuse("ends in the middle of a hunk")
        text = reader.next()
        kind = text[:1] or " "
        if kind == "\\":
            continue
        if kind not in " +-":
            raise reader.refuse("does not belong into a hunk")
        lines.append(Line(kind, old, new, text[1:]))
        if kind != "+":
            old, olds = old + 1, olds - 1
        if kind != "-":
            new, news = new + 1, news - 1
    if olds or news:
        raise reader.refuse("has more lines than its hunk header says")
    if reader.peek().startswith("\\"):
        reader.next()
    return lines


def unquote(text: str) -> tuple[str, int]:
    """The C-quoted name that `text` starts with, and where it ends. Raises PatchRefused."""
    data = bytearray()
    at = 1
    while at < len(text) and text[at] != '"':
        if text[at] != "\\":
            data += text[at].encode("utf-8", "surrogateescape")
            at += 1
        elif octal := re.match(r"[0-3][0-7]{2}", text[at + 1 : at + 4]):
            data.append(int(octal[0], 8))
            at += 4
        elif text[at + 1 : at + 2] in _ESCAPES:
            data.append(_ESCAPES[text[at + 1]])
            at += 2
        else:
            break
    if text[at : at + 1] != '"':
        raise PatchRefused(f"a quoted name of the patch is broken: {text[:120]!r}")
    return data.decode("utf-8", "surrogateescape"), at + 1
