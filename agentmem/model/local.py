"""`local:PATH.gguf`: a llama.cpp model in this process, under a grammar, with its prefix cache kept."""

from __future__ import annotations

import atexit
import importlib.util
import os
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentmem.errors import ConfigError, ProviderError
from agentmem.model.base import Lane, Message, Reply, ToolSpec, Usage
from agentmem.model.canonical import assistant_message
from agentmem.model.grammar import grammar
from agentmem.model.options import ModelOptions
from agentmem.model.protocol import parse, render

_SILENT = -1  # llama.cpp's verbosity: its log goes to the terminal otherwise
_STOP_WAIT = 30.0  # seconds that close() gives a running request; progress is reported per batch of tokens
_UNSTOPPABLE: list[Any] = []  # servers still busy at close; destroying one under its thread would crash


def open_local(target: str, options: ModelOptions) -> LocalModel:
    """The model `local:<target>`. Raises ConfigError when the file or the extra is missing."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError("local: models need the xllamacpp package.", "pip install 'agentmem[local]'")
    path = Path(target).expanduser()
    if not path.is_file():
        raise ConfigError(f"There is no model file {target!r}.", "Name a .gguf file: --model local:PATH.gguf")
    return LocalModel(path, options.local_context, options)


class LocalModel:
    """Loads its file at the first call. One request at a time; a reply at temperature 0 is repeatable."""

    def __init__(self, path: Path, window: int, options: ModelOptions) -> None:
        self.name = f"local:{path}"
        self.window: int | None = window
        self._path, self._context, self._options = path, window, options
        self._server: Any = None
        self._running: _Request | None = None
        self._lock = threading.Lock()

    def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        lane: Lane,
        temperature: float,
        max_tokens: int,
    ) -> Reply:
        began = time.monotonic()
        body: dict[str, Any] = {
            "messages": render(messages, tools),
            "temperature": temperature,
            "max_tokens": max_tokens,
            "seed": self._options.seed,
            "cache_prompt": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,
        }
        if tools:
            body["grammar"] = grammar(tools)
        with self._lock:
            text, stop, usage = self._ask(body)
        parsed = parse(text, tools, str(lane), cut=stop == "length")
        return Reply(
            text=parsed.text,
            calls=parsed.calls,
            usage=usage,
            cost=0.0,
            stop="tool_calls" if parsed.calls and stop == "stop" else stop,
            message=assistant_message(text, parsed.calls),
            seconds=time.monotonic() - began,
        )

    def close(self) -> None:
        """Stop a running request and free the model. Safe to call twice."""
        atexit.unregister(self.close)
        server, self._server = self._server, None
        running, self._running = self._running, None
        if running is not None and not running.stop(_STOP_WAIT):
            _UNSTOPPABLE.append(server)

    def _ask(self, body: dict[str, Any]) -> tuple[str, str, Usage]:
        self._load()
        # In a thread of its own, since Ctrl-C could not break off a call into C++ here.
        request = self._running = _Request(self._server, body)
        try:
            request.done.wait()
        except BaseException:
            request.stopping = True
            raise
        self._running = None
        if request.error:
            raise _error(self._path, self._context, request.error)
        return request.result()

    def _load(self) -> None:
        if self._server is not None:
            if self._running is not None and not self._running.stop(_STOP_WAIT):
                raise ProviderError("The local model is still busy with a request that was broken off.")
            return
        import xllamacpp

        self._options.on_notice(f"Loading {self._path.name} ({self._context} tokens of context)")
        params = xllamacpp.CommonParams()
        params.model.path = str(self._path)
        params.n_ctx = self._context
        params.n_parallel = 1  # one slot: every call finds the prefix of the call before
        params.n_batch = 512
        params.ctx_shift = False
        params.warmup = False
        params.offline = True
        params.verbosity = _SILENT
        threads = self._options.local_threads or _default_threads()
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        # The package also opens a port on the loopback device; nobody else may use it.
        params.api_keys = [secrets.token_hex(16)]
        try:
            self._server = xllamacpp.Server(params)
        except (RuntimeError, ValueError) as error:
            mend = "Is it a complete GGUF file, and is there memory for it?"
            raise ConfigError(f"{self._path} cannot be loaded: {error}", mend) from error
        atexit.register(self.close)


class _Request:
    """A streamed request on its own thread; `stop` breaks it off at the next piece."""

    def __init__(self, server: Any, body: dict[str, Any]) -> None:
        self.done = threading.Event()
        self.stopping = False
        self.error: dict[str, Any] = {}
        self._pieces: list[str] = []
        self._stop_reason = "stop"
        self._usage = Usage()
        self._thread = threading.Thread(target=self._run, args=(server, body), daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        self.stopping = True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self) -> tuple[str, str, Usage]:
        return "".join(self._pieces), self._stop_reason, self._usage

    def _run(self, server: Any, body: dict[str, Any]) -> None:
        try:
            server.handle_chat_completions(body, self._take)
        except Exception as error:
            self.error = {"message": str(error)}
        finally:
            self.done.set()

    def _take(self, chunk: dict[str, Any]) -> bool:
        """One piece of the stream; True breaks the request off."""
        if "error" in chunk or "choices" not in chunk:
            self.error = chunk.get("error", chunk)
            return True
        for choice in chunk["choices"]:
            self._pieces.append(choice["delta"].get("content") or "")
            self._stop_reason = choice["finish_reason"] or self._stop_reason
        if usage := chunk.get("usage"):
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
            self._usage = Usage(usage["prompt_tokens"], usage["completion_tokens"], cached)
        return self.stopping


def _error(path: Path, context: int, error: dict[str, Any]) -> ProviderError:
    if error.get("type") == "exceed_context_size_error":
        return ProviderError(
            f"The prompt of {error.get('n_prompt_tokens')} tokens does not fit into the {context} tokens of "
            f"context of {path.name}.",
            "Set local_context (AGENTMEM_LOCAL_CONTEXT) higher (as far as the model and the memory allow).",
        )
    return ProviderError(f"{path.name} failed: {error.get('message', error)}")


def _default_threads() -> int:
    """One core is left free: llama.cpp's threads wait for each other by spinning, so that a single other
    busy process made two threads on two cores nine times slower (24 to 2.7 tokens/s; one thread: 17).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)
