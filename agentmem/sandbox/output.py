"""The output of a command, capped while it streams: its head and its tail stay, the middle is counted."""

from __future__ import annotations


class Capped:
    """Takes bytes as they come and never holds more than `limit` of them (and one chunk)."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def feed(self, chunk: bytes) -> None:
        self.total += len(chunk)
        room = self._half - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._tail += chunk
        # Trimmed only now and then: cutting on every chunk would copy the tail each time.
        if len(self._tail) > 2 * self._half:
            del self._tail[: len(self._tail) - self._half]

    @property
    def left_out(self) -> int:
        """Bytes missing between head and tail."""
        return self.total - len(self._head) - min(len(self._tail), self._half)

    def text(self) -> str:
        """What was kept, as text; bytes that are not UTF-8 become U+FFFD."""
        tail = self._tail[-self._half :]
        if not self.left_out:
            return (self._head + tail).decode("utf-8", "replace")
        marker = f"\n[... {self.left_out} bytes left out ...]\n"
        return self._head.decode("utf-8", "replace") + marker + tail.decode("utf-8", "replace")
