"""Real git repositories for tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_AUTHOR_DATE": "2020-02-02T00:00:00Z",
    "GIT_COMMITTER_DATE": "2020-02-02T00:00:00Z",
}


def git(repo: Path, *args: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", "-c", "safe.directory=*", *args],
        cwd=repo,
        env=_ENV,
        input=stdin,
        capture_output=True,
    )
    assert done.returncode == 0, (args, done.stderr)
    return done.stdout.decode(errors="surrogateescape").strip()


def put(repo: Path, files: Mapping[str, str | bytes]) -> None:
    for name, data in files.items():
        file = repo / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())


def commit(repo: Path, files: Mapping[str, str | bytes], message: str = "change") -> str:
    put(repo, files)
    git(repo, "add", "-A", "-f")
    git(repo, "commit", "-q", "-m", message)
    return git(repo, "rev-parse", "HEAD")


def new_repo(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "trunk")
    commit(folder, files, "first")
    return folder
