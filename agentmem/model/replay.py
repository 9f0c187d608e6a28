"""Recordings (docs/recordings.md): `Recorder` writes replies, `replay:FILE` serves them by lane."""

from __future__ import annotations

import difflib
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import agentmem
from agentmem.errors import ConfigError, ProviderError
from agentmem.model.base import Lane, Message, Model, Reply, ToolCall, ToolSpec, Usage
from agentmem.model.canonical import digest, lane_data, lane_of, plain_text, tools_digest
from agentmem.model.options import ModelOptions

SCHEMA_VERSION = 1
_LAST_CHARS = 6000  # of the last message are kept, so that drift can be shown
_DIFF_LINES = 12


class Recorder:
    """A model that appends every reply of another to `path` (JSON lines), as it comes.

    `versions` (prompts, policy, memory, ...) goes to the header. `redact` is applied to each line.
    A resumed run appends; the later line of a lane wins.
    """

    def __init__(
        self,
        model: Model,
        path: Path,
        versions: Mapping[str, str],
        redact: Callable[[str], str] = lambda text: text,
    ) -> None:
        if path.suffix == ".gz":
            raise ConfigError(f"{path} cannot be recorded compressed.", "Record to FILE.jsonl, then gzip it.")
        self.name, self.window = model.name, model.window
        self._model, self._redact, self._path = model, redact, path
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(path)
        if not path.exists() or path.stat().st_size == 0:
            header = {
                "agentmem": agentmem.__version__,
                "model": model.name,
                "window": model.window,
                **versions,
            }
            self._append({"schema_version": SCHEMA_VERSION, "recording": header})

    def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        lane: Lane,
        temperature: float,
        max_tokens: int,
    ) -> Reply:
        # Before the call, since the caller's list may grow while the model thinks.
        request = fingerprint(messages, tools)
        reply = self._model.complete(
            messages, tools, lane=lane, temperature=temperature, max_tokens=max_tokens
        )
        self._append(
            {
                "schema_version": SCHEMA_VERSION,
                "lane": lane_data(lane),
                "request": request,
                "reply": reply_data(reply),
            }
        )
        return reply

    def close(self) -> None:
        self._model.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(self._redact(json.dumps(line, ensure_ascii=False)) + "\n")


class ReplayModel:
    """Serves a recording by lane. `drifted` lists the lanes whose request was not the recorded one.

    Strict, a drifted request is a ProviderError; a lane that was not recorded always is.
    `recorded` is the header: the versions of agentmem, prompts, policy and memory, and the model's name.
    """

    def __init__(self, path: Path, strict: bool, options: ModelOptions) -> None:
        self.name = f"replay:{path}"
        self.recorded, self._lines = _load(path)
        self.window: int | None = self.recorded.get("window")
        self.drifted: list[str] = []
        self._path, self._strict, self._options = path, strict, options
        self._served = 0

    def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        lane: Lane,
        temperature: float,  # noqa: ARG002 - sampling settings are not part of a recording
        max_tokens: int,  # noqa: ARG002
    ) -> Reply:
        line = self._lines.get(lane)
        if line is None:
            raise ProviderError(
                f"The recording {self._path.name} has no reply for {lane}.",
                "The run took another way than the recorded one; record it again (--record FILE).",
            )
        self._served += 1
        drift = _difference(line["request"], messages, tools)
        if drift and self._strict:
            raise ProviderError(
                f"The request of {lane} is not the recorded one: {drift}",
                f"Record it again, or replay it by lane: --model 'replay:{self._path}?drift=report'",
            )
        if drift:
            self.drifted.append(str(lane))
        return _reply(line["reply"])

    def close(self) -> None:
        if self.drifted and self._served:
            count = f"{len(self.drifted)} of {self._served}"
            self._options.on_notice(f"replay: {count} prompts are not as they were when recorded")
        self._served = 0  # told once


