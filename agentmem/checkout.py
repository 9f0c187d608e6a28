"""A clean copy of one commit, owned by the host: where the sandbox's files come from and patches are made.

The copy is a bare object store without work tree, remotes, tags, reflogs or any object later than its commit.
Paths are text as `os.fsdecode` gives it, so that names that are not UTF-8 survive; diff text is decoded and
must be encoded with `surrogateescape` (`encode_diff`) for the same reason.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from agentmem.archive import tar_of
from agentmem.changes import Changes, FileState
from agentmem.errors import PatchRefused, UsageError
from agentmem.gitcmd import Git, GitFailed, Source, discover, environment
from agentmem.litter import Litter
from agentmem.worktree import dirty_paths

_REMOTE = re.compile(r"^(?:\w[\w+.-]*://[^/]+/|[\w.-]+@[^/:]+:)(?:.*/)?([\w.-]+/[\w.-]+?)(?:\.git)?/?$")
REGULAR = ("100644", "100755")
LINK = "120000"
SUBMODULE = "160000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tracked path: git mode, object id and size in bytes (0 for a submodule)."""

    mode: str
    sha: str
    size: int


@dataclass(frozen=True, slots=True)
class Diff:
    """A unified diff, and what was left out of it as (path, reason)."""

    text: str
    left_out: Sequence[tuple[str, str]] = ()


def encode_diff(text: str) -> bytes:
    """The bytes of diff text, for a file or for git."""
    return text.encode("utf-8", "surrogateescape")


