"""What a provider's failure means: try again, send less, or tell the user."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

from agentmem.errors import AgentmemError, ConfigError, ProviderError
from agentmem.model.options import ModelOptions

T = TypeVar("T")

_LONGEST_WAIT = 60.0
_REFUSAL = re.compile(
    r"not supported|unsupported|does ?n[o']t support|not support|unknown|unrecognized|unexpected|"
    r"not permitted|not allowed|extra (?:inputs|fields)|deprecated|only the default|"
    r"requires --jinja|no endpoints found",
    re.I,
)
_TOOLS = re.compile(r"\btools?\b|\btool[_ ](?:choice|use|call)|function[_ ]call", re.I)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.I)
_KEY_SHAPE = re.compile(r"\b(?:sk|pk|gsk|xai|hf|AIza)[-_]?[\w*.-]{6,}")


def with_retries(call: Callable[[], T], options: ModelOptions) -> T:
    """The result of `call`, tried again after rate limits, time-outs, lost connections and 5xx.

    Waits grow from `retry_wait` seconds, with jitter, and follow the provider's Retry-After; each retry is
    told by a notice. The last failure is raised as it came.
    """
    import tenacity

    backoff = tenacity.wait_exponential(multiplier=options.retry_wait, max=_LONGEST_WAIT)
    jitter = tenacity.wait_random(0, options.retry_wait)

    def wait(state: tenacity.RetryCallState) -> float:
        asked = _retry_after(state.outcome.exception() if state.outcome else None)
        return max(backoff(state), min(asked, _LONGEST_WAIT)) + jitter(state)

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        options.on_notice(
            f"Retry {state.attempt_number} of {options.retries} in {pause:.1f} s: {_summary(error)}"
        )

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(options.retries + 1),
        wait=wait,
        retry=tenacity.retry_if_exception(_transient),
        before_sleep=tell,
        reraise=True,
    )
    return retrying(call)


def refuses(error: Exception, parameter: str) -> bool:
    """Whether the provider does not take this parameter at all (a bad value is another matter)."""
    text = str(error)
    if _status(error) not in (400, 404, 422) or not _REFUSAL.search(text):
        return False
    return re.search(rf"\b{parameter}\b", text) is not None


def refuses_tools(error: Exception) -> bool:
    text = str(error)
    return _status(error) in (400, 404, 422, 500, 501) and bool(_TOOLS.search(text) and _REFUSAL.search(text))


def translate(error: Exception, name: str, key: str) -> AgentmemError:
    """The failure as the user reads it; no key is in it."""
    if isinstance(error, AgentmemError):
        return error
    kind, status, said = type(error).__name__, _status(error), _summary(error)
    if "No module named" in said:
        return ConfigError(f"litellm lacks a package it needs: {said}", "pip install --upgrade agentmem")
    if status in (401, 403):
        return ProviderError(f"The provider of {name} refused the key: {said}", f"Check the variable {key}.")
    if kind == "ContextWindowExceededError":
        mend = "Use a model with a larger window, or --context mem1."
        return ProviderError(f"The prompt is too long for {name}: {said}", mend)
    if status == 404:
        return ProviderError(f"{name} was not found: {said}", "Check the model's name and --api-base.")
    if kind == "Timeout" or status == 408:
        return ProviderError(f"{name} did not answer in time: {said}", "Try later with --resume RUN.")
    if status == 429:
        mend = "Wait, or check the plan and its limits, then go on with --resume RUN."
        return ProviderError(f"{name} refused for rate or quota: {said}", mend)
    if "Connection error" in said or kind == "APIConnectionError":
        return ProviderError(f"{name} cannot be reached: {said}", "Check the network and --api-base.")
    if status is not None and status >= 500:
        return ProviderError(f"The provider of {name} failed: {said}", "Try later with --resume RUN.")
    return ProviderError(f"The provider of {name} refused the request: {said}")


def _transient(error: BaseException) -> bool:
    status = _status(error)
    if status is None or refuses_tools(error) or "No module named" in str(error):  # type: ignore[arg-type]
        return False
    if re.search("insufficient_quota|current quota", str(error)):  # no wait mends this
        return False
    return status in (408, 429) or status >= 500


def _status(error: BaseException | None) -> int | None:
    status: Any = getattr(error, "status_code", None)
    return int(status) if isinstance(status, int) or (isinstance(status, str) and status.isdigit()) else None


def _retry_after(error: BaseException | None) -> float:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return float(headers.get("retry-after", 0))
    except ValueError:  # a date; the backoff will do
        return 0.0


def _summary(error: BaseException | None) -> str:
    """The first 300 characters of what the provider said, on one line, with keys blotted out."""
    text = " ".join(str(error).split())
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return _KEY_SHAPE.sub("***", text)[:300]
