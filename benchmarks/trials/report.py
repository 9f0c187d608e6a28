"""Write the table of all attempts in `results.jsonl` into `benchmarks/README.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results.jsonl"
README = RESULTS.parent.parent / "README.md"
BEGIN, END = "<!-- trials: begin -->", "<!-- trials: end -->"


def main() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


def table() -> str:
    """Every attempt in order, then the totals of each model."""
    attempts = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    lines = [
        "| trial | model | result | evidence | hidden tests | steps | tokens | seconds |",
        "|---|---|---|---|---|---|---|---|",
        *("| " + " | ".join(_cells(attempt)) + " |" for attempt in attempts),
    ]
    for model in dict.fromkeys(attempt["model"] for attempt in attempts):
        mine = [attempt for attempt in attempts if attempt["model"] == model]
        proven = [attempt for attempt in mine if attempt["exit_code"] == 0]
        right = [attempt for attempt in mine if attempt["hidden_failed"] == 0]
        lines += [
            "",
            f"{model}: {len(mine)} attempts, {len(proven)} with evidence E1 or better, "
            f"{len(right)} pass all hidden tests.",
        ]
    return "\n".join(lines)


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
