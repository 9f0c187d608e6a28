"""How a run looks while it goes on: lines as events come, and on a terminal one live line of status."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from agentmem.cli.story import count, money, one_line, tell

if TYPE_CHECKING:
    from rich.text import Text

    from agentmem.runs import Event, Listener


@contextlib.contextmanager
def display(stream: TextIO | None = None) -> Iterator[Listener]:
    """A listener for `Run.listen` that shows a run on `stream` (standard error) until the block ends."""
    stream = stream or sys.stderr
    if not is_live(stream):
        yield lambda event: _print(stream, event)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    status = Status()

    def listen(event: Event) -> None:
        status.update(event)
        for line in tell(event):
            console.print(Text(line, style=_style(event)))

    # Standard output belongs to the result; rich would send it to standard error.
    with Live(
        get_renderable=status.render,
        console=console,
        transient=True,
        redirect_stdout=False,
        refresh_per_second=4,
    ):
        yield listen


def is_live(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can redraw a line, and the user did not ask for plain text."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("dumb", "")
    return not plain and stream.isatty()


class Status:
    """The live line: stage, step, tokens, cost, elapsed time."""

    def __init__(self) -> None:
        self._stage = "starting"
        self._detail = ""
        self._limits: Mapping[str, Any] = {}
        self._spent: Mapping[str, Any] = {}
        self._before = 0.0  # seconds of earlier processes, for a run that was resumed
        self._start = time.monotonic()

    def update(self, event: Event) -> None:
        match event["kind"]:
            case "run_started":
                self._limits = event.get("limits") or {}
            case "stage":
                self._stage, self._detail = str(event["name"]), str(event.get("detail") or "")
            case "attempt":
                round_ = event.get("round") or 0
                self._detail = f"round {round_ + 1}" if round_ else ""
            case "setup_output":
                self._detail = str(event["text"])
            case "step":
                if not self._spent:
                    elapsed = time.monotonic() - self._start
                    self._before = max(0.0, float((event.get("spent") or {}).get("seconds") or 0) - elapsed)
                self._spent = event.get("spent") or {}

    def render(self) -> Text:
        from rich.text import Text

        elapsed = int(self._before + time.monotonic() - self._start)
        spent, limits = self._spent, self._limits
        frame = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(time.monotonic() * 4) % 10]
        parts = [
            f"step {spent.get('steps', 0)}/{limits.get('max_steps', '-')}",
            f"{count(spent.get('tokens', 0))} tokens",
            money(spent.get("cost")) if spent else "$0",
            f"{elapsed // 60}:{elapsed % 60:02d}",
        ]
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{frame} {one_line(self._stage)}", style="bold cyan")
        text.append(f"  {' · '.join(parts)}")
        if self._detail:
            text.append(f"  {one_line(self._detail)}", style="dim")
        return text


def _print(stream: TextIO, event: Event) -> None:
    with contextlib.suppress(OSError, ValueError):  # whoever read the progress is gone; the run goes on
        for line in tell(event):
            print(line, file=stream, flush=True)


def _style(event: Event) -> str:
    match event["kind"]:
        case "stage":
            return "bold"
        case "notice":
            return "yellow"
        case "reproducer":
            return "green" if event.get("accepted") else "yellow"
        case "validation":
            return "green" if event.get("verdict") == "verified" else "yellow"
        case "run_finished":
            return "bold green" if event.get("exit_code") == 0 else "bold yellow"
        case "run_stopped":
            return "bold red"
    return ""
