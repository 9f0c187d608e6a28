"""Ranked places of a repository, as a prompt shows them: a list, and the source of the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Protocol

from agentmem.text import printable

EXCERPT_LINES = 120  # a longer definition is cut; the model can view the rest


class Place(Protocol):
    """A ranked symbol or file; lines count from 1, `end` included."""

    @property
    def path(self) -> str: ...
    @property
    def symbol(self) -> str | None: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


def describe(places: Sequence[Place]) -> str:
    """One line a place, best first."""
    return "\n".join(_line(place) for place in places)


def excerpt(read: Callable[[str], bytes | None], places: Sequence[Place], limit: int) -> str:
    """The source of the best places, whole ones only, until `limit` characters are used up.

    Without line numbers: models copy them into edits.
    """
    blocks: list[str] = []
    shown: list[tuple[str, int, int]] = []
    left = limit
    for place in places:
        span = (place.path, place.start, min(place.end, place.start + EXCERPT_LINES - 1))
        if any(_covers(other, span) for other in shown):
            continue
        lines = (read(place.path) or b"").decode("utf-8", "replace").splitlines()
        body = "\n".join(lines[span[1] - 1 : span[2]])
        block = f"{_line(place)}\n{printable(body)}"
        if body and len(block) <= left:
            blocks.append(block)
            shown.append(span)
            left -= len(block)
    return "\n\n".join(blocks)


def suggest_import(places: Sequence[Place]) -> str:
    """A line that imports the best-ranked Python symbol; empty where there is none to import."""
    for place in places:
        path = PurePosixPath(place.path)
        parts = [part for part in path.with_suffix("").parts if part != "src"]
        if path.suffix == ".py" and place.symbol and all(part.isidentifier() for part in parts):
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            return f"from {module} import {place.symbol.split('.')[0]}" if module else ""
    return ""


def _line(place: Place) -> str:
    name = f" {place.symbol}" if place.symbol else ""
    return printable(f"{place.path}:{place.start}-{place.end}{name}")


def _covers(outer: tuple[str, int, int], inner: tuple[str, int, int]) -> bool:
    return outer[0] == inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2]
