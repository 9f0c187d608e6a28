"""`agentmem locate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agentmem.cli.options import ISSUE_HELP, Json, out, out_json


def register(app: typer.Typer) -> None:
    app.command("locate")(locate)


def locate(
    repo: Annotated[Path, typer.Argument(metavar="[REPO]", help="A git repository.")] = Path(),
    issue: Annotated[str, typer.Option(metavar="TEXT|FILE|-", help=ISSUE_HELP)] = ...,  # type: ignore[assignment]
    commit: Annotated[str, typer.Option(metavar="COMMIT", help="Which commit to look at.")] = "HEAD",
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="How many places to show.")] = 10,
    level: Annotated[
        str, typer.Option(metavar="file|symbol", help="Rank files, or what they define.")
    ] = "symbol",
    explain: Annotated[bool, typer.Option("--explain", help="Say why each place is ranked.")] = False,
    json: Json = False,
) -> None:
    """Rank the files and symbols that an issue is about. Needs no model."""
    import sys
    import tempfile

    from agentmem.checkout import Checkout
    from agentmem.cli.story import one_line
    from agentmem.code.index import CodeIndex
    from agentmem.code.locate import locate as rank
    from agentmem.errors import UsageError
    from agentmem.issue import read_issue

    if level not in ("file", "symbol"):
        raise UsageError(f"--level takes file or symbol, not {level}", "symbol is the default.")
    report = read_issue(issue, sys.stdin.buffer)
    with tempfile.TemporaryDirectory(prefix="agentmem-") as scratch:
        checkout = Checkout.create(repo, Path(scratch), commit)
        index = CodeIndex.build(checkout.blobs(), checkout.read_many)
    hits = rank(index, report.text, limit=k, level="file" if level == "file" else "symbol")
    if json:
        out_json({"commit": checkout.commit, "hits": [asdict(hit) for hit in hits]})
        return
    for hit in hits:
        lines = f":{hit.start}-{hit.end}" if hit.symbol else ""
        out(f"{hit.score:6.2f}  {one_line(hit.path)}{lines}  {one_line(hit.symbol or '')}".rstrip())
        if explain:
            for reason in hit.reasons:
                out(f"          {one_line(reason)}")
    if not hits:
        out("Nothing in this commit matches the words of the issue.")
