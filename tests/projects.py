"""Small projects as tars, the way the git side hands them to a sandbox."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping

TINY = {
    ".git/HEAD": b"ref: refs/heads/main\n",
    "README": b"tiny\n",
    "tiny.py": b"def f():\n    return 1\n",
    "bin/tool": b"#!/bin/sh\necho tool\n",
    "docs/a.txt": b"a\n",
    "docs/deep/b.txt": b"b\n",
    "docs/deep/c.txt": b"c\n",
    "tests/test_tiny.py": b"import tiny\n\n\ndef test_f():\n    assert tiny.f() == 1\n",
}


def archive_of(files: Mapping[str, bytes]) -> Callable[[], Iterator[bytes]]:
    def archive() -> Iterator[bytes]:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            for path, data in files.items():
                member = tarfile.TarInfo(path)
                member.size, member.uid, member.gid, member.mtime = len(data), 10001, 10001, 1_700_000_000
                tar.addfile(member, io.BytesIO(data))
        yield raw.getvalue()

    return archive
