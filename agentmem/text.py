"""Text as code people write it: tokens for search, sizes for budgets, and clipping that says what is gone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

_CHAIN = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+|\w+")
_ASCII_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PART = re.compile(r"[^\W\d_]+|\d+")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


def tokens(text: str) -> list[str]:
    """Lower-cased search tokens: words, whole identifiers, dotted names, and the parts of all of them.

    `app.getURLFor2` gives `app.geturlfor2`, `app`, `geturlfor2`, `get`, `url`, `for`, `2`.
    """
    found: list[str] = []
    for chain in _CHAIN.findall(text):
        found += _split(chain)
    return found


@lru_cache(maxsize=1 << 16)
def _split(chain: str) -> tuple[str, ...]:
    names = chain.split(".")
    found = [chain.lower()] if len(names) > 1 else []
    for name in names:
        parts = [part.lower() for part in (_ASCII_PART if name.isascii() else _PART).findall(name)]
        whole = name.lower()
        found.append(whole)
        if parts != [whole]:
            found += parts
    return tuple(found)


def estimate_tokens(text: str) -> int:
    """About how many tokens a language model makes of the text, on the high side for prose.

    Identifiers cost a token per four letters, digits one per three, other characters one per two, or one
    each outside ASCII; a single space is part of the word that follows.
    """
    total = 0.0
    for match in re.finditer(r"[A-Za-z]+|\d+|\s+|[^\sA-Za-z\d]+", text):
        piece = match[0]
        if piece[0].isspace():
            total += 0 if piece == " " else 1 + len(piece) // 16
        elif piece[0].isascii() and piece[0].isalpha():
            total += 1 + (len(piece) - 1) // 6
        elif piece[0].isdigit():
            total += 1 + (len(piece) - 1) // 3
        else:
            total += sum(0.6 if char.isascii() else 1 for char in piece)
    return int(total + 0.999)


def clip(text: str, limit_chars: int, keep: Literal["both", "head", "tail"] = "both") -> str:
    """The text within `limit_chars` characters plus a marker that says how many characters were left out."""
    out = len(text) - limit_chars
    if out <= 0:
        return text
    marker = f"[... {out} characters left out ...]"
    if keep == "head":
        return f"{text[:limit_chars]}\n{marker}"
    if keep == "tail":
        return f"{marker}\n{text[out:]}"
    head = limit_chars // 2
    return f"{text[:head]}\n{marker}\n{text[head + out :]}"


def well_formed(value: Any) -> Any:
    """A JSON-like value with U+FFFD for lone surrogates, which JSON can carry but no file or request can."""
    if isinstance(value, str):
        return (
            value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(value, Mapping):
        return {well_formed(key): well_formed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [well_formed(item) for item in value]
    return value


def printable(text: str) -> str:
    """The text without what a terminal or a reader could be fooled by.

    ANSI sequences go; other control, bidirectional and invisible format characters become `\\xNN` or
    `\\uNNNN`. Line ends and tabs stay; `\\r\\n` becomes `\\n`.
    """
    plain = _ANSI.sub("", text.replace("\r\n", "\n"))
    if plain.isascii() and plain.replace("\n", "").replace("\t", "").isprintable():
        return plain
    return "".join(char if char in "\n\t" or not _harmful(char) else _escaped(char) for char in plain)


def _harmful(char: str) -> bool:
    # A joiner between emoji or Indic letters is ordinary text; every other format character is not.
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in "\u200c\u200d"


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
