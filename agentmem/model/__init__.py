"""The model room: one call that turns messages into a reply, whoever answers.

A new kind of model is one file with an `open_...(target, options)` and one line in `_KINDS`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from agentmem.errors import ConfigError
from agentmem.model.base import Lane, Message, Model, Reply, ToolCall, ToolSpec, Usage
from agentmem.model.check import check
from agentmem.model.options import ModelOptions

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "open_model",
    "check",
    "ModelOptions",
    "Model",
    "Lane",
    "Message",
    "Reply",
    "ToolCall",
    "ToolSpec",
    "Usage",
]

# Prefix -> module:function(target, options). Any other name is litellm's.
_KINDS = {
    "local": "agentmem.model.local:open_local",
    "replay": "agentmem.model.replay:open_replay",
    "file": "agentmem.model.files:open_files",
}


def open_model(name: str, *, api_base: str | None = None, options: ModelOptions | None = None) -> Model:
    """The model of a name: `local:PATH.gguf`, `replay:FILE`, `file:DIR`, or a litellm name.

    `api_base` is the address of an OpenAI-compatible server, for litellm names only.
    Raises ConfigError when the name cannot be used as given. Nothing is asked of a provider yet.
    """
    options = options or ModelOptions()
    prefix, colon, target = name.partition(":")
    if colon and prefix in _KINDS:
        if not target:
            raise ConfigError(f"The model name {name!r} ends after its prefix.", f"Write {prefix}:PATH")
        if api_base:
            raise ConfigError(f"A {prefix}: model has no API base.", "Leave out --api-base.")
        module, _, function = _KINDS[prefix].partition(":")
        opener: Callable[[str, ModelOptions], Model] = getattr(importlib.import_module(module), function)
        return opener(target, options)
    if not name.strip():
        raise ConfigError("No model is named.", "Give --model or set AGENTMEM_MODEL.")
    from agentmem.model.litellm import LitellmModel

    return LitellmModel(name.strip(), api_base, options)
