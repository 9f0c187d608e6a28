"""What a sandbox may use; every number is finite."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Ceilings of one sandbox, in bytes where nothing else is said."""

    memory: int = 4 * GIB  # swap included
    pids: int = 512
    cpus: float = 2.0
    disk: int = 8 * GIB  # all that a container writes
    file_size: int = 1 * GIB  # any single file
    output: int = 256 * 1024  # of one command, as kept: the head and the tail
    flood: int = 64 * MIB  # of one command, as sent: more kills it
    read: int = 16 * MIB  # one file read by a tool
    changed_files: int = 20_000
    changed_bytes: int = 256 * MIB
    changed_file: int = 64 * MIB
    setup_seconds: float = 1800.0  # of one set-up command


def human(size: float) -> str:
    """4294967296 -> "4.0 GiB"."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
