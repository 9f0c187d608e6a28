"""One container, from its making to its end, with every limit the engine can enforce."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from agentmem.errors import SandboxError
from agentmem.sandbox import owner
from agentmem.sandbox.engine import HOME, ROOT, SYSTEM_PATH, USER, VENV, Exec, connect, gone_is_an_error
from agentmem.sandbox.limits import Limits, human

_live: set[str] = set()
_lock = threading.Lock()

_OWN_PROCESSES = 2  # init and the sleep under it

ENVIRONMENT = {
    "HOME": HOME,
    "USER": "agentmem",
    "VIRTUAL_ENV": VENV,
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


@cache
def disk_quota_works(image: str) -> bool:
    """Whether the storage driver can bound a container's layer; asked once, by making one."""
    from docker.errors import APIError

    api = connect()
    try:
        config = api.create_host_config(storage_opt={"size": "1G"}, network_mode="none")
        made = api.create_container(
            image, ["true"], host_config=config, labels=owner.labels("probe"), use_config_proxy=False
        )
    except APIError:
        return False
    api.remove_container(made["Id"], force=True)
    return True


def enforced(limits: Limits, image: str | None = None) -> dict[str, str]:
    """Each limit and how it is held, for the run and for doctor."""
    info = connect().info()

    def kernel(flag: str, text: str) -> str:
        return text if info.get(flag) else f"not enforced by this engine (wanted {text})"

    disk = f"{human(limits.disk)}, by a watchdog, and {human(limits.file_size)} per file"
    if image and disk_quota_works(image):
        disk = f"{human(limits.disk)}, by the storage driver"
    return {
        "network": "none",
        "capabilities": "none, no new privileges",
        "memory": kernel("MemoryLimit", human(limits.memory)),
        "swap": kernel("SwapLimit", "none beyond the memory limit"),
        "processes": kernel("PidsLimit", str(limits.pids)),
        "cpus": kernel("CPUCfsQuota" if "CPUCfsQuota" in info else "CpuCfsQuota", f"{_cpus(limits, info):g}"),
        "disk": disk,
    }


def _cpus(limits: Limits, info: Mapping[str, Any]) -> float:
    return min(limits.cpus, float(info.get("NCPU") or limits.cpus))


