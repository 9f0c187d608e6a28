"""Runs on disk: events, checkpoint, result and patch of each repair; kill -9 loses nothing written."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentmem.durable import explained, make_private, open_private, replace_file, unusable, write_all
from agentmem.errors import UsageError
from agentmem.redact import Redactor

Event = dict[str, Any]
Listener = Callable[[Event], None]

_BLOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LOCK_PATIENCE = 0.5  # seconds; a listing holds the lock for an instant


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in one line. `status` is running, finished, interrupted (can be resumed) or broken.

    `cost` is in US dollars, None when unknown; `created` is UTC in ISO form.
    """

    id: str
    status: str
    created: str
    repo: str
    title: str
    model: str
    outcome: str
    evidence: str
    steps: int
    tokens: int
    cost: float | None


class RunReader:
    """A run as it stands on disk; reading needs no lock and changes nothing."""

    def __init__(self, directory: Path) -> None:
        self.dir = directory
        self.id = directory.name

    @property
    def patch_path(self) -> Path:
        return self.dir / "patch.diff"

    @property
    def request(self) -> dict[str, Any]:
        """What the run was asked for. Raises UsageError when the run was killed before that was written."""
        for event in self.events():
            return dict(event["request"])
        raise UsageError(f"run {self.id} was killed before it began", f"agentmem runs rm {self.id}")

    def events(self) -> Iterator[Event]:
        """The events in order, up to a line that was torn by a kill."""
        for event, _ in _lines(self.dir / "events.jsonl"):
            yield event

    def load_checkpoint(self) -> dict[str, Any] | None:
        return self._json("checkpoint.json")

    def load_result(self) -> dict[str, Any] | None:
        return self._json("result.json")

    def load_blob(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        return (self.dir / "blobs" / _blob_name(name)).read_bytes()

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            loaded = json.loads((self.dir / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            mend = f"agentmem runs rm {self.id}"
            raise UsageError(f"{self.dir / name} cannot be read: {error}", mend) from None
        return dict(loaded)


class Run(RunReader):
    """A live run. Holds the run's lock until `close`; safe to use from several threads.

    Everything written but blobs passes `redactor`; patch and checkpoint lose known values only, since a text
    of the repository that merely looks like a key must stay for the patch to apply. Writing raises
    AgentmemError when the disk is full or the directory cannot be written.
    """

    def __init__(self, directory: Path, redactor: Redactor | None = None) -> None:
        """Use `create` or `open`."""
        super().__init__(directory)
        self.redactor = redactor or Redactor.from_environment(os.environ)
        self._listeners: list[Listener] = []
        self._writing = threading.Lock()
        self._lock = _take_lock(directory)
        try:
            self._seq, self._size = _cut_torn_tail(directory / "events.jsonl")
            self._events = open_private(directory / "events.jsonl", os.O_APPEND)
        except BaseException:
            os.close(self._lock)
            raise

    @classmethod
    def create(cls, home: Path, request: Mapping[str, Any], redactor: Redactor | None = None) -> Run:
        """A new run; `request` is its first event."""
        directory = _new_directory(home)
        run = cls(directory, redactor)
        run.emit("created", request=dict(request))
        return run

    @classmethod
    def open(cls, home: Path, run_id: str, redactor: Redactor | None = None) -> Run:
        """Continue a run, named by its id, a unique beginning of it, or `latest`.

        Raises UsageError when there is no such run or another process holds it.
        """
        return cls(find_run(home, run_id), redactor)

    def listen(self, listener: Listener) -> None:
        """`listener` is called with each event after it is on disk."""
        self._listeners.append(listener)

    def emit(self, kind: str, /, **data: Any) -> Event:
        """Append one event; it is on disk when this returns. `seq`, `ts` and `kind` are not for `data`."""
        with self._writing:
            head = {"seq": self._seq, "ts": _now(), "kind": kind}
            event: Event = {**self.redactor.data(data), **head}
            line = json.dumps(event, default=str).encode() + b"\n"
            with explained(self.dir):
                try:
                    write_all(self._events, line)
                    os.fsync(self._events)
                    self._seq, self._size = self._seq + 1, self._size + len(line)
                except BaseException:
                    # A full disk or Ctrl-C may leave half a line; the next one must not be glued to it.
                    os.ftruncate(self._events, self._size)
                    raise
            for listener in self._listeners:
                listener(event)
        return event

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint as a whole; a kill leaves the old one or the new one."""
        # A text that only looks like a key stays, or a resumed run would ask and patch something else.
        self._save_json("checkpoint.json", state, self.redactor.known)

    def save_result(self, result: Mapping[str, Any]) -> None:
        self._save_json("result.json", result, self.redactor.text)

    def save_patch(self, text: str) -> Path:
        with explained(self.dir):
            replace_file(self.patch_path, self.redactor.known(text).encode("utf-8", "surrogateescape"))
        return self.patch_path

    def save_blob(self, name: str, data: bytes) -> None:
        """Keep bytes for a resume, exactly as they are. A name is letters, digits, `_`, `.` and `-`."""
        with explained(self.dir):
            make_private(self.dir / "blobs")
            replace_file(self.dir / "blobs" / _blob_name(name), data)

    def prune_blobs(self, keep: Callable[[str], bool]) -> None:
        """Remove the blobs whose name `keep` answers with False."""
        if (self.dir / "blobs").is_dir():
            for path in (self.dir / "blobs").iterdir():
                if not keep(path.name):
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give up the lock. Safe to call twice."""
        if self._lock >= 0:
            os.close(self._events)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _save_json(self, name: str, value: Mapping[str, Any], clean: Callable[[str], str]) -> None:
        with self._writing, explained(self.dir):
            data = json.dumps(self.redactor.data(value, clean), default=str, indent=1)
            replace_file(self.dir / name, data.encode())


def find_run(home: Path, run_id: str) -> Path:
    """The directory of a run named by its id, a unique beginning of it, or `latest`; else UsageError."""
    known = _ids(home)
    if run_id == "latest":
        found = known[-1:]
    else:
        found = (
            [run_id] if run_id in known else [name for name in known if run_id and name.startswith(run_id)]
        )
    if len(found) == 1:
        return home / "runs" / found[0]
    if not known:
        raise UsageError(
            f"there are no runs in {home}", "Start one with `agentmem fix`, or set AGENTMEM_HOME."
        )
    if found:
        raise UsageError(f"`{run_id}` begins more than one run", f"One of: {', '.join(found[-5:])}")
    raise UsageError(f"there is no run `{run_id}`", "See `agentmem runs list`.")


def read_run(home: Path, run_id: str) -> RunReader:
    """A run for reading, named as in `find_run`, also while it is live."""
    return RunReader(find_run(home, run_id))


def list_runs(home: Path) -> list[RunSummary]:
    """All runs, the newest first."""
    return [summarise(RunReader(home / "runs" / name)) for name in reversed(_ids(home))]


def remove_run(home: Path, run_id: str) -> str:
    """Delete a run that is not live; returns its id. Raises UsageError."""
    directory = find_run(home, run_id)
    lock = _take_lock(directory)
    try:
        with explained(directory):
            shutil.rmtree(directory)
    finally:
        os.close(lock)
    return directory.name


def summarise(run: RunReader) -> RunSummary:
    """One line about a run, whatever state it is in."""
    started: Event = {}
    ended: Event = {}
    spent: dict[str, Any] = {}
    first: Event | None = None
    for event in run.events():
        first = first or event
        kind = event["kind"]
        if kind == "run_started":
            started = started or event
            ended = {}  # resumed
        elif kind == "step":
            spent = event.get("spent") or spent
        elif kind == "run_finished":
            ended = event
    if is_live(run.dir):
        status = "running"
    elif first is None:
        status = "broken"
    else:
        status = "finished" if ended else "interrupted"
    asked = first.get("request", {}) if first else {}
    return RunSummary(
        id=run.id,
        status=status,
        created=str(first["ts"]) if first else "",
        repo=str(started.get("repo") or asked.get("repo") or ""),
        title=str(started.get("issue_title") or ""),
        model=str(started.get("model") or asked.get("model") or ""),
        outcome=str(ended.get("outcome") or ""),
        evidence=str(ended.get("evidence") or ""),
        steps=int(spent.get("steps") or 0),
        tokens=int(spent.get("tokens") or 0),
        cost=spent.get("cost"),
    )


def is_live(directory: Path) -> bool:
    """Whether a process holds the run's lock."""
    try:
        lock = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _ids(home: Path) -> list[str]:
    try:
        return sorted(path.name for path in (home / "runs").iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unusable(home, error) from None


def _new_directory(home: Path) -> Path:
    with explained(home):
        make_private(home)
        make_private(home / "runs")
        while True:
            name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
            with contextlib.suppress(FileExistsError):
                (home / "runs" / name).mkdir(mode=0o700)
                return home / "runs" / name


def _take_lock(directory: Path) -> int:
    # flock, not lockf: a POSIX lock would be lost as soon as any reader in this process closes the file.
    with explained(directory):
        lock = open_private(directory / "lock")
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            holder = os.pread(lock, 20, 0).decode() or "unknown"
            os.close(lock)
            mend = "Wait for it, or end that process."
            raise UsageError(f"run {directory.name} is in use by process {holder}", mend) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _lines(path: Path) -> Iterator[tuple[Event, int]]:
    """Each whole event and the size of the file up to its end."""
    end = 0
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    event = json.loads(line)
                except ValueError:
                    return
                if not line.endswith(b"\n") or not isinstance(event, dict):
                    return
                end += len(line)
                yield event, end
    except FileNotFoundError:
        return


def _cut_torn_tail(path: Path) -> tuple[int, int]:
    """Cut what follows the last whole event; returns the next sequence number and the file's size."""
    seq, end = 0, 0
    for event, size in _lines(path):
        seq, end = int(event["seq"]) + 1, size
    if path.exists() and path.stat().st_size > end:
        with explained(path.parent):
            os.truncate(path, end)
    return seq, end


def _blob_name(name: str) -> str:
    if not _BLOB_NAME.fullmatch(name):
        raise ValueError(f"not a blob name: {name!r}")
    return name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
