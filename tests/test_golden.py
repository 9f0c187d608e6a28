"""The events of whole runs, compared one by one with golden logs: a scripted model, everything else real.

`AGENTMEM_TEST_UPDATE_GOLDEN=1 pytest tests/test_golden.py` writes the logs anew; read the difference before
you commit it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentmem.model.canonical import normalise
from agentmem.runs import Event
from agentmem.settings import load
from tests.repairs import (
    GOOD,
    LOOK,
    REPAIR,
    SUBMIT_PATCH,
    SUBMIT_REPRODUCER,
    WRITE_REPRODUCER,
    make_repo,
    make_request,
    run_repair,
)
from tests.scripted import Line, Scripted

pytestmark = pytest.mark.docker

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "AGENTMEM_TEST_UPDATE_GOLDEN"

WEAK: Line = [("edit", {"path": "test_reproduce_issue.py", "old": "", "new": "assert True\n"})]
BREAK: Line = [("edit", {"path": "stats.py", "old": "total(values) // len(values)", "new": "2.5"})]
MEND: Line = [("edit", {"path": "stats.py", "old": "2.5", "new": "total(values) / len(values)"})]
SCENARIOS: Mapping[str, tuple[Mapping[str, Sequence[Line]], Mapping[str, Any]]] = {
    "fixed": (GOOD, {}),
    "reproducer-refused-then-accepted": (
        {
            "reproduce": [WEAK, SUBMIT_REPRODUCER, WRITE_REPRODUCER, SUBMIT_REPRODUCER],
            "patch": [REPAIR, SUBMIT_PATCH],
        },
        {},
    ),
    "regressed-then-fixed": (
        {"reproduce": GOOD["reproduce"], "patch": [BREAK, SUBMIT_PATCH, MEND, SUBMIT_PATCH]},
        {},
    ),
    "no-reproducer": ({"reproduce": ["It", "is", "hard."], "patch": [REPAIR, SUBMIT_PATCH]}, {}),
    "limit-and-salvage": ({"reproduce": GOOD["reproduce"], "patch": [LOOK, REPAIR]}, {"max_steps": 4}),
    "malformed-three-times": ({"reproduce": GOOD["reproduce"], "patch": ["a", "b", "c"]}, {}),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_tells_the_same_story_as_ever(name: str, tmp_path: Path) -> None:
    script, flags = SCENARIOS[name]
    repo = make_repo(tmp_path / "repo")
    _, run = run_repair(make_request(repo, **flags), tmp_path / "home", Scripted(script))
    events = list(run.events())
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert all(a["ts"] <= b["ts"] for a, b in itertools.pairwise(events))

    told, path = [plain(event) for event in events if kept(event)], GOLDEN / f"{name}.jsonl"
    if os.environ.get(UPDATE):
        path.write_text("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in told))
    golden = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["kind"] for event in told] == [event["kind"] for event in golden]
    for number, (now, then) in enumerate(zip(told, golden, strict=True)):
        assert now == then, f"event {number} of {path.name}"


def test_there_is_no_golden_log_without_a_scenario() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(SCENARIOS)


# The normaliser. Left out: what says when and where a run was (numbers, times, ids, paths, the environment's
# facts, the set-up's output, ranking scores), and the texts of prompts, which other tests look at. In all
# other texts the rules of docs/recordings.md apply, and lines that only underline a place in a traceback go.

WHEN_AND_WHERE = ("seq", "ts", "run_id", "repo", "patch_path", "seconds", "model_seconds", "facts", "score")
_UNDERLINE = re.compile(r"^[ ~^]+\n", re.MULTILINE)


def kept(event: Event) -> bool:
    return bool(event["kind"] != "setup_output")


def plain(event: Event) -> dict[str, Any]:
    """An event without what may differ between two runs of one script."""
    event = {"kind": event["kind"], **event}
    if "request" in event:
        event["request"] = {**event["request"], "settings": _changed(event["request"]["settings"])}
    if "prompt" in event:
        event["prompt"] = [message["role"] for message in event["prompt"]]
        event["manifest"] = sorted(event["manifest"])
    clean: dict[str, Any] = _plain(event)
    return clean


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return normalise(_UNDERLINE.sub("", value))
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items() if name not in WHEN_AND_WHERE}
    if isinstance(value, Iterable):
        return [_plain(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def _changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    usual = load({}, {}).settings.model_dump(mode="json")
    return {name: value for name, value in settings.items() if usual[name] != value}
