"""A look at a user's work tree without the user's git configuration: no filter, hook or monitor can run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentmem.gitcmd import Git, Source

# Plain data that decides how bytes of files compare with blobs; no other setting of the user is taken over.
_KEPT = r"^core\.(autocrlf|eol|filemode|symlinks|ignorecase)$"


@contextmanager
def shadow(source: Source, *, index: bool = True) -> Iterator[Git]:
    """Git on a throw-away repository that shares `source`'s objects and work tree, but not its settings.

    New objects are written into `source`'s store. With `index` it starts from a copy of the user's index.
    """
    with tempfile.TemporaryDirectory(prefix="agentmem-shadow-") as folder:
        git_dir = Path(folder, "git")
        start = ["init", "--bare", "--quiet", "--template=", f"--object-format={source.object_format}"]
        Git(Path(folder)).run(*start, str(git_dir))
        if index:
            for file in (source.index, *source.git_dir.glob("sharedindex.*")):
                if file.is_file():
                    shutil.copy2(file, git_dir / file.name)
        if source.shallow.is_file():
            shutil.copy(source.shallow, git_dir / "shallow")
        env = {"GIT_OBJECT_DIRECTORY": str(source.objects)}
        if source.top is not None:
            env["GIT_WORK_TREE"] = str(source.top)
        yield Git(source.top or Path(folder), git_dir, env, {**user_settings(source), "core.bare": "false"})


def user_settings(source: Source, pattern: str = _KEPT) -> dict[str, str]:
    """Settings of the user whose names match, repository over global. `git config` runs nothing."""
    done = subprocess.run(
        ["git", "config", "--null", "--get-regexp", pattern],
        capture_output=True,
        cwd=source.folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    )
    pairs = (entry.partition("\n") for entry in os.fsdecode(done.stdout).split("\0") if entry)
    return {name: value if separator else "true" for name, separator, value in pairs}


def dirty_paths(source: Source) -> list[str]:
    """Tracked files that differ from HEAD in index or work tree; submodules are not looked into."""
    if source.top is None or not source.git.ok("rev-parse", "--verify", "--quiet", "HEAD^{commit}"):
        return []
    head = source.commit("HEAD")
    with shadow(source) as git:
        git.ok("update-index", "-q", "--refresh", "--ignore-submodules")
        plain = ("-z", "--name-only", "--no-renames", "--ignore-submodules=all")
        names = git.run("diff-index", *plain, head, "--")
    return sorted(os.fsdecode(name) for name in names.split(b"\0") if name)
