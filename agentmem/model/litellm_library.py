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


def missing_keys(model: str) -> list[str]:
    """The environment variables of which the model's provider needs one and none is set.

    Raises ConfigError when no provider is known for the name.
    """
    provider_of(model)
    found = load().validate_environment(model)
    absent = [] if found["keys_in_environment"] else [str(key) for key in found["missing_keys"]]
    # Cloud credentials may come from a profile or the machine, and an address has a default.
    return [key for key in absent if key.endswith(("_KEY", "_TOKEN")) and not key.startswith("AWS_")]


def key_of(model: str) -> str:
    """The usual name of the variable that holds the key of the model's provider."""
    return f"{provider_of(model).upper().replace('-', '_')}_API_KEY"


def provider_of(model: str) -> str:
    """The provider litellm would ask. Raises ConfigError when it knows none for the name."""
    try:
        return str(load().get_llm_provider(model)[1])
    except load().exceptions.BadRequestError:
        mend = (
            "Write PROVIDER/MODEL, such as openai/gpt-5 or anthropic/claude-sonnet-4-5; or give --api-base."
        )
        raise ConfigError(f"No provider is known for the model {model!r}.", mend) from None
