"""`agentmem clean`."""

from __future__ import annotations

from typing import Annotated

import typer

from agentmem.cli.options import Json, out, out_json


def register(app: typer.Typer) -> None:
    app.command("clean")(clean)


def clean(
    images: Annotated[bool, typer.Option("--images", help="Also the cached project environments.")] = False,
    cache: Annotated[bool, typer.Option("--cache", help="Also the caches in the home directory.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json: Json = False,
) -> None:
    """Remove left-over containers and, when asked, images and caches.

    Containers of a living run, runs, memory and base images stay.
    """
    import shutil

    from agentmem.sandbox import reaper
    from agentmem.settings import home

    caches = home() / "cache"
    containers = [f"{container[:12]} of run {run}" for container, run in reaper.leftovers(everything=True)]
    removed = {
        "containers": containers if dry_run else reaper.clean(all=True),
        "images": [],
        "caches": [str(caches)] if cache and caches.is_dir() else [],
    }
    if images:
        removed["images"] = reaper.images() if dry_run else reaper.clean_images()
    if cache and not dry_run:
        shutil.rmtree(caches, ignore_errors=True)
    if json:
        out_json({"dry_run": dry_run, "removed": removed})
        return
    verb = "would remove" if dry_run else "removed"
    for kind, names in removed.items():
        for name in names:
            out(f"{verb} {kind.removesuffix('s')} {name}")
    if not any(removed.values()):
        out("nothing to remove")
