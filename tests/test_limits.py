"""Limits are checked before a call, so that no call breaks one."""

from __future__ import annotations

import pytest

from agentmem.agent.limits import Budget, Limits, Spent
from agentmem.errors import LimitError
from agentmem.model.base import Reply, Usage


def budget(**changes: float) -> Budget:
    given: dict[str, float] = {"max_steps": 5, "max_tokens": 10_000, "max_cost": 1.0, "timeout": 60} | changes
    return Budget(Limits(**given))  # type: ignore[arg-type]


def reply(cost: float | None, prompt: int = 900, exact: bool = True) -> Reply:
    usage = Usage(prompt=prompt, completion=100, cached=50, exact=exact)
    return Reply("", (), usage, cost, "stop", {}, seconds=0.5)


def test_steps() -> None:
    meter = budget(max_steps=1)
    assert meter.before_call(100, 500) == 500
    meter.after_call(reply(0.1))
    with pytest.raises(LimitError, match="1 steps"):
        meter.before_call(100, 500)


def test_tokens_shorten_the_reply_and_then_end_the_run() -> None:
    meter = budget(max_tokens=1_000)
    assert meter.before_call(600, 500) == 400
    with pytest.raises(LimitError, match="1,000 tokens"):
        meter.before_call(900, 500)


def test_money_is_foreseen_from_this_runs_own_prices() -> None:
    meter = budget(max_cost=1.0, max_tokens=1_000_000)
    meter.after_call(reply(0.9))
    assert meter.before_call(50, 100) == 100
    with pytest.raises(LimitError, match=r"\$1"):
        meter.before_call(500, 100)


def test_an_unknown_price_makes_the_cost_unknown_not_zero() -> None:
    meter = budget()
    meter.after_call(reply(0.5))
    meter.after_call(reply(None, exact=False))
    assert meter.spent.cost is None
    assert meter.spent.tokens_exact is False
    assert meter.before_call(100, 100) == 100


def test_time_counts_earlier_sittings() -> None:
    meter = Budget(Limits(5, 10_000, 1.0, 60), Spent(seconds=61))
    with pytest.raises(LimitError, match="60 s"):
        meter.before_call(100, 100)
