"""Who owns a sandbox: enough to tell, later and from another process, whether its owner still lives."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

RUN = "agentmem.run"
PID = "agentmem.pid"
STARTED = "agentmem.started"  # in clock ticks since boot: a recycled pid has another one
BOOT = "agentmem.boot"
HOST = "agentmem.host"


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _host() -> str:
    """This machine and pid namespace; elsewhere our pids mean nothing."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path but a name
    except OSError:
        namespace = ""
    machine = _first_line("/etc/machine-id") or os.uname().nodename
    return hashlib.sha256(f"{machine} {namespace}".encode()).hexdigest()[:16]


def started(pid: int) -> str:
    """When the process began, "" when it is gone or this platform does not tell."""
    stat = _first_line(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    if len(fields) < 20 or fields[0] in "ZX":
        return ""
    return fields[19]


def labels(run_id: str) -> dict[str, str]:
    """The labels of everything this process makes."""
    pid = os.getpid()
    return {
        RUN: run_id,
        PID: str(pid),
        STARTED: started(pid),
        BOOT: _first_line("/proc/sys/kernel/random/boot_id"),
        HOST: _host(),
    }


def alive(found: Mapping[str, str]) -> bool | None:
    """Whether the owner named by `labels` lives; None when it cannot be told from here."""
    mine = labels("")
    if found.get(HOST) != mine[HOST] or not found.get(PID, "").isdigit():
        return None
    if found.get(BOOT) != mine[BOOT]:
        return False
    pid = int(found[PID])
    if mine[STARTED]:
        return started(pid) == found.get(STARTED)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_mine(found: Mapping[str, str]) -> bool:
    """Whether this very process is the owner."""
    mine = labels("")
    return all(found.get(key) == mine[key] for key in (HOST, BOOT, PID, STARTED))