def open_replay(target: str, options: ModelOptions) -> ReplayModel:
    """The model `replay:FILE` or `replay:FILE?drift=report`. Raises ConfigError when it cannot be read."""
    file, _, query = target.partition("?")
    if query not in ("", "drift=report", "drift=strict"):
        raise ConfigError(
            f"replay: does not know {query!r}.", "Write replay:FILE or replay:FILE?drift=report"
        )
    return ReplayModel(Path(file).expanduser(), query != "drift=report", options)


def fingerprint(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """What a recording keeps of a request: one hash per message and for the tools, and the last message."""
    texts = [plain_text(message) for message in messages]
    hashes = [digest(text) for text in texts]
    named = tools_digest(tools)
    return {
        "sha256": digest("\n".join([*hashes, named])),
        "messages": hashes,
        "tools": named,
        "last": texts[-1][-_LAST_CHARS:] if texts else "",
    }


def reply_data(reply: Reply) -> dict[str, Any]:
    """A reply as JSON; the inverse of `reply_of`. Public, since a run's checkpoint keeps replies too."""
    data = asdict(reply)
    data["calls"] = [{**asdict(call), "arguments": dict(call.arguments)} for call in reply.calls]
    del data["replayed"]
    return data


def reply_of(data: Mapping[str, Any], *, replayed: bool) -> Reply:
    """A reply from JSON. Raises KeyError or TypeError when it is none."""
    fields = dict(data)
    fields["calls"] = tuple(ToolCall(**call) for call in data["calls"])
    fields["usage"] = Usage(**data["usage"])
    return Reply(**fields, replayed=replayed)


def _reply(data: Mapping[str, Any]) -> Reply:
    return reply_of(data, replayed=True)


def _difference(recorded: Mapping[str, Any], messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    now = fingerprint(messages, tools)
    if now["sha256"] == recorded["sha256"]:
        return ""
    if now["messages"] == recorded["messages"]:
        return "the tools changed."
    first = next(
        (n for n, (a, b) in enumerate(zip(recorded["messages"], now["messages"], strict=False)) if a != b),
        min(len(recorded["messages"]), len(now["messages"])),
    )
    where = f"message {first + 1} of {len(now['messages'])} (recorded: {len(recorded['messages'])}) differs."
    lines = difflib.unified_diff(
        recorded["last"].splitlines(), now["last"].splitlines(), "recorded", "asked", n=1, lineterm=""
    )
    diff = list(lines)
    more = [f"... {len(diff) - _DIFF_LINES} more lines"] if len(diff) > _DIFF_LINES else []
    if not diff:
        return where + " The last message is the same."
    return "\n".join([where + " The last message:", *diff[:_DIFF_LINES], *more])


def _load(path: Path) -> tuple[dict[str, Any], dict[Lane, Mapping[str, Any]]]:
    """The header and the lines by lane; of two lines of one lane the later."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as file
        ):
            rows = [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        raise ConfigError(f"There is no recording {str(path)!r}.", "Record one: --record FILE") from None
    except (OSError, EOFError, ValueError) as error:
        raise ConfigError(f"The recording {str(path)!r} cannot be read: {error}") from None
    header: dict[str, Any] = {}
    lines: dict[Lane, Mapping[str, Any]] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or row.get("schema_version") != SCHEMA_VERSION:
            raise ConfigError(
                f"Line {number} of {str(path)!r} is no recording of schema version {SCHEMA_VERSION}.",
                "Use the agentmem that wrote it, or record it again.",
            )
        if "recording" in row:
            header = header or row["recording"]
            continue
        try:
            reply_of(row["reply"], replayed=True)
            lines[lane_of(row["lane"])] = row
        except (KeyError, TypeError) as error:
            raise ConfigError(f"Line {number} of {str(path)!r} is damaged: {error!r}.") from None
    return header, lines


def _drop_torn_line(path: Path) -> None:
    """Cut a last line without its end: a killed run may leave one."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
