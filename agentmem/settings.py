"""Settings: built in, then the user's file, then the environment, then flags; each knows where it came from.

Nothing is ever read from the repository that is to be repaired.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentmem.errors import ConfigError

PREFIX = "AGENTMEM_"
BUILT_IN = "built in"
# Variables with our prefix that are not settings; AGENTMEM_TEST_* belongs to the tests.
NOT_SETTINGS = frozenset({"AGENTMEM_HOME", "AGENTMEM_CONFIG", "AGENTMEM_DEBUG"})


class Settings(BaseModel):
    """All that a user can set. Every limit has a finite default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str | None = Field(None, min_length=1)
    """The model: a litellm name (`anthropic/claude-…`), `local:FILE.gguf`, `replay:FILE` or `file:DIR`."""
    api_base: str | None = Field(None, pattern=r"^https?://\S+$")
    """Base URL of an OpenAI-compatible server. The key is read from the provider's own variable."""
    tool_protocol: Literal["auto", "native", "text"] = "auto"
    """How the model calls tools: `auto` probes it once, `native` and `text` force one form."""
    local_context: int = Field(8192, ge=512)
    """The context of a `local:` model, in tokens."""
    local_threads: int | None = Field(None, ge=1)
    """The threads of a `local:` model; not set means all cores but one."""
    context: Literal["full", "mask"] = "mask"
    """What the model sees of earlier turns: `full` keeps all, `mask` shortens old observations."""

    sandbox: Literal["docker", "local"] = "docker"
    """Where untrusted code runs. `local` protects less, and says so."""
    image: str | None = Field(None, min_length=1)
    """A container image to start from instead of the one agentmem finds or makes."""
    setup_command: str | None = Field(None, min_length=1)
    """How the project is installed, instead of what is detected."""
    test_command: str | None = Field(None, min_length=1)
    """How the project's tests are run, instead of what is detected."""
    setup_network: Literal["auto", "bridge", "host", "none"] = "auto"
    """The network of the set-up container. Repairs never have any."""
    memory_limit: int = Field(4096, ge=64)
    """Memory of a container, in MiB."""
    cpus: float = Field(2.0, gt=0, allow_inf_nan=False)
    """Processors of a container."""
    pids: int = Field(512, ge=16)
    """Processes and threads of a container."""
    disk_limit: int = Field(8192, ge=64)
    """What a container may write, in MiB."""

    max_cost: float = Field(3.0, gt=0, allow_inf_nan=False)
    """What a run may spend, in US dollars, where the model's price is known."""
    max_tokens: int = Field(2_000_000, ge=1)
    """Prompt and completion tokens a run may use."""
    max_steps: int = Field(60, ge=1)
    """Model calls a run may make."""
    timeout: float = Field(3600, ge=1, allow_inf_nan=False)
    """Wall time of a run, in seconds."""
    command_timeout: float = Field(120, ge=1, allow_inf_nan=False)
    """Wall time of one command of the agent, in seconds."""
    test_timeout: float = Field(600, ge=1, allow_inf_nan=False)
    """Wall time of one test run of the harness, in seconds."""
    request_timeout: float = Field(120, ge=1, allow_inf_nan=False)
    """Wall time of one request to the model, in seconds."""
    attempts: int = Field(3, ge=1, le=20)
    """How often a reproducer may be tried."""
    rounds: int = Field(3, ge=1, le=20)
    """How often a patch may be refined after a failing validation, the first try included."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each key where its value came from, as a person would say it."""

    settings: Settings
    origins: Mapping[str, str]


def home(environ: Mapping[str, str] | None = None) -> Path:
    """The absolute directory of runs, memory, caches and logs; it need not exist yet."""
    named = (os.environ if environ is None else environ).get("AGENTMEM_HOME")
    path = Path(named).expanduser() if named else platformdirs.user_data_path("agentmem", appauthor=False)
    return path.absolute()


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """The user's `config.toml`; it need not exist."""
    named = (os.environ if environ is None else environ).get("AGENTMEM_CONFIG")
    if named:
        return Path(named).expanduser().absolute()
    return platformdirs.user_config_path("agentmem", appauthor=False) / "config.toml"


def load(flags: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Loaded:
    """Merge all origins; a flag that is None was not given.

    Raises ConfigError, which names the origin, the key and what is allowed.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, object] = {}
    origins = dict.fromkeys(Settings.model_fields, BUILT_IN)
    for key, value, origin in (*_from_file(environ), *_from_environment(environ), *_from_flags(flags)):
        if key not in Settings.model_fields:
            raise _unknown(key, origin)
        if isinstance(value, bool):  # pydantic would read true as 1
            raise ConfigError(f"{origin}: `{key}` cannot be {value}", allowed(key))
        values[key], origins[key] = value, origin
    try:
        return Loaded(Settings.model_validate(values), origins)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        what = f"{origins[key]}: `{key}` cannot be {first['input']!r} ({first['msg']})"
        raise ConfigError(what, allowed(key)) from None


def allowed(key: str) -> str:
    """What the value of a setting may be, in one line."""
    schema: dict[str, Any] = Settings.model_json_schema()["properties"][key]
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    kind = kinds[0]
    if "enum" in kind:
        return f"`{key}` is one of: {', '.join(kind['enum'])}."
    names = {"integer": "a whole number", "number": "a number", "string": "a text that is not empty"}
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    limits = [f"{words} {kind[name]:g}" for name, words in bounds.items() if name in kind]
    if "pattern" in kind:
        limits.append("beginning with http:// or https://")
    return f"`{key}` is {', '.join([names[kind['type']], *limits])}."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def _from_file(environ: Mapping[str, str]) -> list[tuple[str, object, str]]:
    path = config_path(environ)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if environ.get("AGENTMEM_CONFIG"):
            mend = "Correct AGENTMEM_CONFIG, or unset it."
            raise ConfigError(f"AGENTMEM_CONFIG names {path}, which does not exist", mend) from None
        return []
    except OSError as error:
        mend = "Make the file readable, or name another with AGENTMEM_CONFIG."
        raise ConfigError(f"{path} cannot be read: {error.strerror}", mend) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", "Lines look like: max_steps = 40") from None
    return [(key, value, str(path)) for key, value in data.items()]


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, object, str]]:
    return [
        (name.removeprefix(PREFIX).lower(), value, f"environment {name}")
        for name, value in sorted(environ.items())
        if name.startswith(PREFIX)
        and name not in NOT_SETTINGS
        and not name.startswith("AGENTMEM_TEST_")
        and value != ""  # as unset, so that a wrapper can pass a variable through
    ]


def _from_flags(flags: Mapping[str, object]) -> list[tuple[str, object, str]]:
    return [
        (key, value, f"flag --{key.replace('_', '-')}") for key, value in flags.items() if value is not None
    ]


def _unknown(key: str, origin: str) -> ConfigError:
    if key.endswith(("api_key", "token", "secret")):
        mend = "Keys are not settings: put the key into the provider's own variable, e.g. ANTHROPIC_API_KEY."
    else:
        guess = nearest(key, Settings.model_fields)
        mend = f"Did you mean `{guess}`?" if guess else f"Known: {', '.join(sorted(Settings.model_fields))}."
    return ConfigError(f"{origin}: no setting is called `{key}`", mend)
