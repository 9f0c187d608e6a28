"""Where in the code is an issue about? Plain BM25 plus what the issue says outright; no model needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agentmem.code.clues import Clues, find_clues
from agentmem.code.index import CodeIndex, FileInfo
from agentmem.code.lexical import Lexical, file_words
from agentmem.code.python import Definition

_MAX_ISSUE = 20_000  # characters; logs beyond that only dilute the words of the report
_FILES = 30  # files whose definitions are ranked
_BY_KIND = {"source": 1.0, "test": 0.35, "data": 0.35, "prose": 0.2}
_FRAME, _PATH, _QUOTED, _BARE, _PRIOR = 1.0, 1.0, 0.7, 0.35, 0.5


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked place. A whole file has no symbol, kind `file` and all its lines; lines are 1-based."""

    path: str
    symbol: str | None
    kind: str
    start: int
    end: int
    score: float
    reasons: tuple[str, ...]


class _Score:
    def __init__(self) -> None:
        self.value = 0.0
        self.reasons: list[tuple[float, str]] = []

    def add(self, value: float, reason: str) -> None:
        if value > 0:
            self.value += value
            self.reasons.append((value, reason))

    def told(self) -> tuple[str, ...]:
        ordered = sorted(self.reasons, key=lambda pair: -pair[0])
        return tuple(dict.fromkeys(reason for _, reason in ordered))[:4]


def locate(
    index: CodeIndex,
    issue_text: str,
    *,
    limit: int = 20,
    prior: Mapping[str, float] | None = None,
    level: Literal["symbol", "file"] = "symbol",
) -> list[Hit]:
    """The places an issue is most likely about, best first.

    `prior` gives paths that similar repairs changed, with a weight of any scale. Level `symbol` ranks
    definitions, and whole files where they hold none; `file` ranks files only.
    """
    text = issue_text[:_MAX_ISSUE]
    clues = find_clues(text, index.files)
    files = _score_files(index, text, clues, prior or {})
    ranked = sorted(
        (path for path, score in files.items() if score.value > 0), key=lambda p: (-files[p].value, p)
    )
    if level == "file":
        return [_file_hit(index.files[path], files[path]) for path in ranked[:limit]]
    return _symbols(index, text, clues, {path: files[path] for path in ranked[:_FILES]}, limit)


def search(index: CodeIndex, query: str, limit: int = 10) -> list[Hit]:
    """Ranked definitions and files for a query of a few words, names or a path."""
    return locate(index, query, limit=limit)


def _score_files(index: CodeIndex, text: str, clues: Clues, prior: Mapping[str, float]) -> dict[str, _Score]:
    scores = {path: _Score() for path in index.files}
    named = {frame.path for frame in clues.frames} | set(clues.paths)
    for (path, file), lexical in zip(index.files.items(), index.lexical.scores(text), strict=True):
        weight = 1.0 if path in named else _BY_KIND[file.kind]
        scores[path].add(lexical * weight, f"words of the issue ({lexical:.2f})")
    for frame in clues.frames:
        reason = f"traceback frame at line {frame.line}"
        if not any(told == reason for _, told in scores[frame.path].reasons):
            scores[frame.path].add(_FRAME / (1 + frame.depth), reason)
    for path in clues.paths:
        scores[path].add(_PATH, "its path is named")
    _score_names(index, clues, scores)
    best = max(prior.values(), default=0.0)
    for path, value in prior.items():
        if path in scores and best > 0:
            scores[path].add(_PRIOR * value / best, "changed by similar repairs")
    return scores


def _score_names(index: CodeIndex, clues: Clues, scores: Mapping[str, _Score]) -> None:
    modules = {_module_tail(path): path for path in index.files if path.endswith(".py")}
    for names, weight, how in ((clues.quoted, _QUOTED, "quoted"), (clues.bare, _BARE, "named")):
        for name in names:
            places = _definitions(index, name)
            for path in {path for path, _ in places}:
                kind = _BY_KIND[index.files[path].kind]
                count = len({path for path, _ in places})
                scores[path].add(weight * kind / count, f"defines `{name}`, {how} in the issue")
            for module in (".".join(name.split(".")[-2:]), ".".join(name.split(".")[-3:-1])):
                if "." in module and module in modules:
                    scores[modules[module]].add(weight / 2, f"module of `{name}`, {how} in the issue")
                    break


