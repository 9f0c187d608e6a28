"""Each tool of the agent in a real container: what it does, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agentmem.agent.specs import ROLES
from agentmem.agent.tools import Toolbox
from agentmem.context.steps import ToolResult
from agentmem.model.base import ToolCall
from agentmem.sandbox.build import DockerPrepared, prepare
from agentmem.sandbox.docker import DockerSandbox
from agentmem.sandbox.environment import detect
from agentmem.sandbox.limits import MIB, Limits
from tests.projects import TINY, archive_of

pytestmark = pytest.mark.docker


class Shelf(dict[str, str]):
    """An archive in memory."""

    def put(self, text: str) -> str:
        name = f"obs-{len(self)}"
        self[name] = text
        return name


@pytest.fixture(scope="module")
def prepared() -> DockerPrepared:
    plan = detect([path for path in TINY if not path.startswith(".git/")], TINY.get)
    limits = Limits(memory=512 * MIB)
    return prepare(plan, commit="tiny-1", archive=archive_of(TINY), run_id="tools", limits=limits)


@pytest.fixture(scope="module")
def container(prepared: DockerPrepared) -> Iterator[DockerSandbox]:
    """One for all tests: each works on files of its own."""
    with prepared.start() as box:
        yield box


@pytest.fixture
def box(container: DockerSandbox) -> Toolbox:
    return Toolbox(
        sandbox=container,
        specs=ROLES["patch"],
        find=lambda query, limit: f"{limit} places for {query}" if query != "nothing" else "",
        tracked=lambda path: path in TINY,
        archive=Shelf(),
        cap=2_000,
        timeout=20,
        hint=lambda command, code: "that was a test" if "pytest" in command and code else "",
        clean=lambda text: text.replace("hunter2", "[secret]"),
    )


def call(box: Toolbox, name: str, **arguments: Any) -> ToolResult:
    return box.run(ToolCall("c1", name, arguments))


def refusal(box: Toolbox, name: str, **arguments: Any) -> str:
    result = call(box, name, **arguments)
    assert not result.ok
    return result.text


def test_bash_shows_output_and_exit_code(box: Toolbox) -> None:
    result = call(box, "bash", command="echo one; echo two >&2; exit 3")
    assert (result.ok, result.text) == (True, "one\ntwo\n[exit code 3]")
    assert call(box, "bash", command="pwd").text == "/workspace\n[exit code 0]"
    assert call(box, "bash", command="true").text == "[exit code 0]"
    assert call(box, "bash", command=": pytest; false").text.endswith("[exit code 1] that was a test")


def test_bash_is_killed_at_its_timeout_but_never_gets_more_than_the_run_allows(box: Toolbox) -> None:
    killed = call(box, "bash", command="echo begun; sleep 60", timeout=1)
    assert killed.text.startswith("begun\n")
    assert killed.text.endswith("[killed after 1 s]")
    assert call(box, "bash", command="sleep 0.1", timeout=100_000).text == "[exit code 0]"
    assert call(box, "bash", command="true", timeout=-5).text == "[exit code 0]"


def test_bash_output_that_is_no_text_or_no_command(box: Toolbox) -> None:
    assert "\ufffd" in call(box, "bash", command="printf '\\377\\376'").text
    assert "NUL" in refusal(box, "bash", command="echo \0")
    assert "[exit code 127]" in call(box, "bash", command="no-such-program").text


def test_a_secret_is_neither_shown_nor_kept(box: Toolbox) -> None:
    result = call(box, "bash", command="yes hunter2 | head -1000")
    assert "hunter2" not in result.text
    assert "hunter2" not in str(box.archive.get(result.archive))


def test_long_output_is_cut_and_recalled_in_parts(box: Toolbox) -> None:
    result = call(box, "bash", command="seq 1 5000")
    assert len(result.text) < 2_200
    assert result.text.startswith("1\n2\n")
    assert "characters left out" in result.text
    assert f"recall {result.archive} with start and end" in result.text
    part = call(box, "recall", query=f" {result.archive} ", start=2500, end=2502)
    assert part.text == "2500\n2501\n2502"
    assert call(box, "recall", query=result.archive, start=4999).text == "4999\n5000\n[exit code 0]"
    whole = call(box, "recall", query=result.archive)
    assert "characters left out" in whole.text
    assert refusal(box, "recall", query="../events.jsonl") == "nothing is kept under that id"


def test_find(box: Toolbox) -> None:
    assert call(box, "find", query="f").text == "10 places for f"
    assert call(box, "find", query="f", limit=999).text == "50 places for f"
    assert call(box, "find", query="nothing").text == "nothing found"


def test_view_numbers_lines_and_says_what_is_left_out(box: Toolbox) -> None:
    assert call(box, "view", path="tiny.py").text == "    1 def f():\n    2     return 1"
    assert call(box, "view", path="/workspace/tiny.py").ok
    box.sandbox.write("long.txt", "".join(f"{n}\n" for n in range(1, 1001)).encode())
    shown = call(box, "view", path="long.txt", start=400, end=402).text
    assert shown == "  400 400\n  401 401\n  402 402\n[lines 400-402 of 1000]"
    assert call(box, "view", path="long.txt", start=-7, end=1).text == "    1 1\n[lines 1-1 of 1000]"
    assert refusal(box, "view", path="long.txt", start=1001) == "long.txt has 1000 lines"


def test_view_of_folders_and_of_what_is_not_text(box: Toolbox) -> None:
    assert "a.txt" in call(box, "view", path="docs").text
    assert "tiny.py" in call(box, "view", path=".").text
    assert "there is no such file" in refusal(box, "view", path="nope.py")
    box.sandbox.run("mkfifo pipe; head -c 17000000 /dev/zero > huge; printf 'caf\\351\\n' > latin.txt", 20)
    assert "not a regular file" in refusal(box, "view", path="pipe")
    assert "too large" in refusal(box, "view", path="huge")
    assert call(box, "view", path="latin.txt").text == "    1 caf\ufffd"
    assert "not a path" in refusal(box, "view", path="a\0b")
    assert "not a path" in refusal(box, "view", path="")


def test_paths_lead_nowhere_but_into_the_sandbox(box: Toolbox, tmp_path: Any) -> None:
    canary = tmp_path / "canary"
    canary.write_text("of the host")
    assert "there is no such file" in refusal(box, "view", path=str(canary))
    assert "there is no such file" in refusal(box, "view", path=f"../../..{canary}")
    assert "root:x:0" in call(box, "view", path="../../../etc/passwd").text  # the container's own
    box.sandbox.run(f"ln -s {canary} link", 20)
    assert not call(box, "view", path="link").ok
    for path in ("/etc/planted", "../planted", "/root/planted"):
        assert refusal(box, "edit", path=path, old="", new="x")
    assert canary.read_text() == "of the host"


def test_edit_creates_and_replaces(box: Toolbox) -> None:
    made = call(box, "edit", path="pkg/new.py", old="", new="a = 1\nb = 2")
    assert made.text == "created pkg/new.py\n    1 a = 1\n    2 b = 2"
    assert box.sandbox.read("pkg/new.py") == b"a = 1\nb = 2\n"
    changed = call(box, "edit", path="pkg/new.py", old="b = 2", new="b = 3")
    assert changed.text == "changed pkg/new.py\n    1 a = 1\n    2 b = 3"
    again = call(box, "edit", path="pkg/new.py", old="", new="c = 4\n")  # its own file: written anew
    assert again.text == "changed pkg/new.py\n    1 c = 4"


def test_edit_keeps_a_mode(box: Toolbox) -> None:
    box.sandbox.run("printf '#!/bin/sh\\necho 1\\n' > run.sh; chmod 755 run.sh", 20)
    assert call(box, "edit", path="run.sh", old="echo 1", new="echo 2").ok
    assert call(box, "bash", command="./run.sh").text == "2\n[exit code 0]"


def test_edit_refuses_with_a_reason(box: Toolbox) -> None:
    assert "give the text to replace" in refusal(box, "edit", path="tiny.py", old="", new="x")
    assert "does not occur" in refusal(box, "edit", path="tiny.py", old="return 7", new="x")
    assert "occurs 2 times" in refusal(box, "edit", path="tiny.py", old="f", new="g")
    assert "are the same" in refusal(box, "edit", path="tiny.py", old="return 1", new="return 1")
    assert "an empty `old` creates it" in refusal(box, "edit", path="none.py", old="a", new="b")
    assert "it is a folder" in refusal(box, "edit", path="docs", old="", new="x")
    assert "is empty or holds a NUL" in refusal(box, "edit", path=" ", old="", new="x")
    box.sandbox.run("printf 'caf\\351\\n' > latin.txt", 20)
    assert "not UTF-8" in refusal(box, "edit", path="latin.txt", old="caf", new="x")
    assert not call(box, "edit", path="lone.py", old="", new="\ud800").ok
    assert box.sandbox.read("tiny.py") == TINY["tiny.py"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("run", {}, "there is no tool 'run'; the tools are: bash, find, view, edit, recall, submit_patch"),
        ("submit_reproducer", {}, "there is no tool"),  # another role's
        ("bash", {}, "bash needs command"),
        ("edit", {"path": "a"}, "edit needs old, new"),
        ("bash", {"command": 7}, "bash: command must be of type string"),
        ("view", {"path": "a", "start": "1"}, "view: start must be of type integer"),
        ("view", {"path": "a", "start": True}, "view: start must be of type integer"),
        ("view", {"path": "a", "line": 1}, "view has no argument 'line'; it takes path, start, end"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(
    box: Toolbox, name: str, arguments: dict[str, Any], said: str
) -> None:
    assert said in refusal(box, name, **arguments)


def test_arguments_that_could_not_be_read_are_answered_with_why(box: Toolbox) -> None:
    broken = ToolCall("c1", "bash", {}, problem="the arguments are not JSON")
    assert box.run(broken) == ToolResult("c1", "bash", "the arguments are not JSON", ok=False)
    assert box.check_submission(ToolCall("c2", "submit_patch", {})) == "submit_patch needs explanation"
    assert box.check_submission(ToolCall("c3", "submit_patch", {"explanation": "why"})) == ""
