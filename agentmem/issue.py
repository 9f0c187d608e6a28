"""The issue: one type, whether it came as text, as a file or through standard input."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from agentmem.errors import UsageError

LONGEST = 200_000  # characters
_LONGEST_TITLE = 120
# Leftmost wins: code keeps its comments, since a reader sees them; a comment hides what it holds.
_CODE_OR_COMMENT = re.compile(
    r"(?P<code>^ {0,3}(?P<fence>`{3,}+|~{3,}+)[^\n]*+\n.*?(?:^ {0,3}(?P=fence)|\Z)|`[^`\n]+`)"
    r"|(?P<block>^ {0,3}<!--)"
    r"|<!--",
    re.DOTALL | re.MULTILINE,
)
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_URL = re.compile(r"https?://\S+")
_PATH_LIKE = re.compile(r"\S*/\S*\.\w{1,5}|\S+\.(?:md|txt|rst|log)")


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong, in a person's words.

    `source` says where the text came from, `key` is a stable hash of it, `created_at` is None when unknown.
    `notices` tell what was changed on the way in.
    """

    text: str
    title: str
    source: str
    key: str
    created_at: datetime | None = None
    notices: tuple[str, ...] = ()


def read_issue(arg: str, stdin: BinaryIO) -> Issue:
    """The issue that `--issue` names: a text, the path of a file, or `-` for standard input.

    Raises UsageError for a URL, a missing or unreadable file, and an empty issue.
    """
    if _URL.fullmatch(arg.strip()):
        raise UsageError(
            f"issues are not fetched from the network: {arg.strip()}",
            f"gh issue view {arg.strip()} --json title,body --jq '.title + \"\\n\\n\" + .body'"
            " | agentmem fix --issue -",
        )
    if arg == "-":
        return make_issue(*_decoded(stdin.read(4 * LONGEST + 1)), source="standard input")
    path = Path(arg)
    if arg.strip() and _exists(path):
        try:
            with path.open("rb") as file:
                data = file.read(4 * LONGEST + 1)
        except OSError as error:
            raise UsageError(f"cannot read the issue {arg}: {error.strerror}", "Name a text file.") from None
        return make_issue(*_decoded(data), source=str(path))
    if _PATH_LIKE.fullmatch(arg):
        mend = "Check the path; to give the issue itself as text, write more than one word."
        raise UsageError(f"there is no file {arg}", mend)
    return make_issue(arg, source="text")


def make_issue(text: str, *notices: str, source: str, created_at: datetime | None = None) -> Issue:
    """Clean a text and wrap it; raises UsageError when nothing is left."""
    cleaned, hidden = _visible(text)
    said = [*notices]
    if hidden:
        said.append(f"{hidden} invisible characters or HTML comments were removed from the issue")
    if len(cleaned) > LONGEST:
        cleaned = cleaned[:LONGEST]
        said.append(f"the issue was cut to its first {LONGEST} characters")
    cleaned = cleaned.strip()
    if not cleaned:
        raise UsageError(f"the issue is empty ({source})", "Describe what happens and what should happen.")
    key = hashlib.sha256(" ".join(cleaned.split()).encode()).hexdigest()[:16]
    title = next(filter(None, (line.strip(" #*=-\t") for line in cleaned.splitlines())), cleaned)
    if len(title) > _LONGEST_TITLE:
        title = title[: _LONGEST_TITLE - 1] + "…"
    return Issue(cleaned, title, source, key, created_at, tuple(said))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # longer than a name can be, or with a NUL: surely a text
        return False


def _decoded(data: bytes) -> tuple[str, ...]:
    """The text, and a notice where bytes had to be replaced."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return (data.decode("utf-16", "replace"),)
    try:
        return (data.decode("utf-8-sig"),)
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", "replace")
        return (text, "the issue is not UTF-8; what could not be read was replaced")


def _visible(text: str) -> tuple[str, int]:
    """What a person would see, and how many invisible things were taken out."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = _TERMINAL_CODES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text, hidden = _VARIATION_SELECTORS.subn("", text)
    kept = [char for char in text if char in "\n\t" or unicodedata.category(char) not in ("Cf", "Cc", "Co")]
    hidden += len(text) - len(kept)
    text, comments = _without_comments("".join(kept))
    return text, hidden + comments


def _without_comments(text: str) -> tuple[str, int]:
    """As a browser shows it: a comment that begins a line and never ends hides all that follows."""
    parts, position, count = [], 0, 0
    last_end = text.rfind("-->")  # looked up once, or a text full of `<!--` would take for ever
    while match := _CODE_OR_COMMENT.search(text, position):
        start, after = match.start(), match.end()
        if match["code"] is None and (match["block"] is not None or after <= last_end):
            end = text.find("-->", after)
            parts.append(text[position:start])
            position = len(text) if end < 0 else end + 3
            count += 1
        else:
            parts.append(text[position:after])
            position = after
    return "".join([*parts, text[position:]]), count
