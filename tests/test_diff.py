"""What a patch may hold, and how it reaches the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentmem.changes import Changes, FileState
from agentmem.checkout import Checkout
from agentmem.diff import MAX_FILES, FileChange, check_patch, normalised
from agentmem.errors import AgentmemError, PatchRefused, UsageError
from agentmem.publish import apply_to_user, make_branch
from tests.repos import commit, git, new_repo, put


def edit(path: str, *, old: str = "a", new: str = "b", header: str = "") -> str:
    name = f"diff --git a/{path} b/{path}\n{header}"
    return f"{name}index 1111111..2222222 100644\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{old}\n+{new}\n"


def create(path: str, *, mode: str = "100644", content: str = "x") -> str:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\nindex 0000000..1111111\n"
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{content}\n"
    )


QUOTED_GIT = 'diff --git "a/\\056git/config" "b/\\056git/config"\nnew file mode 100644\n'
QUOTED_GIT += '--- /dev/null\n+++ "b/\\056git/config"\n@@ -0,0 +1 @@\n+x\n'
TO_LINK = "diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
OVERRIDE = create("x").replace("new file mode 100644\n", "new file mode 100644\nnew file mode 120000\n")

ATTACKS = {
    "empty": ("", "empty"),
    "blank": ("\n", "no part of a git diff"),
    "prose": ("Here is the patch:\n" + edit("x"), "no part of a git diff"),
    "link": (create("x", mode="120000", content="/etc/passwd"), "symbolic links"),
    "file becomes link": (TO_LINK + create("x", mode="120000"), "symbolic links"),
    "mode given twice": (OVERRIDE, "symbolic links"),
    "edit of a link": (edit("x").replace(" 100644", " 120000"), "symbolic links"),
    "submodule": (create("x", mode="160000"), "submodules"),
    "gitmodules": (edit(".gitmodules"), "submodules"),
    "setuid": (create("x", mode="104755"), "file mode 104755"),
    "git dir": (edit(".git/hooks/pre-commit"), "below .git"),
    "git dir, other case": (edit(".GiT/config"), "below .git"),
    "git dir, nested": (edit("a/.git/config"), "below .git"),
    "git dir, quoted": (QUOTED_GIT, "below .git"),
    "git dir, trailing dot": (edit(".git./config"), "below .git"),
    "git dir, invisible": (edit(".g\u200cit/config"), "below .git"),
    "git dir, short name": (edit("GIT~1/config"), "below .git"),
    "git dir, stream": (edit(".git::$INDEX_ALLOCATION/config"), "below .git"),
    "parent": (edit("../x"), r"`\.\.`"),
    "inner parent": (edit("a/../../x"), r"`\.\.`"),
    "absolute": (edit("/etc/passwd"), "absolute"),
    "drive": (edit("C:/x"), "absolute"),
    "backslash": (edit("..\\x"), "absolute"),
    "control character": (edit("a\x1b[0m"), "control"),
    "names disagree": (edit("x").replace("+++ b/x", "+++ b/../y"), "another file"),
    "headers disagree": (edit("x").replace("diff --git a/x b/x", "diff --git a/x b/y"), "different files"),
    "no prefix": ("diff --git x x\n--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n", "prefixes"),
    "traditional": ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "no part of a git diff"),
    "second file smuggled in": (edit("x") + edit(".git/config").partition("100644\n")[2], "no part"),
    "counts lie": (edit("x").replace("@@ -1 +1 @@", "@@ -1,3 +1,3 @@"), "middle of a hunk"),
    "counts lie below": (edit("x").replace("@@ -1 +1 @@", "@@ -1 +0,0 @@"), "more lines|no part"),
    "rename": ("diff --git a/x b/x\nsimilarity index 100%\nrename from x\nrename to .git/x\n", "renames"),
    "binary": ("diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 1\nIc\n", "binary"),
    "binary notice": ("diff --git a/x b/x\nindex 1..2\nBinary files a/x and b/x differ\n", "binary"),
    "nul": (edit("x", new="a\0b"), "NUL"),
    "nothing": ("diff --git a/x b/x\n", "without any change"),
    "twice": (edit("x") + edit("x"), "twice"),
    "too many": ("".join(edit(f"f{n}") for n in range(MAX_FILES + 1)), "101 files"),
    "too large": (create("x", content="y" * (1 << 20)), "bytes"),
    "created and deleted": (TO_LINK.replace("deleted", "new file mode 100644\ndeleted", 1), "names"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused(name: str) -> None:
    text, why = ATTACKS[name]
    with pytest.raises(PatchRefused, match=why):
        check_patch(text, allow=frozenset({"ci", "test-hooks"}))


GUARDED = [
    (".github/workflows/ci.yml", "ci"),
    (".GitHub/Workflows/ci.yml", "ci"),
    (".gitlab-ci.yml", "ci"),
    (".circleci/config.yml", "ci"),
    ("action.yml", "ci"),
    ("Jenkinsfile", "ci"),
    ("tests/conftest.py", "test-hooks"),
    ("src/sitecustomize.py", "test-hooks"),
    ("usercustomize.py", "test-hooks"),
    ("x.pth", "test-hooks"),
    ("pytest.ini", "test-hooks"),
    ("tox.ini", "test-hooks"),
    ("noxfile.py", "test-hooks"),
]


@pytest.mark.parametrize("path", ["pytest.py", "_pytest/__init__.py", "unittest/case.py", "coverage.py"])
def test_a_new_file_in_place_of_the_test_runner_is_refused(path: str) -> None:
    with pytest.raises(PatchRefused, match="in place of the test runner"):
        check_patch(create(path))
    assert list(check_patch(edit(path)).files) == [path]
    assert list(check_patch(create(f"src/{path}")).files) == [f"src/{path}"]


@pytest.mark.parametrize(("path", "kind"), GUARDED)
def test_guarded_files_need_their_permission(path: str, kind: str) -> None:
    other = frozenset({"ci", "test-hooks"} - {kind})
    with pytest.raises(PatchRefused) as caught:
        check_patch(edit(path), allow=other)
    assert kind in caught.value.mend
    assert list(check_patch(edit(path), allow=frozenset({kind})).files) == [path]


def test_the_test_runner_section_of_a_settings_file_is_guarded() -> None:
    inside = edit("pyproject.toml").partition("@@")[0] + "@@ -1,3 +1,3 @@\n"
    section = inside + ' [tool.pytest.ini_options]\n-x = "1"\n+x = "2"\n [project]\n'
    unseen = edit("setup.cfg", old="addopts = -q", new="addopts = -p evil")
    plugin = edit("pyproject.toml", old="", new="[project.entry-points.pytest11]")
    for text in (section, unseen, plugin):
        with pytest.raises(PatchRefused, match="test runner"):
            check_patch(text)
        check_patch(text, allow=frozenset({"test-hooks"}))
    after = inside + ' [tool.pytest.ini_options]\n [project]\n-version = "1"\n+version = "2"\n'
    assert check_patch(after).changed_lines == 2
    assert check_patch(edit("pyproject.toml", old='version = "1"', new='version = "2"')).changed_lines == 2


def test_names_that_only_look_guarded_pass() -> None:
    for path in (
        "pkg/transaction.yml",
        "docs/conftest.md",
        ".gitignore",
        ".github/x.md",
        "a/.gitkeep",
        "pth.py",
    ):
        check_patch(edit(path))


def test_line_numbers() -> None:
    text = (
        "diff --git a/m.py b/m.py\nindex 1..2 100644\n--- a/m.py\n+++ b/m.py\n"
        "@@ -2,4 +2,5 @@ def f():\n a\n-b\n+B\n+C\n c\n d\n"
        "@@ -10,2 +11,1 @@\n x\n--- y\n\\ No newline at end of file\n"
    )
    info = check_patch(text + create("n.py").replace("+x\n", "+x\n\\ No newline at end of file\n"))
    assert info.files["m.py"] == FileChange((3, 4), (3, 11))
    assert info.files["n.py"] == FileChange((1,), (), created=True)
    assert (info.added, info.removed, info.changed_lines) == (3, 2, 5)


def test_every_diff_we_make_is_understood(tmp_path: Path) -> None:
    repo = new_repo(tmp_path / "r", {"a b": "1\n", "é.py": "1\n2\n", "gone": "x", "empty": "", "run": "x\n"})
    checkout = Checkout.create(repo, tmp_path / "s")
    changes = Changes(
        {
            "a b": FileState(b"2\n"),
            "\u00e9.py": FileState(b"1\r\n\x0c2\x85\xe2\x80\xa8\n"),
            "tab\tand \"quote\"": FileState(b"--- a\n+++ b\n@@ x\n\\ y"),
            "new empty": FileState(b""),
            "run": FileState(b"x\n", "100755"),
        },
        ["gone", "empty"],
    )  # fmt: skip
    with pytest.raises(PatchRefused, match="control"):
        check_patch(checkout.diff(changes))
    plain = Changes({p.replace("\t", ""): s for p, s in changes.files.items()}, changes.deleted)
    text = checkout.diff(plain)
    info = check_patch(text)
    assert set(info.files) == {*plain.files, *plain.deleted}
    assert info.files["run"] == FileChange((), ())
    assert info.files["gone"] == FileChange((), (1,), deleted=True)
    assert dict(checkout.apply(text).files) == dict(plain.files)


def test_normalised_forgets_accidents_only() -> None:
    one = "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -5,2 +5,3 @@ f\n c\n"
    one += "-a = 1\n+a  =  2\n+\n"
    other = "diff --git a/x b/x\nindex 3..4 100644\n--- a/x\n+++ b/x\n@@ -9 +9 @@\n-a = 1\n+a = 2\n"
    assert normalised(one) == normalised(other)
    assert normalised(edit("y") + edit("x")) == normalised(edit("x") + edit("y"))
    assert normalised(edit("x")) != normalised(edit("y"))
    assert normalised(edit("x")) != normalised(edit("x", new="c"))
    assert normalised(edit("x", new="return")) != normalised(edit("x", new="  return"))
    assert normalised(edit("x", new="'a b'")) != normalised(edit("x", new="'ab'"))


# -- reaching the user

NINE = "".join(f"{number}\n" for number in range(1, 10))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return new_repo(tmp_path / "proj", {"a.py": NINE, "b.py": "b\n"})


@pytest.fixture
def patch(repo: Path, tmp_path: Path) -> str:
    changes = Changes(
        {"a.py": FileState(NINE.replace("5", "five").encode()), "sub/new.py": FileState(b"n\n")}
    )
    return Checkout.create(repo, tmp_path / "s").diff(changes)


def snapshot(repo: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in repo.rglob("*") if p.is_file() and "objects" not in p.parts}


def test_apply_changes_the_work_tree_and_nothing_else(repo: Path, patch: str) -> None:
    put(repo, {"b.py": "my own change\n", "untracked": "mine"})
    before = snapshot(repo)
    assert apply_to_user(repo, patch, base="HEAD") == ["a.py", "sub/new.py"]
    after = snapshot(repo)
    changed = {str(repo / "a.py"): NINE.replace("5", "five").encode(), str(repo / "sub/new.py"): b"n\n"}
    assert after == before | changed


@pytest.mark.parametrize("staged", [True, False])
def test_apply_refuses_to_touch_dirty_files(repo: Path, patch: str, staged: bool) -> None:
    put(repo, {"a.py": NINE + "mine\n"})
    if staged:
        git(repo, "add", "a.py")
    before = snapshot(repo)
    with pytest.raises(UsageError, match=r"changes of yours: a\.py"):
        apply_to_user(repo, patch, base="HEAD")
    assert snapshot(repo) == before


def test_apply_refuses_what_overwrites_or_does_not_fit(repo: Path, patch: str, tmp_path: Path) -> None:
    put(repo, {"sub/new.py": "mine"})
    before = snapshot(repo)
    with pytest.raises(UsageError, match=r"in the way: sub/new\.py"):
        apply_to_user(repo, patch, base="HEAD")
    assert snapshot(repo) == before

    (repo / "sub/new.py").unlink()
    (repo / "sub").rmdir()
    (repo / "sub").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="in the way"):
        apply_to_user(repo, patch, base="HEAD")
    assert not (tmp_path / "new.py").exists()

    (repo / "sub").unlink()
    put(repo, {"sub": "a file of mine"})
    before = snapshot(repo)
    with pytest.raises(UsageError, match="in the way"):
        apply_to_user(repo, patch, base="HEAD")
    assert snapshot(repo) == before

    (repo / "sub").unlink()
    commit(repo, {"a.py": "something else\n"})
    before = snapshot(repo)
    with pytest.raises(UsageError, match="does not apply"):
        apply_to_user(repo, patch, base="0123456789abcdef")
    assert snapshot(repo) == before


def test_apply_after_unrelated_commits_works(repo: Path, patch: str) -> None:
    commit(repo, {"a.py": "0\n" + NINE, "c.py": "c\n"})
    apply_to_user(repo, patch, base="HEAD~1")
    assert (repo / "a.py").read_text() == "0\n" + NINE.replace("5", "five")


def test_apply_runs_no_filter(repo: Path, patch: str, tmp_path: Path) -> None:
    commit(repo, {".gitattributes": "* filter=evil\n"})
    for kind in ("clean", "smudge"):
        git(repo, "config", f"filter.evil.{kind}", f"touch {tmp_path}/SPRUNG; cat")
    apply_to_user(repo, patch, base="HEAD")
    assert not (tmp_path / "SPRUNG").exists()


def test_branch_leaves_everything_else_alone(repo: Path, patch: str, tmp_path: Path) -> None:
    base = git(repo, "rev-parse", "HEAD")
    commit(repo, {"a.py": "moved on\n"})
    put(repo, {"a.py": "dirty\n", "b.py": "staged\n", "sub/new.py": "mine"})
    git(repo, "add", "b.py")
    hook = repo / ".git/hooks/reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/SPRUNG\n")
    hook.chmod(0o755)
    git(repo, "config", "user.name", "Some One")
    before = snapshot(repo)

    made = make_branch(repo, "agentmem/fix-1", base, patch, "Fix it\n\nBecause.\n")

    assert {path for path, data in snapshot(repo).items() if before.get(path) != data} <= {
        str(repo / ".git/refs/heads/agentmem/fix-1"),
        str(repo / ".git/logs/refs/heads/agentmem/fix-1"),
    }
    assert git(repo, "rev-parse", "agentmem/fix-1", "agentmem/fix-1^").split() == [made, base]
    assert git(repo, "show", "agentmem/fix-1:a.py") == NINE.replace("5", "five").strip()
    assert git(repo, "log", "-1", "--format=%an|%s", made) == "Some One|Fix it"
    assert not (tmp_path / "SPRUNG").exists()
    git(repo, "fsck", "--strict")


@pytest.mark.parametrize("name", ["trunk", "-x", "a..b", "HEAD", "a b", "", "x.lock", "trunk/below", "@{1}"])
def test_branch_names_are_checked(repo: Path, patch: str, name: str) -> None:
    refs = git(repo, "for-each-ref")
    with pytest.raises(UsageError, match="branch"):
        make_branch(repo, name, "HEAD", patch, "m")
    assert git(repo, "for-each-ref") == refs


def test_branch_refuses_a_patch_that_does_not_apply(repo: Path) -> None:
    with pytest.raises(AgentmemError, match="does not apply"):
        make_branch(repo, "x", "HEAD", edit("a.py", old="nope"), "m")
    assert "x" not in git(repo, "branch", "--list")
