"""The one place that runs git: a hardened environment, and what a user's repository looks like from outside.

No command started here reads the user's or the system's configuration, runs a hook, a filter, an external
diff or a file-system monitor, or reaches a network. The configuration of the target repository itself is
read by git only where `Git` points at it, and there only by commands that touch neither index nor work tree.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from agentmem.errors import AgentmemError, ConfigError, UsageError

NOWHERE = "/nonexistent"

_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.pager": "cat",
    "core.quotePath": "true",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.splitIndex": "false",
    "attr.tree": "",  # newer git reads attributes of bare repositories from HEAD
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "safe.directory": "*",  # the checks behind it guard against what is switched off here
    "submodule.recurse": "false",
    "diff.ignoreSubmodules": "all",
}


class GitFailed(AgentmemError):
    """A git command failed; `stderr` is what it said."""

    def __init__(self, command: str, stderr: str) -> None:
        super().__init__(f"git {command} failed: {stderr or 'no reason given'}")
        self.stderr = stderr


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every git process: built from nothing, so no GIT_* of the caller leaks in."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        "HOME": NOWHERE,
        "XDG_CONFIG_HOME": NOWHERE,
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_EDITOR": "true",
        "GIT_PAGER": "cat",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_GRAFT_FILE": NOWHERE,
    }
    return env | dict(extra or {})


@dataclass(frozen=True, slots=True)
class Git:
    """Git on one repository. Without `git_dir` it is discovered from `cwd`."""

    cwd: Path
    git_dir: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    def command(self, *args: str) -> list[str]:
        command = ["git", "--no-pager"]
        for name, value in (_SETTINGS | dict(self.settings)).items():
            command += ["-c", f"{name}={value}"]
        if self.git_dir is not None:
            command.append(f"--git-dir={self.git_dir}")
        return [*command, *args]

    def run(self, *args: str, stdin: bytes = b"") -> bytes:
        """Standard output of a command. Raises GitFailed, or ConfigError where there is no git."""
        try:
            done = subprocess.run(
                self.command(*args), input=stdin, capture_output=True, cwd=self.cwd, env=environment(self.env)
            )
        except FileNotFoundError as error:
            raise ConfigError("git was not found", "install it, for example: apt-get install git") from error
        if done.returncode:
            raise GitFailed(args[0], done.stderr.decode(errors="replace").strip())
        return done.stdout

    def line(self, *args: str) -> str:
        return os.fsdecode(self.run(*args)).removesuffix("\n")

    def ok(self, *args: str) -> bool:
        try:
            self.run(*args)
        except GitFailed:
            return False
        return True

    def with_env(self, **env: str) -> Git:
        return Git(self.cwd, self.git_dir, dict(self.env) | env, self.settings)

    @contextmanager
    def pipe(self, *args: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Standard input and output of a running command, for talking to it; it is ended on leaving."""
        process = subprocess.Popen(
            self.command(*args),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.cwd,
            env=environment(self.env),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdin, process.stdout
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()


@dataclass(frozen=True, slots=True)
class Source:
    """A user's repository. `top` is its work tree, None when it is bare; git only reads from it here."""

    git: Git
    top: Path | None
    git_dir: Path
    objects: Path
    index: Path
    shallow: Path
    object_format: str

    @property
    def folder(self) -> Path:
        return self.top or self.git_dir

    def commit(self, name: str) -> str:
        """The full id of a commit. Raises UsageError for an unknown name or an empty repository."""
        try:
            return self.git.line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except GitFailed as error:
            if not self.git.run("rev-list", "--all", "-n", "1"):
                git = f"git -C {shlex.quote(str(self.folder))}"
                mend = f'{git} add -A && {git} commit -m "Start"'
                raise UsageError(f"{self.folder} has no commit yet", f"commit first: {mend}") from error
            raise UsageError(
                f"{self.folder} has no commit {name!r}",
                f"see: git -C {shlex.quote(str(self.folder))} log --oneline --all",
            ) from error


def discover(repo: Path) -> Source:
    """The repository that `repo` is, or lies in. Raises UsageError where there is none."""
    if not repo.is_dir():
        raise UsageError(f"{repo} is not a folder", "name the folder of a git repository")
    cwd = repo.resolve()
    git = Git(cwd)
    questions = ["--is-bare-repository", "--git-dir", "--git-path", "objects", "--git-path", "index"]
    questions += ["--git-path", "shallow", "--show-object-format"]
    try:
        answers = git.line("rev-parse", *questions).split("\n")
    except GitFailed as error:
        raise _not_a_repository(repo) from error
    if len(answers) != 6:
        raise UsageError(f"{str(repo)!r} has a line end in its path", "rename the folder")
    bare, git_dir, objects, index, shallow, object_format = answers
    source = Source(
        Git(cwd, (cwd / git_dir).resolve()),
        None,
        (cwd / git_dir).resolve(),
        (cwd / objects).resolve(),
        cwd / index,
        cwd / shallow,
        object_format,
    )
    if bare == "true":
        return source
    try:
        top = Path(git.line("rev-parse", "--show-toplevel"))
    except GitFailed as error:
        raise UsageError(f"{repo} has no work tree", "name the folder that holds the files") from error
    # A `core.worktree` that points elsewhere would make us read, and on --apply write, foreign folders.
    if not cwd.is_relative_to(top.resolve()) or not _is_of(top, source.git_dir):
        raise UsageError(
            f"{repo} keeps its work tree elsewhere: {top}", "unset core.worktree, or name a clone"
        )
    inner = cwd.relative_to(top.resolve())
    if inner.parts and not git.ok("rev-parse", "--verify", "--quiet", f"HEAD:{inner}"):
        raise _not_a_repository(repo)  # an untracked folder that happens to lie inside another repository
    return Source(git, top, source.git_dir, source.objects, source.index, source.shallow, object_format)


def _is_of(top: Path, git_dir: Path) -> bool:
    """Whether git, asked in `top`, finds this very repository."""
    try:
        return Path(Git(top).line("rev-parse", "--absolute-git-dir")).resolve() == git_dir
    except GitFailed:
        return False


def _not_a_repository(repo: Path) -> UsageError:
    git = f"git -C {shlex.quote(str(repo))}"
    start = f'{git} init && {git} add -A && {git} commit -m "Start"'
    return UsageError(f"{repo} is not a git repository", f"make it one: {start}")
