"""What was learnt about a model's abilities, kept in `probe.json` of the cache for a month."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

_KEEP = datetime.timedelta(days=30)


class Probe:
    """`native` is False when the model is known to refuse tools, None when nothing is known."""

    def __init__(self, cache_dir: Path | None, key: str) -> None:
        self._path = cache_dir / "probe.json" if cache_dir else None
        self._key = key
        self.native: bool | None = self._known()

    def remember(self, *, native: bool) -> None:
        """Keep it; a cache that cannot be written costs one refused request per run, no more."""
        self.native = native
        if self._path is None:
            return
        entries = self._entries()
        entries[self._key] = {"native": native, "date": _today().isoformat()}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            temporary.write_text(json.dumps(entries, indent=1), encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            pass

    def _known(self) -> bool | None:
        entry: Any = self._entries().get(self._key)
        try:
            fresh = _today() - datetime.date.fromisoformat(entry["date"]) < _KEEP
            return bool(entry["native"]) if fresh else None
        except (TypeError, KeyError, ValueError):
            return None

    def _entries(self) -> dict[str, Any]:
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8")) if self._path else {}
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
