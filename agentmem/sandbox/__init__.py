"""Where untrusted code runs. A new kind of sandbox is one new file and one line in `SANDBOXES`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentmem.errors import ConfigError
from agentmem.sandbox.base import Check, Prepared
from agentmem.sandbox.limits import MIB, Limits

if TYPE_CHECKING:
    from agentmem.sandbox.environment import Plan
    from agentmem.settings import Settings

# Each module has `prepare` and `check`, loaded on first use.
SANDBOXES = {
    "docker": "agentmem.sandbox.build",
    "local": "agentmem.sandbox.local",
}


def _module(kind: str) -> Any:
    if kind not in SANDBOXES:
        raise ConfigError(f"there is no sandbox {kind!r}", f"Choose one of: {', '.join(SANDBOXES)}.")
    return import_module(SANDBOXES[kind])


def open_sandboxes(
    kind: str,
    plan: Plan,
    *,
    commit: str,
    archive: Callable[[], Iterable[bytes]],
    run_id: str,
    limits: Limits | None = None,
    network: str = "auto",
    on_output: Callable[[str], None] = lambda _: None,
    proxies: Mapping[str, str] | None = None,
) -> Prepared:
    """Install the project at `commit`, using what is cached. Raises SandboxError or ConfigError.

    `archive` gives a tar of the tracked files and `.git`, relative to the root. `network` is the set-up's
    alone: auto, bridge, host or none. `on_output` gets the set-up's lines.
    """
    prepared: Prepared = _module(kind).prepare(
        plan,
        commit=commit,
        archive=archive,
        run_id=run_id,
        limits=limits or Limits(),
        network=network,
        on_output=on_output,
        proxies=proxies,
    )
    return prepared


def prepare_environment(
    settings: Settings,
    plan: Plan,
    *,
    commit: str,
    archive: Callable[[], Iterable[bytes]],
    run_id: str,
    on_output: Callable[[str], None],
) -> Prepared:
    """`open_sandboxes` as the user's settings have it."""
    return open_sandboxes(
        settings.sandbox,
        plan,
        commit=commit,
        archive=archive,
        run_id=run_id,
        limits=limits_of(settings),
        network=settings.setup_network,
        on_output=on_output,
    )


def limits_of(settings: Settings) -> Limits:
    """The user's limits."""
    disk = settings.disk_limit * MIB
    return Limits(
        memory=settings.memory_limit * MIB,
        cpus=settings.cpus,
        pids=settings.pids,
        disk=disk,
        file_size=min(disk, Limits().file_size),
    )


def check(kind: str) -> list[Check]:
    """What doctor shows of a kind of sandbox."""
    found: list[Check] = _module(kind).check()
    return found


def clean(all: bool = False, images: bool = False) -> list[str]:  # noqa: A002 - the words of the command line
    """Remove what no living run needs; see `reaper.clean`. With `images` also the cached environments."""
    from agentmem.sandbox import local, reaper

    removed = local.clean()
    if not check("docker")[0].ok:  # no engine, so nothing of it to clean
        return removed
    return removed + reaper.clean(all) + (reaper.clean_images() if images else [])
