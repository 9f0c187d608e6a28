"""How one state of a workspace differs from another: plain data that sandbox and git side exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FileState:
    """One file of a workspace: `data` is its content, or the target of a link. `mode` is a git file mode."""

    data: bytes
    mode: str = "100644"  # 100644, 100755 (executable) or 120000 (symbolic link)


@dataclass(frozen=True, slots=True)
class Changes:
    """How a workspace differs from the prepared one; paths are relative to the root, with `/`.

    Never holds anything below `.git`. Files that were only touched may be listed with equal content.
    """

    files: Mapping[str, FileState] = field(default_factory=dict)
    deleted: Sequence[str] = ()
