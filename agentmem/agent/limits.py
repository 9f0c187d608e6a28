"""What a run may spend, and what it has spent. Checked before each call, never only after."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from agentmem.errors import LimitError
from agentmem.model.base import Reply


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run: model calls, tokens (prompt and completion), US dollars, seconds of wall time."""

    max_steps: int
    max_tokens: int
    max_cost: float
    timeout: float


@dataclass(slots=True)
class Spent:
    """What a run has used so far. `cost` is None once any call's price was unknown."""

    steps: int = 0
    replayed: int = 0  # of the steps, those answered from a recording
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    tokens_exact: bool = True
    cost: float | None = 0.0
    model_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"tokens": self.tokens}


@dataclass
class Budget:
    """Limits and what is spent of them. A resumed run goes on from the seconds it had used."""

    limits: Limits
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        self._since = time.monotonic() - self.spent.seconds

    def tick(self) -> float:
        """Seconds used until now, also those of earlier sittings of the same run."""
        self.spent.seconds = time.monotonic() - self._since
        return self.spent.seconds

    def seconds_left(self) -> float:
        return max(0.0, self.limits.timeout - self.tick())

    def before_call(self, prompt_tokens: int, max_completion: int) -> int:
        """How many tokens the next reply may have. Raises LimitError when the call would break a limit."""
        limits, spent = self.limits, self.spent
        if spent.steps >= limits.max_steps:
            raise LimitError(f"the limit of {limits.max_steps} steps is reached", _more("--max-steps"))
        if self.seconds_left() <= 0:
            raise LimitError(f"the limit of {limits.timeout:g} s is reached", _more("--timeout"))
        left = limits.max_tokens - spent.tokens - prompt_tokens
        if left < min(256, max_completion):
            raise LimitError(
                f"the next call would pass the limit of {limits.max_tokens:,} tokens", _more("--max-tokens")
            )
        if spent.cost is not None and spent.cost + self._price(prompt_tokens) > limits.max_cost:
            raise LimitError(
                f"the next call would pass the limit of ${limits.max_cost:g}", _more("--max-cost")
            )
        return min(left, max_completion)

    def after_call(self, reply: Reply) -> None:
        spent = self.spent
        spent.steps += 1
        spent.replayed += reply.replayed
        spent.prompt_tokens += reply.usage.prompt
        spent.completion_tokens += reply.usage.completion
        spent.cached_tokens += reply.usage.cached
        spent.tokens_exact &= reply.usage.exact
        spent.cost = None if spent.cost is None or reply.cost is None else spent.cost + reply.cost
        spent.model_seconds += reply.seconds
        self.tick()

    def _price(self, prompt_tokens: int) -> float:
        """The next call's prompt at this run's own mean price of a token: 0 before the first call."""
        return (self.spent.cost or 0.0) / max(1, self.spent.tokens) * prompt_tokens


def _more(flag: str) -> str:
    return f"raise {flag} and go on with --resume"
