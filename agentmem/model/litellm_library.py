"""The litellm package itself: loaded once, silent, offline, and without reading the user's `.env`."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any

from agentmem.errors import ConfigError


@functools.cache
def load() -> Any:
    """The litellm module. Raises ConfigError when it cannot be imported."""
    # Its price map would be fetched from the network at import.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    # In its default mode it loads `.env` of the current folder, which is the repository under repair:
    # an untrusted file could send the user's key to an address of its choice.
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    try:
        import litellm
    except ImportError as error:
        raise ConfigError(f"litellm cannot be imported: {error}", "pip install --upgrade agentmem") from error
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "httpx", "openai"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


def with_provider(name: str) -> str:
    """The name for an OpenAI-compatible server: `openai/` before it unless it names a provider."""
    provider, slash, _ = name.partition("/")
    known = {str(getattr(p, "value", p)) for p in load().provider_list}
    return name if slash and provider in known else f"openai/{name}"


def missing_keys(model: str, *, pretend_unset: bool = False) -> list[str]:
    """The environment variables that the model's provider needs and that are not set.

    With `pretend_unset` those it would need. Raises ConfigError when no provider is known for the name.
    """
    litellm = load()
    try:
        litellm.get_llm_provider(model)
    except Exception:
        mend = (
            "Write PROVIDER/MODEL, such as openai/gpt-5 or anthropic/claude-sonnet-4-5; or give --api-base."
        )
        raise ConfigError(f"No provider is known for the model {model!r}.", mend) from None
    found = litellm.validate_environment(model, **({"api_key": None} if pretend_unset else {}))
    if pretend_unset:
        provider = model.partition("/")[0].upper().replace("-", "_")
        return [str(k) for k in found["missing_keys"]] or [f"{provider}_API_KEY"]
    return [] if found["keys_in_environment"] else [str(key) for key in found["missing_keys"]]
