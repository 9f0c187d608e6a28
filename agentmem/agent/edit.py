"""The `edit` tool's matching: exact and unique, else an error that shows the nearest text."""

from __future__ import annotations

import difflib
import re

_NUMBER = re.compile(r"^ *\d+(?: |$)", re.MULTILINE)


class EditError(Exception):
    """Why an edit was not made, in words for the model."""


def replace_once(text: str, old: str, new: str) -> str:
    """`text` with its one occurrence of `old` replaced. Raises EditError when there is none, or more.

    Line numbers copied from what `view` shows are taken off first.
    """
    if old not in text and all(_NUMBER.match(line) for line in old.splitlines()):
        old, new = _NUMBER.sub("", old), _NUMBER.sub("", new)
    found = text.count(old)
    if found == 1:
        return text.replace(old, new, 1)
    if found > 1:
        lines = [str(text.count("\n", 0, at) + 1) for at in _starts(text, old)]
        raise EditError(
            f"`old` occurs {found} times (lines {', '.join(lines[:10])}): "
            "add the lines around it until it is unique"
        )
    crlf = text.replace("\r\n", "\n")
    if crlf != text and crlf.count(old) == 1:  # the model cannot see carriage returns
        return crlf.replace(old, new, 1).replace("\n", "\r\n")
    raise EditError(f"`old` does not occur in the file exactly as given.{_nearest(text, old)}")


def _starts(text: str, old: str) -> list[int]:
    starts, at = [], text.find(old)
    while at >= 0:
        starts.append(at)
        at = text.find(old, at + len(old))
    return starts


def _nearest(text: str, old: str) -> str:
    """The lines of `text` that are most like `old`, verbatim, with their line numbers named."""
    lines, wanted = text.splitlines(), old.strip("\n").splitlines()
    if not lines or not wanted or len(lines) > 20_000:
        return ""
    size = min(len(wanted), len(lines))
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2("\n".join(wanted))
    best, best_at = 0.0, 0
    for at in range(len(lines) - size + 1):
        matcher.set_seq1("\n".join(lines[at : at + size]))
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            ratio = matcher.ratio()
            if ratio > best:
                best, best_at = ratio, at
    if best < 0.5:
        return ""
    block = "\n".join(lines[best_at : best_at + size])
    return f" The nearest text is at lines {best_at + 1}-{best_at + size}:\n{block}"
