"""What a Python project's own files say about installing and testing it. Data is read, nothing is run."""

from __future__ import annotations

import ast
import configparser
import posixpath
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

Read = Callable[[str], bytes | None]

TEST_NAMES = ("test", "tests", "testing")
DEV_NAMES = ("dev", "develop", "development")
REQUIREMENTS = (
    *(f"requirements{sep}{name}.txt" for sep in "-_/" for name in (*TEST_NAMES, *DEV_NAMES)),
    *(f"{name}{sep}requirements.txt" for sep in "-_/" for name in (*TEST_NAMES, *DEV_NAMES)),
)


def text(read: Read, path: str) -> str:
    return (read(path) or b"").decode("utf-8", "replace")


def toml(read: Read, path: str) -> dict[str, Any]:
    """{} when the file is missing or broken: a broken one breaks the installation with a better message."""
    try:
        return tomllib.loads(text(read, path))
    except tomllib.TOMLDecodeError:
        return {}


def ini(read: Read, path: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text(read, path))
    except configparser.Error:
        parser.clear()
    return parser


def table(data: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A nested table, {} when any step is missing or no table."""
    found: Any = data
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def chosen(names: Iterable[str]) -> list[str]:
    """Those for tests; those for development only where there is none for tests."""
    names = list(names)
    tests = [name for name in names if name.lower() in TEST_NAMES]
    return tests or [name for name in names if name.lower() in DEV_NAMES]


def chosen_files(paths: Sequence[str]) -> list[str]:
    """As `chosen`, for requirements files."""
    tests = [path for path in paths if any(name in path for name in TEST_NAMES)]
    return tests or list(paths)


def setup_call(source: str) -> dict[str, ast.expr]:
    """The keyword arguments of `setup(...)` in a setup.py."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "setup":
            return {word.arg: word.value for word in node.keywords if word.arg}
    return {}


def _called(node: ast.Call) -> str:
    target = node.func
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


def literal(node: ast.expr | None) -> Any:
    """The value of a literal, else None."""
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def extras(
    pyproject: Mapping[str, Any], cfg: configparser.ConfigParser, setup: Mapping[str, ast.expr]
) -> list[str]:
    """Names of the extras meant for tests."""
    names = list(table(pyproject, "project", "optional-dependencies"))
    names += list(table(pyproject, "tool", "poetry", "extras"))
    names += list(table(pyproject, "tool", "flit", "metadata", "requires-extra"))
    if cfg.has_section("options.extras_require"):
        names += cfg.options("options.extras_require")
    declared = setup.get("extras_require")
    if isinstance(declared, ast.Dict):  # its keys, even where the values are computed
        names += [str(key.value) for key in declared.keys if isinstance(key, ast.Constant)]
    return chosen(dict.fromkeys(names))


def groups(pyproject: Mapping[str, Any]) -> list[str]:
    """Requirements of the dependency groups meant for tests, includes resolved."""
    declared = table(pyproject, "dependency-groups")
    found: list[str] = []
    for name in chosen(declared):
        found += _group(declared, name, frozenset())
    pdm = table(pyproject, "tool", "pdm", "dev-dependencies")
    for name in chosen(pdm):
        found += [item for item in pdm[name] if isinstance(item, str) and not item.startswith("-e")]
    poetry = {name: table(value, "dependencies") for name, value in _poetry_groups(pyproject).items()}
    old = table(pyproject, "tool", "poetry", "dev-dependencies")
    for name in chosen(poetry):
        found += [_poetry(key, value) for key, value in poetry[name].items()]
    found += [_poetry(key, value) for key, value in old.items()]
    return list(dict.fromkeys(found))


def _poetry_groups(pyproject: Mapping[str, Any]) -> dict[str, Any]:
    return table(pyproject, "tool", "poetry", "group")


def _group(declared: Mapping[str, Any], name: str, seen: frozenset[str]) -> list[str]:
    found: list[str] = []
    items = declared.get(name)
    for item in items if isinstance(items, list) else ():
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, Mapping):
            other = str(item.get("include-group", ""))
            if other and other not in seen:
                found += _group(declared, other, seen | {name})
    return found


