"""How projects are installed and tested: real-looking layouts and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agentmem.sandbox.environment import Plan, detect, steps

EDITABLE = "python -m pip install -e . ||"
PIP = "python -m pip install"


def plan_of(files: Mapping[str, str], **named: str) -> Plan:
    data = {path: text.encode() for path, text in files.items()}
    return detect(sorted(data), data.get, **named)


SETUPTOOLS = """
[build-system]
requires = ["setuptools"]
[project]
name = "a"
requires-python = ">=3.8"
[project.optional-dependencies]
docs = ["sphinx"]
tests = ["pytest", "hypothesis"]
dev = ["black"]
"""
GROUPS = """
[project]
name = "a"
version = "1"
[dependency-groups]
test = ["pytest>=8", {include-group = "typing"}, {include-group = "test"}]
typing = ["mypy"]
dev = ["ruff"]
"""
POETRY = """
[build-system]
requires = ["poetry-core"]
[tool.poetry.dependencies]
python = "^3.12"
[tool.poetry.group.dev.dependencies]
pytest = "^7.4"
freezegun = {version = "*", extras = ["x"]}
[tool.poetry.group.docs.dependencies]
mkdocs = "*"
"""
SETUP_PY = """
from setuptools import setup
tests = ["nose"]
setup(name="a", python_requires="<3.10,>=3.6", extras_require={"testing": tests, "docs": []})
"""
TOX = """
[tox]
envlist = py39
[testenv]
deps =
    pytest
    -r{toxinidir}/requirements/ci.txt
    django42: Django>=4.2   # a factor
    {env:EXTRA}
    mock>=2  # why
commands = pytest
"""
NOX = """
import nox
@nox.session
def tests(session):
    session.install("-r", "ci/req.txt", "pytest")
    session.install("-e", ".", "--no-deps")
@nox.session
def docs(session):
    session.install("sphinx")
"""

LAYOUTS = [
    pytest.param(
        {"pyproject.toml": SETUPTOOLS, "src/a/__init__.py": ""},
        [EDITABLE],
        [f"{PIP} -e '.[tests]'"],
        "3.11",
        id="extras for tests win over dev",
    ),
    pytest.param(
        {"pyproject.toml": GROUPS}, [EDITABLE], [f"{PIP} 'pytest>=8' mypy"], "3.11", id="dependency groups"
    ),
    pytest.param(
        {"pyproject.toml": POETRY},
        [EDITABLE],
        [f"{PIP} 'pytest>=7.4' 'freezegun[x]'"],
        "3.13",
        id="poetry",
    ),
    pytest.param({"setup.py": SETUP_PY}, [EDITABLE], [f"{PIP} -e '.[testing]'"], "3.9", id="setup.py"),
    pytest.param(
        {
            "setup.py": "from setuptools import setup; setup()",
            "setup.cfg": "[metadata]\nname=a\n[options]\npython_requires = >=3.7\n"
            "[options.extras_require]\ndev =\n  x\n",
        },
        [EDITABLE],
        [f"{PIP} -e '.[dev]'"],
        "3.11",
        id="setup.cfg",
    ),
    pytest.param(
        {
            "setup.py": "import setuptools; setuptools.setup(name='a')",
            "tox.ini": TOX,
            "requirements/ci.txt": "x",
        },
        [EDITABLE],
        [f"{PIP} pytest -r requirements/ci.txt 'mock>=2'"],
        "3.11",
        id="tox",
    ),
    pytest.param(
        {"setup.py": "import setuptools; setuptools.setup(name='a')", "noxfile.py": NOX, "ci/req.txt": "x"},
        [EDITABLE],
        [f"{PIP} -r ci/req.txt pytest"],
        "3.11",
        id="nox",
    ),
    pytest.param(
        {
            "requirements.txt": "flask\n-r more.txt\n",
            "more.txt": "x\n",
            "requirements-dev.txt": "y",
            "app.py": "",
        },
        [f"{PIP} -r requirements.txt"],
        [f"{PIP} -r requirements-dev.txt"],
        "3.11",
        id="an application",
    ),
    pytest.param(
        {"pyproject.toml": "[tool.ruff]\nline-length = 100\n", "gcd.py": "", ".python-version": "3.13.1\n"},
        [],
        [],
        "3.13",
        id="plain programs with only tools configured",
    ),
    pytest.param({"pyproject.toml": "not [ toml", "a.py": ""}, [], [], "3.11", id="a broken pyproject"),
    pytest.param(
        {"setup.py": "def broken(:", "a.py": ""}, [EDITABLE], [], "3.11", id="a setup.py of another Python"
    ),
]


@pytest.mark.parametrize(("files", "setup", "extras", "python"), LAYOUTS)
def test_layouts(files: dict[str, str], setup: list[str], extras: list[str], python: str) -> None:
    plan = plan_of(files)
    assert [command[: len(start)] for command, start in zip(plan.setup, setup, strict=True)] == setup
    assert list(plan.extras) == extras
    assert plan.python == python
    assert plan.test_command == "python -m pytest"
    assert {choice for choice, _ in plan.reasons} >= {"python", "setup", "tests"}


def test_what_the_user_names_wins() -> None:
    plan = plan_of(
        {"pyproject.toml": SETUPTOOLS}, image="img:1", setup_command="make it", test_command="make test"
    )
    assert (plan.image, plan.python, plan.setup, plan.extras) == ("img:1", None, ("make it",), ())
    assert plan.test_command == "make test"
    assert all("named by the user" in why for _, why in plan.reasons)


def test_no_python_fits() -> None:
    plan = plan_of({"setup.py": "from setuptools import setup; setup(python_requires='<3')"})
    assert plan.python == "3.11"
    assert "--image" in dict(plan.reasons)["python"]


def test_a_projects_own_runner() -> None:
    assert plan_of({"tests/runtests.py": "", "setup.py": ""}).test_command == "python tests/runtests.py"


def test_the_digest_follows_the_files_that_matter() -> None:
    files = {
        "pyproject.toml": SETUPTOOLS,
        "a.py": "1",
        "src/fast.pyx": "1",
        "requirements-test.txt": "-r base.in\n",
    }
    plan = plan_of(files)
    assert set(plan.key_files) == {"pyproject.toml", "src/fast.pyx", "requirements-test.txt"}
    assert plan_of(files).digest == plan.digest
    assert plan_of(files | {"a.py": "2"}).digest == plan.digest
    assert plan_of(files | {"src/fast.pyx": "2"}).digest != plan.digest
    assert plan_of(files | {"pyproject.toml": SETUPTOOLS + "# x"}).digest != plan.digest
    assert plan_of(files, setup_command="x").digest != plan.digest


def test_requirements_include_each_other_without_end() -> None:
    plan = plan_of({"requirements.txt": "-r a.txt", "a.txt": "-r requirements.txt\n-c ../out.txt"})
    assert set(plan.key_files) == {"requirements.txt", "a.txt"}


def test_only_what_the_tests_need_may_fail() -> None:
    plan = plan_of({"pyproject.toml": SETUPTOOLS})
    by_name = {step.name: step.must for step in steps(plan, "/opt/venv")}
    assert by_name == {
        "python": True,
        "project": True,
        "test dependencies": False,
        "pytest": True,
        "coverage": False,
        "coverage hook": False,
    }
    assert "--system-site-packages" in steps(plan_of({}, image="i"), "/v")[0].command
