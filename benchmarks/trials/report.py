"""Print the table of all attempts in `results.jsonl` as Markdown: `python benchmarks/trials/report.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results.jsonl"


def main() -> None:
    attempts = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    print("| trial | model | result | evidence | hidden tests | steps | tokens | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for attempt in attempts:
        print("| " + " | ".join(_cells(attempt)) + " |")
    for model in dict.fromkeys(attempt["model"] for attempt in attempts):
        mine = [attempt for attempt in attempts if attempt["model"] == model]
        proven = [attempt for attempt in mine if attempt["exit_code"] == 0]
        right = [attempt for attempt in mine if attempt["hidden_failed"] == 0]
        print(
            f"\n{model}: {len(mine)} attempts, {len(proven)} with evidence E1 or better, "
            f"{len(right)} pass all hidden tests."
        )


def _cells(attempt: dict[str, Any]) -> list[str]:
    tokens = attempt.get("tokens") or attempt["prompt_tokens"] + attempt["completion_tokens"]
    passed, failed = attempt["hidden_passed"], attempt["hidden_failed"]
    hidden = "no patch" if failed is None else f"{passed} of {passed + failed}"
    return [
        attempt["trial"],
        attempt["model"],
        attempt["status"],
        attempt["evidence"] or "-",
        hidden,
        str(attempt["steps"]),
        f"{tokens:,}{'' if attempt['tokens_exact'] else ' (estimated)'}",
        f"{attempt['seconds']:.0f}",
    ]


if __name__ == "__main__":
    main()
