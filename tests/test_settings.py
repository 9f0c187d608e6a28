"""Settings: the order of origins, and errors that say what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem.errors import ConfigError
from agentmem.settings import Settings, config_path, home, load


def config(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return {"AGENTMEM_CONFIG": str(path)}


def test_defaults_are_finite() -> None:
    loaded = load({}, {})
    assert loaded.settings.max_cost == 3.0
    assert loaded.settings.max_tokens == 2_000_000
    assert loaded.settings.max_steps == 60
    assert loaded.settings.timeout == 3600
    assert set(loaded.origins) == set(Settings.model_fields)
    assert set(loaded.origins.values()) == {"built in"}


def test_each_origin_beats_the_one_before(tmp_path: Path) -> None:
    environ = config(tmp_path, "max_steps = 1\nmax_tokens = 1\nrounds = 1\n")
    environ |= {"AGENTMEM_MAX_TOKENS": "2", "AGENTMEM_ROUNDS": "2", "AGENTMEM_IMAGE": ""}
    loaded = load({"rounds": 3, "timeout": None}, environ)
    settings = loaded.settings
    assert (settings.max_steps, settings.max_tokens, settings.rounds) == (1, 2, 3)
    assert loaded.origins["max_steps"] == environ["AGENTMEM_CONFIG"]
    assert loaded.origins["max_tokens"] == "environment AGENTMEM_MAX_TOKENS"
    assert loaded.origins["rounds"] == "flag --rounds"
    assert loaded.origins["timeout"] == "built in"
    assert settings.image is None


@pytest.mark.parametrize(
    ("flags", "environ", "what", "mend"),
    [
        (
            {"max_stps": 3},
            {},
            "flag --max-stps: no setting is called `max_stps`",
            "Did you mean `max_steps`?",
        ),
        ({"max_steps": 0}, {}, "flag --max-steps: `max_steps` cannot be 0", "a whole number, at least 1."),
        ({}, {"AGENTMEM_SANDBOX": "vm"}, "environment AGENTMEM_SANDBOX: `sandbox`", "one of: docker, local."),
        ({}, {"AGENTMEM_MAX_COST": "inf"}, "`max_cost` cannot be 'inf'", "a number, above 0."),
        ({"max_steps": True}, {}, "`max_steps` cannot be True", "a whole number"),
        ({"api_base": "here"}, {}, "`api_base` cannot be 'here'", "beginning with http:// or https://"),
        ({}, {"AGENTMEM_OPENAI_API_KEY": "x"}, "no setting is called", "Keys are not settings"),
        ({"zzz": 1}, {}, "`zzz`", "Known: api_base,"),
    ],
)
def test_errors_name_origin_key_and_what_is_allowed(
    flags: dict[str, object], environ: dict[str, str], what: str, mend: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(flags, environ)
    assert what in caught.value.what
    assert mend in caught.value.mend
    assert caught.value.exit_code == 3


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not TOML"):
        load({}, config(tmp_path, "max_steps: 3"))
    with pytest.raises(ConfigError, match="does not exist"):
        load({}, {"AGENTMEM_CONFIG": str(tmp_path / "absent.toml")})
    with pytest.raises(ConfigError, match=r"config\.toml: `max_steps` cannot be 'many'"):
        load({}, config(tmp_path, "max_steps = 'many'"))


def test_home_and_config_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home({"AGENTMEM_HOME": "here"}) == tmp_path / "here"
    assert home({}).is_absolute()
    assert config_path({"AGENTMEM_CONFIG": "c.toml"}) == tmp_path / "c.toml"


def test_nothing_is_read_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "max_cost = 1000\nmax_steps = 1"
    for name in ("config.toml", "agentmem.toml", ".agentmem.toml", ".env", "pyproject.toml"):
        (tmp_path / name).write_text(hostile)
    monkeypatch.chdir(tmp_path)
    assert set(load({}, {}).origins.values()) == {"built in"}


def test_every_setting_says_what_it_is() -> None:
    undescribed = [name for name, field in Settings.model_fields.items() if not field.description]
    assert undescribed == []