class Checkout:
    """One commit of a user's repository and its ancestors, and nothing else. Safe to use from threads."""

    def __init__(self, source: Source, store: Path, commit: str) -> None:
        self.commit = commit
        self.repo = source.folder
        self.store = store
        self._source = source
        self._git = Git(store.parent, store)

    @classmethod
    def create(cls, repo: Path, scratch: Path, commit: str = "HEAD") -> Checkout:
        """Copy `commit` of the repository at `repo` into `scratch`; a store already there is used again.

        The repository is only read. Raises UsageError: not a repository, no commit, unknown commit.
        """
        source = discover(repo)
        sha = source.commit(commit)
        scratch.mkdir(parents=True, exist_ok=True)
        store = scratch.resolve() / f"{sha[:16]}.git"
        if not store.is_dir():
            _copy(source, sha, store)
        return cls(source, store, sha)

    # -- what the commit holds

    @cached_property
    def commit_date(self) -> datetime:
        seconds = int(self._git.line("log", "-1", "--format=%ct", self.commit))
        return datetime.fromtimestamp(seconds, UTC)

    @cached_property
    def name(self) -> str:
        """`owner/name` from the origin's URL, else the folder's name; never a credential or a host."""
        try:
            url = self._source.git.line("config", "--get", "remote.origin.url")
        except GitFailed:
            url = ""
        found = _REMOTE.search(url)
        folder = self.repo.parent if self.repo.name == ".git" else self.repo
        return found[1] if found else folder.resolve().name.removesuffix(".git")

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Every tracked path, links and submodules too, sorted."""
        entries = {}
        for line in self._git.run("ls-tree", "-r", "-l", "-z", "--full-tree", self.commit).split(b"\0"):
            if line:
                facts, _, path = line.partition(b"\t")
                mode, _, sha, size = facts.decode().split()
                entries[os.fsdecode(path)] = Entry(mode, sha, 0 if size == "-" else int(size))
        return dict(sorted(entries.items()))

    def paths(self) -> list[str]:
        """Tracked regular files."""
        return [path for path, entry in self.entries.items() if entry.mode in REGULAR]

    def blobs(self) -> dict[str, str]:
        """Blob id of every tracked regular file: the key of any cache of what was read from it."""
        return {path: entry.sha for path, entry in self.entries.items() if entry.mode in REGULAR}

    @property
    def submodules(self) -> list[str]:
        """Paths of submodules: empty folders in every copy."""
        return [path for path, entry in self.entries.items() if entry.mode == SUBMODULE]

    def read(self, path: str) -> bytes | None:
        """A tracked file, or the target of a tracked link; None where there is neither."""
        return next((data for _, data in self.read_many([path])), None)

    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Tracked files in the order asked for; others are skipped."""
        known = [(path, self.entries[path].sha) for path in paths if path in self.entries]
        return self._read_blobs([(path, sha) for path, sha in known if self.entries[path].mode != SUBMODULE])

    def _read_blobs(self, wanted: Sequence[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
        if not wanted:
            return
        with self._git.pipe("cat-file", "--batch") as (ask, answer):
            for path, sha in wanted:
                ask.write(sha.encode() + b"\n")
                ask.flush()
                header = answer.readline().split()
                if len(header) != 3 or header[1] != b"blob":
                    raise UsageError(f"{path} cannot be read from {self.repo}", "check it with: git fsck")
                yield path, answer.read(int(header[2]) + 1)[:-1]

    @property
    def dirty(self) -> bool:
        """Whether the user's tracked files differ from HEAD; such differences are not in this copy."""
        return bool(self.dirty_paths())

    def dirty_paths(self) -> list[str]:
        return dirty_paths(self._source)

    # -- into the sandbox

    def archive(self) -> Iterator[bytes]:
        """A tar of the tracked files (links as links, submodules as empty folders) with a pruned `.git`.

        Owner and group are 10001, times the commit's. `git status` is clean after its first refresh.
        """
        modes = {path: entry.mode for path, entry in self.entries.items()}
        contents = self.read_many(modes)
        with self._temporary_index(self.commit) as git:
            index = Path(git.env["GIT_INDEX_FILE"])
            yield from tar_of(modes, contents, self.store, index, int(self.commit_date.timestamp()))

    # -- patches

    def tree_with(self, changes: Changes) -> str:
        """The id of the base tree with `changes`, written byte for byte.

        Raises PatchRefused for an impossible path.
        """
        files = {path: state for path, state in changes.files.items() if not _in_git_dir(path)}
        impossible = [path for path in files if any(part in ("", ".", "..") for part in path.split("/"))]
        if impossible:  # git would only ignore them
            raise PatchRefused(f"the changes hold an impossible path: {impossible[0]!r}")
        shas = self._write_blobs([state.data for state in files.values()])
        zero = "0" * len(self.commit)
        lines = [f"0 {zero}\t{path}" for path in changes.deleted if path in self.entries]
        lines += [f"{s.mode} {sha}\t{path}" for (path, s), sha in zip(files.items(), shas, strict=True)]
        with self._temporary_index(self.commit) as git:
            entries = b"".join(os.fsencode(line) + b"\0" for line in lines)
            git.run("update-index", "--replace", "-z", "--index-info", stdin=entries)
            return git.line("write-tree")

    def diff(self, changes: Changes, *, ignore: Collection[str] = ()) -> str:
        """The patch text of `changes` against the base commit; see `patch`."""
        return self.patch(changes, ignore=ignore).text

    def patch(self, changes: Changes, *, ignore: Collection[str] = ()) -> Diff:
        """The diff of `changes` without the paths of `ignore`, litter, ignored new files, binary content."""
        litter = Litter(self.paths(), self.read)
        left_out: list[tuple[str, str]] = []
        files = {}
        for path, state in changes.files.items():
            reason = "" if path in self.entries else litter(path)
            if path in ignore or _in_git_dir(path):
                continue
            if reason:
                left_out.append((path, reason))
            else:
                files[path] = state
        deleted = [path for path in changes.deleted if path not in ignore]
        tree = self.tree_with(Changes(files, deleted))
        binary = self._binary(tree)
        if binary:
            left_out += [(path, "binary") for path in binary]
            kept = {path: state for path, state in files.items() if path not in binary}
            tree = self.tree_with(Changes(kept, [path for path in deleted if path not in binary]))
        text = self._diff_tree("-p", "--full-index", "--src-prefix=a/", "--dst-prefix=b/", tree=tree)
        return Diff(text.decode("utf-8", "surrogateescape"), tuple(left_out))

    def apply(self, diff_text: str) -> Changes:
        """What the diff makes of the base commit. Raises PatchRefused where it does not apply."""
        with self._temporary_index(self.commit) as git:
            try:
                git.run("apply", "--cached", "--whitespace=nowarn", "-", stdin=encode_diff(diff_text))
            except GitFailed as error:
                raise PatchRefused(f"the patch does not apply: {error.stderr}") from error
            tree = git.line("write-tree")
        return self._changes_to(tree)

    def _changes_to(self, tree: str) -> Changes:
        fields = self._diff_tree("--raw", "-r", "-z", tree=tree).split(b"\0")
        modes: dict[str, str] = {}
        shas: list[tuple[str, str]] = []
        deleted = []
        for facts, name in zip(fields[::2], fields[1::2], strict=False):
            _, mode, _, sha, status = facts.decode().split()
            path = os.fsdecode(name)
            if status == "D":
                deleted.append(path)
            elif mode != SUBMODULE:
                modes[path] = mode
                shas.append((path, sha))
        return Changes(
            {path: FileState(data, modes[path]) for path, data in self._read_blobs(shas)}, tuple(deleted)
        )

    def _binary(self, tree: str) -> set[str]:
        lines = self._diff_tree("--numstat", "-r", "-z", tree=tree).split(b"\0")
        return {os.fsdecode(line.split(b"\t", 2)[2]) for line in lines if line.startswith(b"-\t-\t")}

    def _diff_tree(self, *options: str, tree: str) -> bytes:
        plain = ("--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        return self._git.run("diff-tree", *plain, *options, f"{self.commit}^{{tree}}", tree)

    def _write_blobs(self, contents: Sequence[bytes]) -> list[str]:
        if not contents:
            return []
        with tempfile.TemporaryDirectory(dir=self.store.parent, prefix="blobs-") as folder:
            files = [Path(folder, str(number)) for number in range(len(contents))]
            for file, data in zip(files, contents, strict=True):
                file.write_bytes(data)
            names = "".join(f"{file}\n" for file in files).encode()
            shas = self._git.run("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=names)
            return shas.decode().split()

    @contextmanager
    def _temporary_index(self, tree: str) -> Iterator[Git]:
        with tempfile.TemporaryDirectory(dir=self.store.parent, prefix="index-") as folder:
            git = self._git.with_env(GIT_INDEX_FILE=str(Path(folder, "index")))
            git.run("read-tree", tree)
            yield git


def _in_git_dir(path: str) -> bool:
    return any(part.lower() == ".git" for part in path.split("/"))


def _copy(source: Source, sha: str, store: Path) -> None:
    """Stream `sha` and its ancestors into a new bare store, which appears at `store` only when complete."""
    with tempfile.TemporaryDirectory(dir=store.parent, prefix="store-") as folder:
        new = Path(folder, "git")
        git = Git(Path(folder), new)
        start = ["init", "--bare", "--quiet", "--template=", "--initial-branch=main"]
        Git(Path(folder)).run(*start, f"--object-format={source.object_format}", str(new))
        if source.shallow.is_file():
            commits = set(source.git.line("rev-list", sha).split())
            ends = [line for line in source.shallow.read_text().split() if line in commits]
            if ends:
                (new / "shallow").write_text("".join(f"{end}\n" for end in ends))
        _stream_objects(source, git, sha)
        git.run("update-ref", "refs/heads/main", sha)
        try:
            new.rename(store)
        except OSError:
            if not store.is_dir():  # else another process was quicker, with the same content
                raise


def _stream_objects(source: Source, git: Git, sha: str) -> None:
    pack = source.git.command("pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset")
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            pack,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=source.git.cwd,
            env=environment(),
        ) as sender,
    ):
        assert sender.stdin is not None
        with suppress(BrokenPipeError):  # it ended at once; what it said is told below
            sender.stdin.write(f"{sha}\n".encode())
            sender.stdin.close()
        receiver = subprocess.run(
            git.command("index-pack", "--stdin"),
            stdin=sender.stdout,
            capture_output=True,
            cwd=git.cwd,
            env=environment(),
        )
        assert sender.stdout is not None
        sender.stdout.close()
        if sender.wait() or receiver.returncode:
            errors.seek(0)
            said = (errors.read() + receiver.stderr).decode(errors="replace").strip()
            fetch = f"git -C {shlex.quote(str(source.folder))} fetch --refetch --no-filter"
            raise UsageError(
                f"{source.folder} misses objects of its own history: {said}",
                f"a partial clone is completed by: {fetch}",
            )