class Container:
    """A running container: process 1 is root without capabilities, the rest runs as the unprivileged uid."""

    def __init__(
        self, image: str, run_id: str, limits: Limits, *, network: str = "none", quota: bool = True
    ) -> None:
        """`quota` False leaves the disk to the engine, as a build that is committed needs it."""
        from docker.types import LogConfig, Ulimit

        api = self._api = connect()
        self.limits = limits
        with gone_is_an_error("a container could not be started"):
            self.disk_quota = quota and disk_quota_works(image)
            config = api.create_host_config(
                network_mode=network,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                mem_limit=limits.memory,
                memswap_limit=limits.memory,
                pids_limit=limits.pids,
                nano_cpus=int(_cpus(limits, api.info()) * 1_000_000_000),
                init=True,
                ulimits=[
                    Ulimit(name="core", soft=0, hard=0),
                    Ulimit(name="fsize", soft=limits.file_size, hard=limits.file_size),
                ],
                storage_opt={"size": str(limits.disk)} if self.disk_quota else None,
                log_config=LogConfig(type="none"),
            )
            made = api.create_container(
                image,
                # A week, so that even a container nobody is left to remove ends.
                command=["604800"],
                entrypoint=["sleep"],
                user="0:0",
                hostname=None if network == "host" else "sandbox",
                working_dir="/",
                labels=owner.labels(run_id),
                host_config=config,
                use_config_proxy=False,  # would carry the host's proxy settings, credentials and all
            )
            self.id = str(made["Id"])
            _remember(self.id)
            try:
                api.start(self.id)
            except BaseException:
                self.remove()
                raise
            self._image_path = self._path_of_image()

    def _path_of_image(self) -> str:
        for item in self._api.inspect_container(self.id)["Config"].get("Env") or ():
            if item.startswith("PATH="):
                return str(item[5:])
        return SYSTEM_PATH

    def environment(self) -> dict[str, str]:
        """What a command of an agent sees, beside what the image itself sets."""
        return {**ENVIRONMENT, "PATH": f"{VENV}/bin:{HOME}/.local/bin:{self._image_path}"}

    def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        workdir: str = ROOT,
    ) -> Exec:
        """Start a command as the unprivileged uid; without `env` it finds only the system's programs."""
        env = env or {"PATH": SYSTEM_PATH, "HOME": HOME, "LANG": "C.UTF-8"}
        with gone_is_an_error("the sandbox is gone"):
            return Exec(self.id, argv, env=env, stdin=stdin, workdir=workdir)

    def check_alive(self) -> None:
        """Raises SandboxError when the container has ended, whoever ended it."""
        with gone_is_an_error("the sandbox is gone"):
            state = self._api.inspect_container(self.id)["State"]
        if not state.get("Running"):
            why = "it ran out of memory" if state.get("OOMKilled") else f"exit code {state.get('ExitCode')}"
            raise SandboxError(f"the sandbox has ended ({why})", "Start the run again with --resume.")

    def check_survived(self) -> None:
        """As `check_alive`, after a command was killed: the engine may notice the container's end later."""
        trial = self.exec(["sh", "-c", "exit 0"], workdir="/")
        try:
            list(trial.chunks(30))
            if trial.wait(30) != 0:
                time.sleep(1)
        finally:
            trial.close()
        self.check_alive()

    def kill_processes(self, drain: Callable[[], None]) -> None:
        """End every process of the unprivileged uid, detached ones too; files and container stay.

        `drain` empties and closes the streams of what is killed: the engine tells no exit before that.
        """
        import requests
        from docker.errors import DockerException

        with contextlib.suppress(DockerException, requests.RequestException):
            for _ in range(20):  # what was killed counts against the limit of processes until it is reaped
                if not self._kill(drain):
                    break
                if len(self._api.top(self.id)["Processes"]) <= _OWN_PROCESSES:
                    return
        # No room for one more process: a restart ends them all and keeps the container's files.
        drain()
        with gone_is_an_error("the sandbox could not be stopped"):
            self._api.restart(self.id, timeout=0)

    def _kill(self, drain: Callable[[], None]) -> bool:
        """One round of killing; False when it could not be done."""
        killer = self._api.exec_create(self.id, ["sh", "-c", "kill -9 -1"], user=USER, workdir="/")["Id"]
        self._api.exec_start(killer, detach=True)
        drain()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            state = self._api.exec_inspect(killer)
            if not state["Running"]:
                return bool(state["ExitCode"] == 0)
            time.sleep(0.01)
        return False

    def written(self) -> int:
        """Bytes in the container's own layer, as the engine counts them."""
        with gone_is_an_error("the sandbox is gone"):
            found = self._api.containers(all=True, size=True, filters={"id": self.id})
        return int(found[0].get("SizeRw") or 0) if found else 0

    def check_disk(self) -> None:
        """The watchdog where no quota is: ends the container when it has written too much."""
        if self.disk_quota or self.written() <= self.limits.disk:
            return
        self.remove()
        raise SandboxError(
            f"the sandbox wrote more than {human(self.limits.disk)} and was destroyed",
            "Raise the disk limit if the project really needs that much.",
        )

    def diff(self) -> list[dict[str, Any]]:
        """What differs from the image: {"Path": str, "Kind": 0 changed, 1 added, 2 deleted}."""
        self.check_alive()
        with gone_is_an_error("the sandbox is gone"):
            return list(self._api.diff(self.id) or [])

    def fetch(self, path: str) -> Iterator[bytes]:
        """A tar of a path, read by the engine. Only for what the sandbox cannot write."""
        with gone_is_an_error(f"{path} could not be read"):
            yield from self._api.get_archive(self.id, path)[0]

    def place(self, folder: str, tar: bytes) -> None:
        """Unpack a tar as root, by the engine. Only below folders that the sandbox cannot write."""
        with gone_is_an_error(f"{folder} could not be written"):
            self._api.put_archive(self.id, folder, tar)

    def commit(self, repository: str, tag: str, *, labels: Mapping[str, str], env: Sequence[str] = ()) -> str:
        """Keep the container's files as an image; returns its id."""
        # The labels of the container would make an image look like a thing of one run.
        clear = dict.fromkeys(owner.labels(""), "")
        changes = [f"ENV {item}" for item in env] + ["ENTRYPOINT []", 'CMD ["sh"]']
        with gone_is_an_error("the image could not be kept"):
            made = self._api.commit(
                self.id, repository, tag, changes=changes, conf={"Labels": {**clear, **labels}}
            )
        return str(made["Id"])

    def remove(self) -> None:
        """Destroy it. Safe to call twice."""
        import requests
        from docker.errors import DockerException

        with contextlib.suppress(DockerException, requests.RequestException):
            self._api.remove_container(self.id, force=True, v=True)
        with _lock:
            _live.discard(self.id)


def _remember(container: str) -> None:
    with _lock:
        if not _live:
            atexit.register(_remove_all)
        _live.add(container)


def _remove_all() -> None:
    with _lock:
        left = list(_live)
        _live.clear()
    for container in left:
        with contextlib.suppress(Exception):
            connect().remove_container(container, force=True, v=True)
