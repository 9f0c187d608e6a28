"""What an issue says outright about places: traceback frames, paths, quoted and dotted names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)(?:, in (\S+))?')
_SHORT_FRAME = re.compile(r"(?<![\w/\\.-])([\w./\\~-]+\.py):(\d+)(?::|\b)(?: in (\w+))?")
_INSTALLED = re.compile(r"^.*/(?:site|dist)-packages/")
_STANDARD = re.compile(r"/lib(?:64)?/python\d[\d.]*/|^<")
_PATH = re.compile(r"(?<![\w/\\.-])[\w.\\/~-]*[\w-]\.[A-Za-z]\w{0,4}\b")
_QUOTED = re.compile(r"``?([^`\n]{2,80})``?|'([\w.]{3,80})'|\"([\w.]{3,80})\"")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Frame:
    """A traceback frame mapped onto a repository path; `depth` 0 is the innermost frame."""

    path: str
    line: int
    function: str
    depth: int


@dataclass(frozen=True, slots=True)
class Clues:
    """`paths` are repository paths named in the text; `quoted` and `bare` are names that look like code."""

    frames: Sequence[Frame] = ()
    paths: Sequence[str] = ()
    quoted: Sequence[str] = ()
    bare: Sequence[str] = ()


def find_clues(text: str, paths: Iterable[str]) -> Clues:
    """The clues of an issue text, with paths mapped onto those of the repository."""
    by_base: dict[str, list[str]] = {}
    for path in paths:
        by_base.setdefault(path.rpartition("/")[2], []).append(path)
    named: dict[str, None] = {}
    for found in _PATH.findall(_SHORT_FRAME.sub(" ", _FRAME.sub(" ", text))):
        named |= dict.fromkeys(_matches(found, by_base, least=2 if "/" in found else 1))
    quoted: dict[str, None] = {}
    for groups in _QUOTED.findall(text):
        quoted |= dict.fromkeys(name for name in _NAME.findall("".join(groups)) if len(name) > 2)
    bare = dict.fromkeys(name for name in _NAME.findall(text) if _looks_like_code(name))
    return Clues(
        _frames(text, by_base), list(named), list(quoted), [name for name in bare if name not in quoted]
    )


def _frames(text: str, by_base: Mapping[str, Sequence[str]]) -> list[Frame]:
    found = [*_FRAME.finditer(text), *_SHORT_FRAME.finditer(text)]
    frames: list[Frame] = []
    for match in sorted(found, key=lambda match: match.start(), reverse=True):
        name, installed = _INSTALLED.subn("", match[1].replace("\\", "/"))
        if not installed and _STANDARD.search(name):
            continue
        # An installed file is ours only if all of its path agrees: others have an app.py, too.
        least = name.count("/") + 1 if installed else 2 if name.startswith(("/", "~")) else 1
        mapped = _matches(name, by_base, least=least)
        if mapped:
            frames.append(Frame(mapped[0], int(match[2]), match[3] or "", len(frames)))
    return frames


def _matches(name: str, by_base: Mapping[str, Sequence[str]], *, least: int) -> list[str]:
    """The repository paths that share the longest suffix of whole parts with `name`, if long enough.

    `least` parts must agree, or the whole repository path; a tie of more than three says nothing.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..", "~")]
    best = 0
    paths: list[str] = []
    for path in by_base.get(parts[-1], ()) if parts else ():
        own = path.split("/")
        common = 0
        while common < min(len(own), len(parts)) and own[-1 - common] == parts[-1 - common]:
            common += 1
        enough = common >= least or common == len(own) == 1
        if enough and common >= best:
            paths = [path] if common > best else [*paths, path]
            best = common
    return paths if len(paths) <= 3 else []


def _looks_like_code(name: str) -> bool:
    return "." in name or "_" in name.strip("_") or bool(re.search(r"[a-z][A-Z]|[A-Z]{2,}[a-z]", name))
