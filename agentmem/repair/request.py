"""What is asked for: plain data that a run keeps, so that it can be resumed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import ConfigError, UsageError
from agentmem.issue import Issue
from agentmem.redact import Redactor

if TYPE_CHECKING:
    from agentmem.settings import Settings


@dataclass(frozen=True)
class Request:
    """One repair. `commit` is the base commit of `repo`, a full hash; `record` is where replies are kept."""

    repo: Path
    commit: str
    issue: Issue
    settings: Settings
    record: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "repo": str(self.repo),
            "commit": self.commit,
            "issue": asdict(self.issue),
            "settings": self.settings.model_dump(mode="json"),
            "record": str(self.record) if self.record else None,
        }


def new_request(repo: Path, commit: str, issue: Issue, settings: Settings, record: Path | None) -> Request:
    """A request for `commit` (any name git knows) of `repo`. Raises UsageError."""
    from agentmem.gitcmd import discover

    # What is kept on disk is redacted, and a resumed run must ask the same question.
    clean = Redactor.from_environment(os.environ).text
    issue = replace(issue, text=clean(issue.text), title=clean(issue.title))
    return Request(repo.absolute(), discover(repo).commit(commit), issue, settings, record)


def resumed_request(saved: Mapping[str, Any], flags: Mapping[str, object]) -> Request:
    """The request of an interrupted run, with the settings that are given anew. Raises UsageError."""
    from pydantic import TypeAdapter, ValidationError

    from agentmem.settings import Settings, load

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        changed = load(given).settings.model_dump(include=set(given))
        settings = Settings.model_validate({**saved["settings"], **changed})
        issue = TypeAdapter(Issue).validate_python(saved["issue"])
        record = Path(saved["record"]) if saved["record"] else None
        return Request(Path(saved["repo"]), saved["commit"], issue, settings, record)
    except ConfigError:
        raise
    except (ValidationError, KeyError, TypeError) as error:
        raise UsageError(
            f"the run's request cannot be read ({type(error).__name__})", "Start the repair again."
        ) from None