def _module_tail(path: str) -> str:
    return ".".join(path.removesuffix(".py").removesuffix("/__init__").split("/")[-2:])


def _definitions(index: CodeIndex, name: str) -> Sequence[tuple[str, Definition]]:
    """The definitions a name may mean: for `A.b` those of `b` in `A`, if any. Too many say nothing."""
    places = index.by_name.get(name.rpartition(".")[2], ())
    if "." in name:
        owner = name.split(".")[-2]
        inner = [place for place in places if place[1].name.split(".")[-2:-1] == [owner]]
        module = [place for place in places if _module_tail(place[0]).split(".")[-1] == owner]
        places = inner or module or places
    return places if len(places) <= 12 else ()


def _symbols(index: CodeIndex, text: str, clues: Clues, files: Mapping[str, _Score], limit: int) -> list[Hit]:
    places = [
        (path, d)
        for path in files
        for d in index.files[path].definitions
        if not _nested(d, index.files[path])
    ]
    lines = {path: index.files[path].text.split("\n") for path in files}
    documents = [_words(path, d, lines[path]) for path, d in places]
    quoted = {id(d) for name in clues.quoted for _, d in _definitions(index, name)}
    bare = {id(d) for name in clues.bare for _, d in _definitions(index, name)}
    hits = []
    for (path, definition), lexical in zip(places, Lexical(documents).scores(text), strict=True):
        file, score = files[path], _Score()
        weight = 1.0 if file.value >= 1 else _BY_KIND[index.files[path].kind]
        # A class holds the words of all its methods, and so would always win over the one that matters.
        score.add(
            lexical * weight * (0.7 if definition.kind == "class" else 1),
            f"words of the issue ({lexical:.2f})",
        )
        for frame in clues.frames:
            if frame.path == path and definition.start <= frame.line <= definition.end:
                share = 0.5 if definition.kind == "class" else 1
                score.add(_FRAME * share / (1 + frame.depth), f"traceback frame at line {frame.line}")
            elif frame.path == path and frame.function and definition.name.split(".")[-1] == frame.function:
                score.add(_FRAME / (1 + frame.depth), f"traceback frame in {frame.function}")
        score.add(_QUOTED * (id(definition) in quoted), "its name is quoted in the issue")
        score.add(_BARE * (id(definition) in bare), "its name is in the issue")
        score.add(file.value / 2, "; ".join(file.told()[:2]))
        hits.append(
            Hit(
                path,
                definition.name,
                definition.kind,
                definition.start,
                definition.end,
                score.value,
                score.told(),
            )
        )
    whole = [path for path in files if not index.files[path].definitions]
    hits += [_file_hit(index.files[path], files[path]) for path in whole]
    return _spread(sorted(hits, key=lambda hit: (-hit.score, hit.path, hit.start)), limit)


def _words(path: str, definition: Definition, lines: Sequence[str]) -> list[str]:
    body = "\n".join(lines[definition.start - 1 : definition.end])
    return file_words(path, body, [definition.name])


def _nested(definition: Definition, file: FileInfo) -> bool:
    """Whether it lies inside a function: then that function stands for it."""
    owner = definition.name.rpartition(".")[0]
    return any(
        d.name == owner and d.kind != "class" and d.start <= definition.start <= d.end
        for d in file.definitions
    )


def _file_hit(file: FileInfo, score: _Score) -> Hit:
    lines = file.text.count("\n") + (not file.text.endswith("\n"))
    return Hit(file.path, None, "file", 1, max(lines, 1), score.value, score.told())


def _spread(hits: Sequence[Hit], limit: int) -> list[Hit]:
    """The first `limit` hits, with at most a quarter of them (three at least) from one file."""
    most = max(3, limit // 4)
    counts: dict[str, int] = {}
    kept = []
    for hit in hits:
        counts[hit.path] = counts.get(hit.path, 0) + 1
        if counts[hit.path] <= most:
            kept.append(hit)
    return kept[:limit]
