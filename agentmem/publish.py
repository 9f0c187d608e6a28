"""Brings a verified patch to the user: into the work tree, or onto a branch, without losing anything."""

from __future__ import annotations

import os
from pathlib import Path

from agentmem.errors import PatchRefused, UsageError
from agentmem.gitcmd import Git, GitFailed, Source, discover
from agentmem.patchtext import parse
from agentmem.worktree import dirty_paths, shadow, user_settings

_NAME, _EMAIL = "agentmem", "agentmem@localhost"


def apply_to_user(repo: Path, patch: str, *, base: str) -> list[str]:
    """Apply the patch to the user's work tree, unstaged; the paths it changed.

    Raises UsageError, having changed nothing, when a touched file has changes of the user, an untracked
    file is in the way, or the patch, made on commit `base`, does not apply to what is checked out now.
    """
    source = discover(repo)
    if source.top is None:
        raise UsageError(f"{repo} is bare: there is no work tree to change", "use --branch instead")
    files = parse(patch)
    paths = [file.path for file in files]
    dirty = sorted(set(paths) & set(dirty_paths(source)))
    if dirty:
        raise UsageError(
            f"the patch touches files with changes of yours: {', '.join(dirty)}",
            "commit or stash them first, or use --branch",
        )
    blocked = [file.path for file in files if file.created and _in_the_way(source.top, file.path)]
    if blocked:
        raise UsageError(f"files are in the way: {', '.join(blocked)}", "move them away, or use --branch")
    with shadow(source) as git:
        data = patch.encode("utf-8", "surrogateescape")
        try:
            git.run("apply", "--check", "--whitespace=nowarn", "-", stdin=data)
        except GitFailed as error:
            raise UsageError(
                f"the patch was made on {base[:12]} and does not apply to your files: {error.stderr}",
                f"check out {base[:12]}, or use --branch",
            ) from error
        git.run("apply", "--whitespace=nowarn", "-", stdin=data)
    return paths


def _in_the_way(top: Path, path: str) -> bool:
    """Whether something is where a new file is to be, or where one of its folders is."""
    folders = [top / folder for folder in Path(path).parents[:-1]]
    occupied = any(os.path.lexists(f) and (f.is_symlink() or not f.is_dir()) for f in folders)
    return occupied or os.path.lexists(top / path)


def make_branch(repo: Path, name: str, base: str, patch: str, message: str) -> str:
    """Create branch `name` on commit `base` with the patch as one commit; the new commit's id.

    HEAD, index and work tree stay as they are, and no hook runs. Raises UsageError for an invalid or existing
    name, PatchRefused where the patch does not apply.
    """
    source = discover(repo)
    ref = f"refs/heads/{name}"
    if name.startswith("-") or name == "HEAD" or not source.git.ok("check-ref-format", ref):
        raise UsageError(f"{name!r} is not a branch name", "see: git help check-ref-format")
    if source.git.ok("rev-parse", "--verify", "--quiet", ref):
        raise UsageError(f"branch {name} exists already", "choose another name, or delete it first")
    commit = _commit(source, source.commit(base), patch, message)
    try:
        source.git.run("update-ref", "-m", "agentmem fix", ref, commit, "0" * len(commit))
    except GitFailed as error:
        raise UsageError(f"branch {name} cannot be made: {error.stderr}", "choose another name") from error
    return commit


def _commit(source: Source, base: str, patch: str, message: str) -> str:
    user = user_settings(source, r"^user\.(name|email)$")
    name, email = user.get("user.name") or _NAME, user.get("user.email") or _EMAIL
    with shadow(source, index=False) as shadowed:
        git: Git = shadowed.with_env(
            GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=email, GIT_COMMITTER_NAME=name, GIT_COMMITTER_EMAIL=email
        )
        git.run("read-tree", base)
        try:
            git.run(
                "apply",
                "--cached",
                "--whitespace=nowarn",
                "-",
                stdin=patch.encode("utf-8", "surrogateescape"),
            )
        except GitFailed as error:
            raise PatchRefused(f"the patch does not apply to {base[:12]}: {error.stderr}") from error
        tree = git.line("write-tree")
        return os.fsdecode(git.run("commit-tree", tree, "-p", base, stdin=message.encode())).strip()
