"""What a run ends with. Every field is something the program executed, measured or counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

from agentmem.errors import ExitCode


class Evidence(StrEnum):
    """How much speaks for a patch (docs/evidence.md)."""

    E0 = "E0"  # only a model's opinion
    E1 = "E1"  # the reproducer failed before and passes now, and no known regression
    E2 = "E2"  # E1, and relevant existing tests that passed before pass still
    E3 = "E3"  # a person merged it


Verdict = Literal["verified", "unproven", "regressed", "reproducer_fails", "refused", "empty"]


@dataclass(frozen=True, slots=True)
class Reproducer:
    """The accepted reproducer: one new file and its command, as the harness ran it on the base commit."""

    path: str
    content: str
    command: str
    reason: str
    failure: str
    output: str


@dataclass(frozen=True, slots=True)
class Tests:
    """The relevant existing tests, before and after the patch; `regressions` were confirmed three times."""

    command: str = ""
    files: tuple[str, ...] = ()
    passed_before: int = 0
    failed_before: int = 0
    passed_after: int = 0
    failed_after: int = 0
    regressions: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found about one patch. `covered` is None where coverage could not be measured."""

    verdict: Verdict
    evidence: Evidence
    reasons: tuple[str, ...]
    reproducer_passes: bool | None = None
    covered: bool | None = None
    tests: Tests = Tests()
    feedback_title: str = ""
    feedback_output: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One patch that was handed in, or found in the sandbox when a limit ended the work."""

    candidate: int
    round: int
    diff: str
    explanation: str
    validation: Validation

    @property
    def rank(self) -> tuple[bool, str, int]:
        """Sorts the better candidate last: known harm first, then evidence, then the smaller diff."""
        harmless = self.validation.verdict not in ("regressed", "refused", "empty")
        return harmless, self.validation.evidence.value, -len(self.diff)


Status = Literal["fixed", "unproven", "regressed", "no_patch"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run. `limit` names the limit that ended it, if one did."""

    status: Status
    evidence: Evidence | None
    best: Candidate | None
    reproducer: Reproducer | None
    tried: tuple[Candidate, ...]
    limit: str = ""
    reasons: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> ExitCode:
        """A verified patch outranks a limit; a limit outranks "no patch"."""
        if self.status == "fixed":
            return ExitCode.OK
        return ExitCode.LIMIT if self.limit else ExitCode.NO_PATCH

    def to_json(self) -> dict[str, Any]:
        best = self.best
        return {
            "status": self.status,
            "evidence": self.evidence.value if self.evidence else None,
            "exit_code": int(self.exit_code),
            "limit": self.limit or None,
            "reasons": list(self.reasons),
            "explanation": best.explanation if best else None,
            "validation": asdict(best.validation) if best else None,
            "reproducer": asdict(self.reproducer) if self.reproducer else None,
            "tried": [
                {
                    "candidate": each.candidate,
                    "round": each.round,
                    "verdict": each.validation.verdict,
                    "evidence": each.validation.evidence.value,
                    "reasons": list(each.validation.reasons),
                    "diff": each.diff,
                }
                for each in self.tried
            ],
        }


def conclude(reproducer: Reproducer | None, tried: tuple[Candidate, ...], limit: str = "") -> Outcome:
    """The outcome that the candidates earn: never "fixed" without evidence."""
    patches = [each for each in tried if each.diff and each.validation.verdict != "refused"]
    if not patches:
        why = ("no patch was made",) if not tried else tried[-1].validation.reasons
        return Outcome("no_patch", None, None, reproducer, tried, limit, why)
    best = max(patches, key=lambda each: each.rank)
    validation = best.validation
    if validation.evidence >= Evidence.E1:
        status: Status = "fixed"
    else:
        status = "regressed" if validation.verdict == "regressed" else "unproven"
    return Outcome(status, validation.evidence, best, reproducer, tried, limit, validation.reasons)
