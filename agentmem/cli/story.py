"""An event of a run as lines for a person. Every text in it may be hostile and is made harmless."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentmem.text import printable

WIDEST = 160  # characters of one line of foreign text


def tell(event: Mapping[str, Any]) -> list[str]:
    """The lines that show an event; an event of no interest to a reader has none."""
    teller = _TELLERS.get(str(event.get("kind")))
    return teller(event) if teller else []


def one_line(text: object, width: int = WIDEST) -> str:
    """Foreign text on one line, without what a terminal could be fooled by."""
    line = " ".join(printable(str(text)).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def count(number: object) -> str:
    """`1234567` as `1,234,567`."""
    return f"{number:,}" if isinstance(number, int) else str(number)


def money(cost: object) -> str:
    """US dollars; unknown prices say so."""
    return f"${cost:.2f}" if isinstance(cost, int | float) else "cost unknown"


def _started(event: Mapping[str, Any]) -> list[str]:
    limits = event.get("limits") or {}
    verb = "resumes" if event.get("resumed") else "begins"
    where = f"{one_line(event.get('repo', ''))} at {one_line(event.get('commit', ''))[:12]}"
    limit = [
        f"{count(limits.get('max_steps'))} steps",
        f"{count(limits.get('max_tokens'))} tokens",
        money(limits.get("max_cost")),
        f"{limits.get('timeout', 0):.0f} s",
    ]
    sandbox = event.get("sandbox") or ""
    if isinstance(sandbox, Mapping):
        sandbox = ", ".join(f"{key} {value}" for key, value in sandbox.items())
    return [
        f"run {event.get('run_id')} {verb}: {where}",
        f"  issue    {one_line(event.get('issue_title', ''))}",
        f"  model    {one_line(event.get('model', ''))}",
        f"  sandbox  {one_line(sandbox)}",
        f"  limits   {', '.join(limit)}",
    ]


def _stage(event: Mapping[str, Any]) -> list[str]:
    detail = one_line(event.get("detail") or "")
    return [f"{event.get('name')}: {detail}" if detail else f"{event.get('name')}"]


def _located(event: Mapping[str, Any]) -> list[str]:
    hits = event.get("hits") or []
    return [f"  {one_line(hit.get('path', ''))} {one_line(hit.get('symbol') or '')}" for hit in hits[:3]]


def _environment(event: Mapping[str, Any]) -> list[str]:
    facts = event.get("facts") or {}
    return [f"  {one_line(key, 12):12} {one_line(value)}" for key, value in facts.items()]


def _attempt(event: Mapping[str, Any]) -> list[str]:
    if event.get("resumed"):
        return [f"  {event.get('role')} goes on where it stopped"]
    return [f"  {event.get('role')}, round {event['round'] + 1}"] if event.get("round") else []


def _step(event: Mapping[str, Any]) -> list[str]:
    usage, spent = event.get("usage") or {}, event.get("spent") or {}
    numbers = f"{count(usage.get('prompt', 0))}+{count(usage.get('completion', 0))} tokens"
    head = f"  {spent.get('steps', event.get('turn'))}"
    lines = []
    for call in event.get("tool_calls") or []:
        summary = one_line(call.get("summary") or "", 100)
        mark = "" if call.get("ok") else "  ✗"
        problem = f" {one_line(call['problem'], 80)}" if call.get("problem") else ""
        lines.append(f"{head:>5} {one_line(call.get('name', ''), 20)} {summary}{mark}{problem}")
        head = ""
    return [f"{line}  ({numbers})" if not n else line for n, line in enumerate(lines)] or [
        f"{head:>5} (no tool call)  ({numbers})"
    ]


def _notice(event: Mapping[str, Any]) -> list[str]:
    return [f"note: {one_line(event.get('text', ''), 400)}"]


def _reproducer(event: Mapping[str, Any]) -> list[str]:
    verdict = "accepted" if event.get("accepted") else "not accepted"
    return [f"  reproducer {verdict}: {one_line(event.get('reason', ''))}"]


def _validation(event: Mapping[str, Any]) -> list[str]:
    tests = event.get("tests") or {}
    lines = [f"  patch {event.get('verdict')}, evidence {event.get('evidence')}"]
    if isinstance(tests, Mapping) and tests.get("files"):
        before, after = tests.get("passed_before", 0), tests.get("passed_after", 0)
        lines.append(f"    {len(tests['files'])} relevant test files: {before} passed before, {after} after")
    return [*lines, *(f"    {one_line(reason)}" for reason in event.get("reasons") or [])]


def _finished(event: Mapping[str, Any]) -> list[str]:
    spent = event.get("spent") or {}
    evidence = f", evidence {event['evidence']}" if event.get("evidence") else ""
    limit = f" ({one_line(event['limit'])})" if event.get("limit") else ""
    return [
        f"{event.get('outcome')}{evidence}{limit}",
        f"  {count(spent.get('steps', 0))} steps, {count(spent.get('tokens', 0))} tokens, "
        f"{money(spent.get('cost'))}, {spent.get('seconds', 0):.0f} s",
    ]


def _stopped(event: Mapping[str, Any]) -> list[str]:
    return [f"stopped: {one_line(event.get('reason', ''))}"]


_TELLERS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "run_started": _started,
    "stage": _stage,
    "located": _located,
    "environment": _environment,
    "attempt": _attempt,
    "step": _step,
    "notice": _notice,
    "reproducer": _reproducer,
    "validation": _validation,
    "run_finished": _finished,
    "run_stopped": _stopped,
}
