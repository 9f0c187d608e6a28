"""What `agentmem doctor` says of a model, without asking it anything."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from agentmem.errors import AgentmemError

# (name, ok, detail, mend); a key is never in it.
Check = tuple[str, bool, str, str]


def check(name: str, api_base: str | None = None) -> list[Check]:
    """Whether the model could be used: its files, packages and key. Takes seconds for litellm's names."""
    prefix, colon, target = name.partition(":")
    if colon and prefix == "local":
        return _local(target)
    if colon and prefix == "replay":
        path = Path(target.partition("?")[0]).expanduser()
        return [_found("recording", path, path.is_file(), "Record one: agentmem fix --record FILE")]
    if colon and prefix == "file":
        folder = Path(target).expanduser()
        usable = os.access(folder if folder.exists() else folder.absolute().parent, os.W_OK)
        return [("reply folder", usable, str(folder), "" if usable else "Name a folder you may write to.")]
    return _litellm(name, api_base)


def _local(target: str) -> list[Check]:
    installed = importlib.util.find_spec("xllamacpp") is not None
    path = Path(target).expanduser()
    detail = "installed" if installed else "not installed"
    return [
        ("xllamacpp package", installed, detail, "" if installed else "pip install 'agentmem[local]'"),
        _found("model file", path, path.is_file(), "Name a .gguf file: --model local:PATH.gguf"),
    ]


def _litellm(name: str, api_base: str | None) -> list[Check]:
    from agentmem.model.litellm_library import key_of, missing_keys, with_provider

    try:
        model = with_provider(name) if api_base else name
        absent, key = missing_keys(model), key_of(model)
    except AgentmemError as error:
        return [("model provider", False, error.what, error.mend)]
    if absent and api_base:
        return [("model key", True, f"{key} is not set; {api_base} is asked without a key", "")]
    if absent:
        return [("model key", False, f"{' or '.join(absent)} is not set", f"export {absent[0]}=...")]
    detail = f"{key} is set" if os.environ.get(key) else "no key needed, or set in another way"
    return [("model key", True, detail, "")]


def _found(what: str, path: Path, there: bool, mend: str) -> Check:
    return (what, there, str(path) if there else f"{path} does not exist", "" if there else mend)