def _poetry(name: str, value: Any) -> str:
    """A Poetry dependency as a requirement: `^1.2` and `~1.2` become their lower bounds."""
    if isinstance(value, Mapping):
        inside = value.get("extras")
        name += f"[{','.join(map(str, inside))}]" if isinstance(inside, list) else ""
        value = value.get("version", "")
    version = str(value).strip()
    if version in ("", "*") or "||" in version:
        return name
    if version[0] in "^~" and not version.startswith("~="):
        version = f">={version[1:].lstrip('=')}"
    elif version[0].isdigit():
        version = f"=={version}"
    return name + version.replace(" ", "")


def tox_deps(read: Read) -> list[str]:
    """Dependencies of tox's default environment, as arguments of pip install."""
    config = ini(read, "tox.ini")
    source = config.get("testenv", "deps", fallback="")
    found: list[str] = []
    for raw in source.splitlines():
        line = raw.split(" #")[0].strip()
        # A factor condition ("py39-django4: ...") chooses among environments; only what all share is taken.
        if not line or line.startswith("#") or re.match(r"^[\w.,!{}-]+:\s", line):
            continue
        line = line.replace("{toxinidir}/", "").replace("{toxinidir}", ".").replace("{tox_root}/", "")
        if "{" not in line:
            found += line.split(None, 1) if line.startswith("-") else [line]
    return _arguments(found)


def nox_deps(read: Read) -> list[str]:
    """What the test sessions of a noxfile install, where it says so literally."""
    try:
        tree = ast.parse(text(read, "noxfile.py"))
    except (SyntaxError, ValueError):
        return []
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and re.match(r"(unit_?)?tests?(_|$)|pytest", node.name):
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and _called(call) == "install":
                    found += [value for word in call.args if isinstance(value := literal(word), str)]
    return _arguments(found)


def _arguments(words: Sequence[str]) -> list[str]:
    """Requirements, `-r FILE` and `.[extra]` only: what belongs to the tool that wrote them is left out."""
    kept: list[str] = []
    left = iter(words)
    for word in left:
        glued = re.match(r"(-[rc])(?!-)=?(.+)", word)
        if glued:
            kept += [glued[1], glued[2]]
        elif word in ("-r", "-c", "--requirement", "--constraint"):
            kept += ["-c" if word in ("-c", "--constraint") else "-r", next(left, "")]
        elif word not in (".", "-e.") and not word.startswith("-"):
            kept.append(word)
    return kept


def wanted_python(
    read: Read, pyproject: Mapping[str, Any], cfg: configparser.ConfigParser, setup: Mapping[str, ast.expr]
) -> tuple[str, str]:
    """(specifier such as ">=3.8,<3.12" or "==3.9.*", where it stands), ("", "") when nothing is said."""
    declared = table(pyproject, "project").get("requires-python")
    if isinstance(declared, str):
        return declared, "requires-python in pyproject.toml"
    poetry = table(pyproject, "tool", "poetry", "dependencies").get("python")
    if isinstance(poetry, str):
        return _poetry("", poetry), "python in pyproject.toml"
    if cfg.has_option("options", "python_requires"):
        return cfg.get("options", "python_requires"), "python_requires in setup.cfg"
    value = literal(setup.get("python_requires"))
    if isinstance(value, str):
        return value, "python_requires in setup.py"
    pinned = re.match(r"\s*(\d+\.\d+)", text(read, ".python-version"))
    return (f"=={pinned[1]}.*", ".python-version") if pinned else ("", "")


def own_runner(paths: Collection[str]) -> str:
    """The project's own test runner, where it has one that pytest cannot stand for."""
    return next((path for path in ("tests/runtests.py", "runtests.py") if path in paths), "")


def nested_includes(read: Read, path: str, seen: frozenset[str] = frozenset()) -> list[str]:
    """A requirements file and those it includes."""
    if path in seen or read(path) is None:
        return []
    found = [path]
    for line in text(read, path).splitlines():
        include = re.match(r"\s*(?:-r|--requirement|-c|--constraint)[ =]*([^\s#]+)", line)
        if include:
            other = posixpath.normpath(posixpath.join(posixpath.dirname(path), include[1]))
            found += nested_includes(read, other, seen | {path})
    return found
