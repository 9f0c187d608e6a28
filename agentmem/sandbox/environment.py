"""How a Python project is installed and tested: a plan made from its files, each choice with its reason."""

from __future__ import annotations

import hashlib
import re
import shlex
from ast import expr
from collections.abc import Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from typing import Any

from agentmem.sandbox import project
from agentmem.sandbox.project import Read

PYTHONS = ("3.11", "3.13", "3.9")  # what the bootstrapped images have, the preferred one first
FORMAT = "1"  # of what a plan makes; a new number makes every cached image new

_DECLARATIONS = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "tox.ini",
    "noxfile.py",
    ".python-version",
    "MANIFEST.in",
)
# An editable installation compiles these, so another content needs another environment.
_COMPILED = re.compile(
    r"\.(c|cc|cpp|cxx|h|hh|hpp|pyx|pxd|pxi|f|f90|rs|go|in|cmake)$|(^|/)(meson\.build|CMakeLists\.txt|Cargo\.(toml|lock))$"
)
_COMPILED_LIMIT = 5_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How to install and test a project.

    `setup` must succeed; `extras` (test dependencies) may fail, which is reported. Both run in the workspace,
    with the environment's python first on PATH. `reasons` pairs each choice with its why, for doctor.
    `digest` stands for all that decides what the environment holds, but for the image under it.
    """

    language: str
    python: str | None
    image: str | None
    setup: tuple[str, ...]
    extras: tuple[str, ...]
    test_command: str
    reasons: tuple[tuple[str, str], ...]
    key_files: tuple[str, ...]
    digest: str


def detect(
    paths: Sequence[str],
    read: Read,
    *,
    image: str | None = None,
    setup_command: str | None = None,
    test_command: str | None = None,
) -> Plan:
    """A plan for the project with these tracked paths; `read` gives a file's content, None where missing.

    What the user names wins over what is found.
    """
    here = set(paths)

    def known(path: str) -> bytes | None:
        return read(path) if path in here else None

    reasons: list[tuple[str, str]] = []
    pyproject = project.toml(known, "pyproject.toml")
    cfg = project.ini(known, "setup.cfg")
    setup = project.setup_call(project.text(known, "setup.py"))
    python = None
    if image:
        reasons.append(("image", f"{image}: named by the user"))
    else:
        wanted, where = project.wanted_python(known, pyproject, cfg, setup)
        python = _python(wanted, where, reasons)
    key_files = [path for path in _DECLARATIONS if path in here]
    if setup_command:
        reasons.append(("setup", f"{setup_command}: named by the user"))
        install, extras = [setup_command], list[str]()
        key_files += [path for path in sorted(here) if re.search(r"requirements[^/]*\.txt$", path)]
    else:
        install, extras, needed = _install(here, known, pyproject, cfg, setup, reasons)
        key_files += needed
    key_files += [path for path in sorted(here) if _COMPILED.search(path)][:_COMPILED_LIMIT]
    files = tuple(dict.fromkeys(key_files))
    return Plan(
        language="python",
        python=python,
        image=image,
        setup=tuple(install),
        extras=tuple(extras),
        test_command=_test_command(here, test_command, reasons),
        reasons=tuple(reasons),
        key_files=files,
        digest=_digest((*install, "--", *extras), files, known),
    )


def _digest(commands: Sequence[str], files: Sequence[str], read: Read) -> str:
    digest = hashlib.sha256(FORMAT.encode())
    for word in commands:
        digest.update(word.encode("utf-8", "surrogateescape") + b"\0")
    for path in files:
        content = hashlib.sha256(read(path) or b"").digest()
        digest.update(path.encode("utf-8", "surrogateescape") + b"\0" + content)
    return digest.hexdigest()[:24]


def _python(wanted: str, where: str, reasons: list[tuple[str, str]]) -> str:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        # The newest patch level stands for a minor version: ">=3.9.7" is met by today's 3.9.
        allowed = SpecifierSet(wanted)
        fitting = [version for version in PYTHONS if allowed.contains(f"{version}.99")]
    except InvalidSpecifier:
        fitting = []
    if not wanted:
        reasons.append(("python", f"{PYTHONS[0]}: the project does not say"))
    elif fitting:
        reasons.append(("python", f"{fitting[0]}: {where} says {wanted}"))
    else:
        reasons.append(
            ("python", f"{PYTHONS[0]}: none of {', '.join(PYTHONS)} fits {wanted} ({where}); try --image")
        )
    return (fitting or [PYTHONS[0]])[0]


_EDITABLE = (
    # Projects older than their build tools fail in isolation, against today's setuptools.
    "python -m pip install -e . || "
    "{ python -m pip install 'setuptools<69' wheel && python -m pip install --no-build-isolation -e .; }"
)


def _install(
    here: set[str],
    read: Read,
    pyproject: dict[str, Any],
    cfg: ConfigParser,
    setup: dict[str, expr],
    reasons: list[tuple[str, str]],
) -> tuple[list[str], list[str], list[str]]:
    """(commands that must succeed, commands that may fail, files these read)."""
    install: list[str] = []
    extras: list[str] = []
    files: list[str] = []
    installable = next(
        (
            name
            for name, yes in (
                ("pyproject.toml", "project" in pyproject or "build-system" in pyproject),
                ("setup.py", "setup.py" in here),
                ("setup.cfg", cfg.has_section("metadata") or cfg.has_section("options")),
            )
            if yes
        ),
        "",
    )
    if installable:
        install.append(_EDITABLE)
        reasons.append(("setup", f"pip install -e .: {installable} describes a package"))
    elif "requirements.txt" in here:
        install.append("python -m pip install -r requirements.txt")
        files += project.nested_includes(read, "requirements.txt")
        reasons.append(("setup", "pip install -r requirements.txt: no package, but requirements"))
    else:
        reasons.append(("setup", "nothing to install: no packaging files"))
    found = _test_needs(here, read, project.extras(pyproject, cfg, setup) if installable else [], pyproject)
    for command, why, path in found:
        extras.append(command)
        reasons.append(("test dependencies", why))
        files += project.nested_includes(read, path) if path else []
    return install, extras, files


def _test_needs(
    here: set[str], read: Read, extras: list[str], pyproject: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """(command, why, requirements file or "") for every place that names what the tests need."""
    pip = "python -m pip install"
    found: list[tuple[str, str, str]] = []
    if extras:
        target = f".[{','.join(extras)}]"
        found.append((f"{pip} -e {shlex.quote(target)}", f"{target}: extras for tests", ""))
    if needs := project.groups(pyproject):
        found.append((f"{pip} {shlex.join(needs)}", "dependency groups for tests in pyproject.toml", ""))
    listed = [path for path in project.REQUIREMENTS if path in here]
    listed = project.chosen_files(listed) + [p for p in ("tests/requirements.txt",) if p in here]
    for path in dict.fromkeys(listed):
        found.append((f"{pip} -r {shlex.quote(path)}", f"{path} is there", path))
    if found:
        return found
    if "tox.ini" in here and (needs := project.tox_deps(read)):
        path = needs[needs.index("-r") + 1] if "-r" in needs else ""
        return [(f"{pip} {shlex.join(needs)}", "deps of [testenv] in tox.ini", path)]
    if "noxfile.py" in here and (needs := project.nox_deps(read)):
        path = needs[needs.index("-r") + 1] if "-r" in needs else ""
        return [(f"{pip} {shlex.join(needs)}", "what the test session of noxfile.py installs", path)]
    return []


def _test_command(here: set[str], named: str | None, reasons: list[tuple[str, str]]) -> str:
    if named:
        reasons.append(("tests", f"{named}: named by the user"))
        return named
    runner = project.own_runner(here)
    if runner:
        reasons.append(("tests", f"python {runner}: the project's own runner"))
        return f"python {runner}"
    reasons.append(("tests", "python -m pytest: the default"))
    return "python -m pytest"


# Any Python process started with COVERAGE_PROCESS_START measures itself; without it nothing is imported.
_HOOK = """import os; os.environ.get("COVERAGE_PROCESS_START") and exec("try:\\n import coverage\\n \
coverage.process_startup()\\nexcept Exception:\\n pass")
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a set-up; when it `must` succeed and does not, `mend` tells what to do."""

    name: str
    command: str
    must: bool
    mend: str = ""


def steps(plan: Plan, venv: str, python: str = "") -> list[Step]:
    """Every command that makes the environment, in order; `venv` is where its python goes.

    `python` makes it; by default the first python3 on PATH.
    """
    system = "--system-site-packages " if plan.image else ""
    maker = shlex.quote(python) if python else '"$(command -v python3 || command -v python)"'
    make = f"{maker} -m venv {system}{venv}"
    own = "Say how it is installed with --setup-command, or name an image that has it with --image."
    hook = (
        "python - <<'END'\nimport pathlib, sysconfig\n"
        f"pathlib.Path(sysconfig.get_path('purelib'), 'agentmem-coverage.pth').write_text({_HOOK!r})\nEND"
    )
    return [
        Step("python", make, True, "The image needs a python3 with venv and pip; name another with --image."),
        *(Step("project", command, True, own) for command in plan.setup),
        *(Step("test dependencies", command, False) for command in plan.extras),
        Step("pytest", "python -c 'import pytest' 2>/dev/null || python -m pip install pytest", True, own),
        Step("coverage", "python -m pip install 'coverage>=7.10' || python -m pip install coverage", False),
        Step("coverage hook", hook, False),
    ]
