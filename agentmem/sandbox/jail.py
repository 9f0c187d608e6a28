"""How a local command is fenced in: bubblewrap where it works, else only a clean environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agentmem.sandbox.container import ENVIRONMENT
from agentmem.sandbox.engine import UID
from agentmem.sandbox.limits import Limits
from agentmem.sandbox.process import MARK

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "ssl", "ca-certificates")
_ETC_NETWORK = ("resolv.conf", "nsswitch.conf", "hosts", "pip.conf")
_SHELL = 'if command -v bash >/dev/null 2>&1; then exec bash -c "$1"; else exec sh -c "$1"; fi'
_PATH = "/usr/local/bin:/usr/bin:/bin"


@cache
def bubblewrap() -> str:
    """The path of a bubblewrap that works here, "" without one: some machines forbid user namespaces."""
    tool = shutil.which("bwrap")
    if not tool:
        return ""
    trial = [tool, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    try:
        return tool if subprocess.run(trial, capture_output=True, timeout=10).returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


@dataclass(frozen=True, slots=True)
class Jail:
    """The folders of one local sandbox on this machine; `mark` finds its processes again."""

    work: Path
    venv: Path
    tmp: Path
    mark: str
    limits: Limits
    fenced: bool

    @property
    def root(self) -> str:
        """The workspace as the sandbox sees it."""
        return "/workspace" if self.fenced else str(self.work)

    @property
    def venv_inside(self) -> str:
        return "/opt/venv" if self.fenced else str(self.venv)

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """What a command sees of the environment; nothing of the host's."""
        env = {
            **ENVIRONMENT,
            "HOME": "/tmp/home" if self.fenced else str(self.tmp / "home"),
            "VIRTUAL_ENV": self.venv_inside,
            "PATH": f"{self.venv_inside}/bin:{_PATH}",
            MARK: self.mark,
            **extra,
        }
        if not self.fenced:
            # The environment was installed for another copy of the workspace: this one goes first.
            src = [str(self.work / "src")] if (self.work / "src").is_dir() else []
            env |= {"TMPDIR": str(self.tmp), "PYTHONPATH": ":".join([*src, str(self.work)])}
        return env

    def argv(self, command: str, *, network: bool = False, install: bool = False) -> list[str]:
        """The command line; `install` makes the virtual environment writable."""
        shell = ["sh", "-c", _SHELL, "sh", command]
        bounds = shutil.which("prlimit")
        if bounds and not install:
            sizes = [f"--fsize={self.limits.file_size}", f"--as={self.limits.memory}"]
            shell = [bounds, "--core=0", *sizes, *shell]
        return [*self._fence(network, install), *shell] if self.fenced else shell

    def _fence(self, network: bool, install: bool) -> list[str]:
        words = [bubblewrap(), "--unshare-all", "--die-with-parent", "--new-session"]
        words += ["--uid", str(UID), "--gid", str(UID), "--hostname", "sandbox"]
        words += ["--share-net"] if network else []
        words += _system(_ETC + (_ETC_NETWORK if network else ()))
        words += ["--proc", "/proc", "--dev", "/dev", "--bind", str(self.tmp), "/tmp"]
        words += ["--bind", str(self.work), "/workspace"]
        words += ["--bind" if install else "--ro-bind", str(self.venv), "/opt/venv"]
        return [*words, "--chdir", "/workspace", "--"]


def _system(etc: tuple[str, ...]) -> list[str]:
    """The programs of this machine, read-only; of /etc only what they need."""
    words: list[str] = []
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            words += ["--ro-bind", name, name]
    for name in etc:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    base = Path(sys.base_prefix).resolve()
    if not base.is_relative_to("/usr"):
        words += ["--ro-bind", str(base), str(base)]
    return words
