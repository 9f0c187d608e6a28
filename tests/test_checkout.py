"""A checkout holds one commit and its past, runs nothing of the repository, and gives back what it got."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest

from agentmem.changes import Changes, FileState
from agentmem.checkout import Checkout, encode_diff
from agentmem.errors import PatchRefused, UsageError
from tests.repos import commit, git, new_repo, put

FILES = {"pkg/app.py": "def f():\n    return 1\n", "README": "hello\n", ".gitignore": "*.log\nbuild/\n"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return new_repo(tmp_path / "proj", FILES)


def unpack(checkout: Checkout, folder: Path) -> Path:
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(b"".join(checkout.archive()))) as tar:
        tar.extractall(folder, filter="fully_trusted")
    return folder


def every_object(git_dir: Path) -> dict[str, bytes]:
    names = git(git_dir, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
    pairs = [line.split() for line in names.splitlines()]
    return {
        sha: subprocess.run(["git", "cat-file", kind, sha], cwd=git_dir, capture_output=True).stdout
        for sha, kind in pairs
    }


def test_nothing_later_than_the_base_commit_exists(repo: Path, tmp_path: Path) -> None:
    base = git(repo, "rev-parse", "HEAD")
    secret = "THE-FUTURE-FIX"
    later = commit(repo, {"pkg/app.py": f"def f():\n    return '{secret}'\n"}, f"fix {secret}")
    git(repo, "tag", "-a", "v2", "-m", secret)
    git(repo, "branch", "topic")
    put(repo, {"loose": secret})
    git(repo, "hash-object", "-w", "loose")
    git(repo, "add", "-A")
    git(repo, "stash")
    git(repo, "gc", "-q")
    git(repo, "remote", "add", "origin", f"https://user:{secret}@example.org/owner/thing.git")

    checkout = Checkout.create(repo, tmp_path / "scratch", base)
    work = unpack(checkout, tmp_path / "work")

    assert checkout.commit == base
    for git_dir in (checkout.store, work / ".git"):
        objects = every_object(git_dir)
        assert base in objects
        assert later not in objects
        assert not any(secret.encode() in data for data in objects.values())
        assert git(git_dir, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
        assert git(git_dir, "reflog", "--all") == ""
        assert git(git_dir, "remote") == ""
    for file in (path for root in (checkout.store, work) for path in root.rglob("*") if path.is_file()):
        data = file.read_bytes()
        assert secret.encode() not in data, file
        if data[:2] in (b"\x78\x01", b"\x78\x9c"):
            assert secret.encode() not in zlib.decompress(data), file


def test_history_before_the_base_commit_stays(repo: Path, tmp_path: Path) -> None:
    commit(repo, {"README": "hello again\n"}, "second")
    work = unpack(Checkout.create(repo, tmp_path / "s"), tmp_path / "work")
    assert git(work, "log", "--format=%s").splitlines() == ["second", "first"]
    assert "first" not in git(work, "blame", "-s", "README")
    git(work, "fsck", "--strict")


def test_the_archive_is_clean_and_keeps_modes_links_and_odd_names(repo: Path, tmp_path: Path) -> None:
    (repo / "link").symlink_to("/etc/hostname")
    latin = os.fsdecode(b"na\xefve")
    deep = "d/" * 60 + "x.txt"
    odd: dict[str, str | bytes] = {
        "run.sh": "#!/bin/sh\n",
        "sp ace/q\"u'o\\te": "x",
        "crlf.txt": b"a\r\nb\r\n",
        latin: "y",
        deep: "z",
    }
    put(repo, {**odd, "line\nend": "n", "tiny.bin": bytes(range(256))})
    (repo / "run.sh").chmod(0o755)
    commit(repo, {"wide": "wide".encode("utf-16")})
    attributes = "*.txt text eol=crlf\n*.py filter=evil ident\nwide working-tree-encoding=UTF-16\n"
    put(repo, {".gitattributes": attributes})
    git(repo, "add", ".gitattributes")  # the blobs stay as they are
    git(repo, "commit", "-qm", "attributes")
    checkout = Checkout.create(repo, tmp_path / "s")

    members = tarfile.open(fileobj=io.BytesIO(b"".join(checkout.archive()))).getmembers()  # noqa: SIM115
    assert {(m.uid, m.gid, m.mtime) for m in members} == {(10001, 10001, 1580601600)}
    assert not any(m.name.startswith(("/", "..")) for m in members)
    work = unpack(checkout, tmp_path / "work")
    assert git(work, "status", "--porcelain") == ""
    assert (work / "link").readlink() == Path("/etc/hostname")
    assert (work / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (work / "crlf.txt").read_bytes() == b"a\r\nb\r\n"
    assert (work / latin).read_text() == "y"
    assert (work / deep).read_text() == "z"
    assert (work / "line\nend").read_text() == "n"
    config = (work / ".git/config").read_text()
    assert str(tmp_path) not in config
    assert "A" not in git(work, "config", "user.name")


def test_reading(repo: Path, tmp_path: Path) -> None:
    (repo / "link").symlink_to("README")
    put(repo, {"untracked": "no"})
    git(repo, "add", "link")
    git(repo, "commit", "-qm", "link")
    checkout = Checkout.create(repo, tmp_path / "s")
    assert checkout.paths() == [".gitignore", "README", "pkg/app.py"]
    assert checkout.read("README") == b"hello\n"
    assert checkout.read("link") == b"README"
    assert checkout.read("untracked") is None
    assert checkout.blobs()["README"] == git(repo, "hash-object", "README")
    assert dict(checkout.read_many(["pkg/app.py", "nope", "README"])) == {
        "pkg/app.py": b"def f():\n    return 1\n",
        "README": b"hello\n",
    }
    assert checkout.commit_date.isoformat() == "2020-02-02T00:00:00+00:00"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://token:x@github.com/pallets/flask.git", "pallets/flask"),
        ("git@github.com:pallets/flask.git", "pallets/flask"),
        ("ssh://git@host:22/group/sub/thing", "sub/thing"),
        ("/home/someone/private/thing", "proj"),
        ("", "proj"),
    ],
)
def test_the_name(repo: Path, tmp_path: Path, url: str, name: str) -> None:
    if url:
        git(repo, "remote", "add", "origin", url)
    assert Checkout.create(repo, tmp_path / "s").name == name


def test_a_hostile_repository_runs_nothing(repo: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/SPRUNG\ncat\n")
    trap.chmod(0o755)
    commit(repo, {".gitattributes": "* filter=evil diff=evil merge=evil\n"})
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-commit", "post-commit"):
        (repo / ".git/hooks" / name).write_bytes(trap.read_bytes())
        (repo / ".git/hooks" / name).chmod(0o755)
    names = (
        "core.fsmonitor core.pager core.editor core.sshCommand core.askPass diff.external diff.evil.command"
    )
    names += " diff.evil.textconv filter.evil.clean filter.evil.smudge filter.evil.process pager.log"
    names += (
        " uploadpack.packObjectsHook gpg.program credential.helper core.gitProxy core.alternateRefsCommand"
    )
    for name in names.split():
        git(repo, "config", name, str(trap))
    git(repo, "config", "commit.gpgSign", "true")
    git(repo, "config", "log.showSignature", "true")
    put(repo, {"README": "changed\n"})

    checkout = Checkout.create(repo, tmp_path / "s")
    assert checkout.dirty_paths() == ["README"]
    changes = Changes({"README": FileState(b"new\n")})
    text = checkout.diff(changes)
    assert checkout.apply(text) == changes
    unpack(checkout, tmp_path / "work")
    assert not (tmp_path / "SPRUNG").exists()


def test_dirty_sees_tracked_changes_only_and_leaves_the_index_alone(repo: Path, tmp_path: Path) -> None:
    index = (repo / ".git/index").read_bytes()
    checkout = Checkout.create(repo, tmp_path / "s")
    put(repo, {"new": "x"})
    (repo / "README").touch()
    assert not checkout.dirty
    put(repo, {"README": "mine\n"})
    assert checkout.dirty_paths() == ["README"]
    git(repo, "add", "README")
    index = (repo / ".git/index").read_bytes()
    (repo / "pkg/app.py").unlink()
    assert checkout.dirty_paths() == ["README", "pkg/app.py"]
    assert (repo / ".git/index").read_bytes() == index


def test_changes_to_diff_and_back(repo: Path, tmp_path: Path) -> None:
    commit(repo, {"gone.py": "x\n", "mixed.txt": b"a\r\nb\r\nc\n", "dir": "was a file\n"})
    checkout = Checkout.create(repo, tmp_path / "s")
    changes = Changes(
        {
            "pkg/app.py": FileState(b"def f():\n    return 2\n"),
            "pkg/new é.py": FileState(b"no newline"),
            "mixed.txt": FileState(b"a\r\nB\r\nc\n\xff\n"),
            "run": FileState(b"#!/bin/sh\n", "100755"),
            "dir/inner": FileState(b"now a folder\n"),
            "README": FileState(b"hello\n"),
        },
        ["gone.py", "dir", "never-there"],
    )
    text = checkout.diff(changes)
    assert "README" not in text
    assert "return 2" in text
    back = checkout.apply(text)
    assert dict(back.files) == {path: s for path, s in changes.files.items() if path != "README"}
    assert sorted(back.deleted) == ["dir", "gone.py"]
    assert checkout.tree_with(back) == checkout.tree_with(changes)
    git(repo, "apply", "--check", "-", stdin=encode_diff(text))


def test_litter_never_enters_the_patch(repo: Path, tmp_path: Path) -> None:
    commit(repo, {"sub/.gitignore": "!keep.log\nlocal.*\n", "kept.log": "tracked though ignored\n"})
    checkout = Checkout.create(repo, tmp_path / "s")
    names = [
        "pkg/__pycache__/app.cpython-311.pyc",
        ".pytest_cache/v/x",
        ".coverage",
        "p.egg-info/PKG-INFO",
        "a.log",
    ]
    names += ["build/out", "pkg/app.py.orig", "pkg/app.py.rej", "sub/local.txt", ".git/hooks/pre-commit"]
    names += ["sub/.GIT/config", "repro_test.py"]
    good = ["sub/keep.log", "kept.log", "pkg/new.py"]
    changes = Changes({name: FileState(b"new\n") for name in names + good} | {"logo.dat": FileState(b"a\0b")})
    patch = checkout.patch(changes, ignore={"repro_test.py"})
    assert sorted(checkout.apply(patch.text).files) == sorted(good)
    reasons = dict(patch.left_out)
    assert reasons["a.log"] == "ignored by .gitignore"
    assert reasons["sub/local.txt"] == "ignored by sub/.gitignore"
    assert reasons["logo.dat"] == "binary"
    assert reasons[".coverage"] == "litter of a tool"
    assert checkout.diff(Changes()) == ""


def test_an_agent_cannot_unignore_by_changing_gitignore(repo: Path, tmp_path: Path) -> None:
    checkout = Checkout.create(repo, tmp_path / "s")
    text = checkout.diff(Changes({".gitignore": FileState(b""), "a.log": FileState(b"x\n")}))
    assert "a.log" not in text


def test_links_stay_links_and_the_host_is_never_read(repo: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("HOST-SECRET")
    checkout = Checkout.create(repo, tmp_path / "s")
    text = checkout.diff(Changes({"l": FileState(os.fsencode(secret), "120000")}))
    assert "new file mode 120000" in text
    assert "HOST-SECRET" not in text


@pytest.mark.parametrize("path", ["../x", "/abs", "a/../../x", "a//b"])
def test_impossible_paths_are_refused(repo: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(PatchRefused, match="impossible path"):
        Checkout.create(repo, tmp_path / "s").tree_with(Changes({path: FileState(b"x")}))


def test_a_patch_that_does_not_apply_names_its_hunk(repo: Path, tmp_path: Path) -> None:
    checkout = Checkout.create(repo, tmp_path / "s")
    text = checkout.diff(Changes({"README": FileState(b"bye\n")})).replace("-hello", "-hullo")
    with pytest.raises(PatchRefused, match="README:1"):
        checkout.apply(text)


def test_a_store_is_used_again(repo: Path, tmp_path: Path) -> None:
    first = Checkout.create(repo, tmp_path / "s")
    commit(repo, {"README": "later\n"})
    again = Checkout.create(repo, tmp_path / "s", first.commit)
    assert (again.store, again.read("README")) == (first.store, b"hello\n")
    assert [path.name for path in (tmp_path / "s").iterdir()] == [first.store.name]


def test_shallow_bare_linked_and_submodules(repo: Path, tmp_path: Path) -> None:
    commit(repo, {"README": "two\n"}, "second")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repo}", "shallow")
    work = unpack(Checkout.create(tmp_path / "shallow", tmp_path / "s1"), tmp_path / "w1")
    assert git(work, "log", "--format=%s") == "second"
    git(work, "fsck")

    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    bare = Checkout.create(tmp_path / "bare.git", tmp_path / "s2")
    assert (bare.read("README"), bare.dirty, bare.name) == (b"two\n", False, "bare")

    git(repo, "worktree", "add", "-q", str(tmp_path / "linked"), "HEAD~1")
    put(tmp_path / "linked", {"README": "dirty\n"})
    linked = Checkout.create(tmp_path / "linked", tmp_path / "s3")
    assert (linked.read("README"), linked.dirty_paths()) == (b"hello\n", ["README"])

    git(repo, "submodule", "add", "-q", str(tmp_path / "bare.git"), "vendored")
    git(repo, "commit", "-qm", "submodule")
    with_sub = Checkout.create(repo, tmp_path / "s4")
    assert with_sub.submodules == ["vendored"]
    sub_work = unpack(with_sub, tmp_path / "w4")
    assert list((sub_work / "vendored").iterdir()) == []
    assert git(sub_work, "status", "--porcelain") == ""


def test_a_folder_inside_a_repository_means_the_repository(repo: Path, tmp_path: Path) -> None:
    assert "README" in Checkout.create(repo / "pkg", tmp_path / "s").paths()
    (repo / "elsewhere").mkdir()
    with pytest.raises(UsageError, match="not a git repository"):
        Checkout.create(repo / "elsewhere", tmp_path / "s")


def test_what_cannot_be_used_is_refused_with_its_mend(repo: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(UsageError, match="not a git repository") as caught:
        Checkout.create(plain, tmp_path / "s")
    assert caught.value.mend.endswith(
        f'git -C {plain} init && git -C {plain} add -A && git -C {plain} commit -m "Start"'
    )
    with pytest.raises(UsageError, match="not a folder"):
        Checkout.create(tmp_path / "nowhere", tmp_path / "s")
    git(plain, "init", "-q")
    with pytest.raises(UsageError, match="no commit yet"):
        Checkout.create(plain, tmp_path / "s")
    for name in ("nonsense", "--all", "HEAD:README"):
        with pytest.raises(UsageError, match="has no commit"):
            Checkout.create(repo, tmp_path / "s", name)
    git(repo, "config", "core.worktree", str(tmp_path))
    with pytest.raises(UsageError, match="elsewhere"):
        Checkout.create(repo, tmp_path / "s")
    git(tmp_path, "init", "-q")  # now another repository of the user is there
    with pytest.raises(UsageError, match="elsewhere"):
        Checkout.create(repo, tmp_path / "s")


def test_a_partial_clone_is_refused_without_fetching(repo: Path, tmp_path: Path) -> None:
    commit(repo, {"README": "two\n"})
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{repo}", "partial")
    with pytest.raises(UsageError, match="misses objects") as caught:
        Checkout.create(tmp_path / "partial", tmp_path / "s")
    assert "--refetch" in caught.value.mend
    assert list((tmp_path / "s").iterdir()) == []


def test_variables_of_the_caller_do_not_leak(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_repo(tmp_path / "other", {"README": "other\n"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "/bin/false")
    checkout = Checkout.create(repo, tmp_path / "s")
    assert checkout.read("README") == b"hello\n"
    assert "bye" in checkout.diff(Changes({"README": FileState(b"bye\n")}))


def test_a_repository_of_another_owner_can_be_read(repo: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:  # only root can give files away; for others this reads their own
        for path in [repo, *repo.rglob("*")]:
            os.chown(path, 12345, 12345)
    checkout = Checkout.create(repo, tmp_path / "s")
    assert (checkout.read("README"), checkout.dirty) == (b"hello\n", False)
