"""Templates and a token budget in, messages and a manifest of what they hold out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.model.base import Message
from agentmem.text import clip, estimate_tokens, printable

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, slots=True)
class Caps:
    """How much of each kind of text a prompt may carry, in characters."""

    issue: int = 24_000
    code: int = 12_000
    observation: int = 10_000

    @classmethod
    def for_window(cls, window: int | None) -> Caps:
        """Caps that leave a small window room to work: about a fifth of it each."""
        if window is None or window > 40_000:
            return cls()
        share = window * 4 // 6
        return cls(issue=share, code=share, observation=min(share // 2, 10_000))


@dataclass(frozen=True, slots=True)
class Prompt:
    """The start of a conversation: `messages` (system, then task), and what each section weighs in tokens."""

    messages: tuple[Message, ...]
    manifest: Mapping[str, int]


def compose(role: str, caps: Caps, *, issue: str, **parts: Any) -> Prompt:
    """The system and task messages of a role.

    `parts` are the template's variables; every one the template names must be given (StrictUndefined).
    Texts that come from outside are quoted by the templates' `data` filter.
    """
    environment = _environment()
    issue = clip(printable(issue), caps.issue)
    variables = {"issue": issue, **parts}
    system = environment.get_template(f"{role}.system.j2").render(variables).strip()
    task = environment.get_template(f"{role}.task.j2").render(variables).strip()
    manifest = {"system": estimate_tokens(system), "task": estimate_tokens(task)}
    manifest |= {name: estimate_tokens(str(text)) for name, text in variables.items() if text}
    messages = ({"role": "system", "content": system}, {"role": "user", "content": task})
    return Prompt(messages, manifest)


def feedback(name: str, **parts: Any) -> str:
    """The text of a feedback template, for example what was wrong with a reproducer."""
    return _environment().get_template(f"{name}.feedback.j2").render(parts).strip()


def prompts_version() -> str:
    """Twelve hex digits that change with any template; a recording carries them."""
    digest = hashlib.sha256()
    for path in sorted(prompts_folder().glob("*.j2")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def prompts_folder() -> Path:
    """The templates: inside the package in a wheel, beside it in a source tree."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "prompts"
    return inside if inside.is_dir() else package.parent / "prompts"


def as_data(text: object, tag: str) -> str:
    """`text` between tags that it cannot close itself: whatever it says is quoted, not said by us."""
    body = str(text).replace(f"</{tag}", f"<\\/{tag}")
    return f"<{tag}>\n{body}\n</{tag}>"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(prompts_folder()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # prompts are plain text
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data"] = as_data
    return environment
