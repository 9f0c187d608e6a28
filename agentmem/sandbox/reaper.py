"""Containers and images that nobody needs any more."""

from __future__ import annotations

import contextlib

from agentmem.sandbox import owner
from agentmem.sandbox.engine import connect, gone_is_an_error
from agentmem.sandbox.images import KIND


def reap() -> list[str]:
    """Remove the containers whose owning process is dead; returns "ID of run RUN" for each."""
    return _remove(everything=False)


def clean(all: bool = False) -> list[str]:  # noqa: A002 - the word of the command line
    """As `reap`; with `all` also this process's own and those whose owner cannot be judged from here.

    The containers of another living run are never touched.
    """
    return _remove(everything=all)


def leftovers(everything: bool = False) -> list[tuple[str, str]]:
    """(container id, run id) of what `clean` would remove."""
    with gone_is_an_error("the containers could not be listed"):
        found = connect().containers(all=True, filters={"label": owner.RUN})
    useless: list[tuple[str, str]] = []
    for item in found:
        labels = item.get("Labels") or {}
        alive = owner.alive(labels)
        if alive is False or (everything and (alive is None or owner.is_mine(labels))):
            useless.append((str(item["Id"]), str(labels.get(owner.RUN))))
    return useless


def _remove(everything: bool) -> list[str]:
    from docker.errors import APIError

    removed: list[str] = []
    for container, run in leftovers(everything):
        with contextlib.suppress(APIError):  # somebody else was quicker
            connect().remove_container(container, force=True, v=True)
            removed.append(f"{container[:12]} of run {run}")
    return removed


def images() -> list[str]:
    """The images made here, as "TAG (KIND)"."""
    return [f"{name} ({kind})" for name, kind in _images()]


def clean_images(*, base: bool = False) -> list[str]:
    """Remove cached environments (with `base` also base images); those in use stay. Returns their names."""
    from docker.errors import APIError

    removed: list[str] = []
    while True:  # an image goes only after those made from it
        before = len(removed)
        for name, kind in _images():
            if kind == "base" and not base:
                continue
            with contextlib.suppress(APIError):
                connect().remove_image(name)
                removed.append(name)
        if len(removed) == before:
            return removed


def _images() -> list[tuple[str, str]]:
    with gone_is_an_error("the images could not be listed"):
        found = connect().images(filters={"label": KIND})
    return [
        (str(name), str((item.get("Labels") or {}).get(KIND, "")))
        for item in found
        for name in (item.get("RepoTags") or [item["Id"]])
    ]
