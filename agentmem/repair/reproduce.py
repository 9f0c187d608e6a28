"""Stage `reproduce`: a test of the issue, written by the agent, believed only after the harness ran it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from agentmem.agent.loop import Judgement
from agentmem.context.compose import Prompt, compose, feedback
from agentmem.context.places import suggest_import
from agentmem.repair.bench import Bench, prompt_parts
from agentmem.repair.failure import Failure, judge_failure
from agentmem.repair.outcome import Reproducer
from agentmem.repair.tests import is_pytest
from agentmem.sandbox.base import Completed, Sandbox
from agentmem.text import clip, printable

SUGGESTED_PATH = "test_reproduce_issue.py"
RUNS = 2  # a reproducer must fail this often in a row
MAX_BYTES = 200_000


def reproduce_prompt(bench: Bench) -> Prompt:
    return compose(
        "reproduce",
        bench.caps,
        issue=bench.issue.text,
        suggested_path=SUGGESTED_PATH,
        suggested_command=suggested_command(bench),
        suggested_pytest=is_pytest(bench.test_command),
        suggested_import=suggest_import(bench.hits),
        **prompt_parts(bench),
    )


def suggested_command(bench: Bench) -> str:
    return f"python {'-m pytest -q ' if is_pytest(bench.test_command) else ''}{SUGGESTED_PATH}"


def reproduce_hint(command: str, exit_code: int) -> str:
    """What to do next, once the reproducer has been run: small models go on rewriting it instead."""
    if not runs_alone(command, SUGGESTED_PATH):
        return ""
    if exit_code == 0:
        return "It passes, but must fail now: assert what the issue wants to happen, not what happens today."
    return "If it fails because of the bug in the issue, call submit_reproducer now."


def runs_alone(command: str, path: str) -> bool:
    """Whether a command runs `path` and nothing beside it, so that its exit code is that of the run."""
    return path in command and not any(sign in command for sign in "|;&\n")


def judge_reproducer(
    bench: Bench, sandbox: Sandbox, submission: Mapping[str, Any]
) -> tuple[Judgement, Reproducer | None]:
    """Try a submitted reproducer: its file alone, in fresh sandboxes of the base commit, twice."""
    path, command = _clean(submission["path"], sandbox.root), submission["command"].strip()
    problem, content = _read(bench, sandbox, path, command)
    if problem:
        return _refuse(bench, path, command, Failure(False, problem, advice="Correct that.")), None
    done, failure = _fails(bench, path, content, command)
    bench.run.emit(
        "reproducer",
        accepted=failure.accepted,
        reason=failure.why,
        path=path,
        command=command,
        exception=failure.exception,
        exit_code=done.exit_code,
    )
    if not failure.accepted:
        return _refusal(command, failure, done), None
    reproducer = Reproducer(
        path, content.decode(), command, submission["reason"], failure.exception, clip(done.output, 6_000)
    )
    return Judgement(True, f"accepted: it fails, since {failure.why}"), reproducer


def unsubmitted_reproducer(bench: Bench, sandbox: Sandbox) -> Reproducer | None:
    """The file at the suggested path, when it proves itself although it was not handed in."""
    try:
        content = sandbox.read(SUGGESTED_PATH)
    except (OSError, ValueError):
        return None
    # Asked for as a test, it may have become a script, in which pytest would find nothing to run.
    command = suggested_command(bench) if b"def test" in content else f"python {SUGGESTED_PATH}"
    found = {"path": SUGGESTED_PATH, "command": command, "reason": "found in the sandbox"}
    return judge_reproducer(bench, sandbox, found)[1]


def run_reproducer(
    sandbox: Sandbox, reproducer: Reproducer, timeout: float, *, prefix: str = ""
) -> Completed:
    """Put the harness's own copy into place and run it."""
    sandbox.write(reproducer.path, reproducer.content.encode())
    return sandbox.run(prefix + reproducer.command, timeout)


def _fails(bench: Bench, path: str, content: bytes, command: str) -> tuple[Completed, Failure]:
    """Run it `RUNS` times, each in a sandbox of its own; the first run that does not count decides."""
    for _ in range(RUNS):
        sandbox = bench.start()
        try:
            sandbox.write(path, content)
            done = sandbox.run(command, bench.settings.command_timeout)
            hint = suggest_import(bench.hits)
            failure = judge_failure(done, path, bench.tracked, sandbox.root, suggested_import=hint)
        finally:
            sandbox.close()
        if not failure.accepted:
            break
    return done, failure


def _read(bench: Bench, sandbox: Sandbox, path: str, command: str) -> tuple[str, bytes]:
    """The file's content, or why it cannot be taken."""
    name = PurePosixPath(path)
    if not path or name.is_absolute() or ".." in name.parts or ".git" in name.parts:
        return f"`{path}` is not a path inside the repository.", b""
    if bench.tracked(path):
        return f"{path} is a file of the repository: the reproducer must be a new file.", b""
    if path not in command and name.stem not in command:
        return f"the command does not run {path}.", b""
    try:
        content = sandbox.read(path)
        content.decode()
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        return f"{path} cannot be read ({reason}).", b""
    return (f"{path} is larger than {MAX_BYTES} bytes.", b"") if len(content) > MAX_BYTES else ("", content)


def _clean(path: str, root: str) -> str:
    """A path as the harness writes it: relative to the workspace."""
    return str(PurePosixPath(path.strip().removeprefix(root.rstrip("/") + "/"))) if path.strip() else ""


def _refuse(bench: Bench, path: str, command: str, failure: Failure) -> Judgement:
    bench.run.emit("reproducer", accepted=False, reason=failure.why, path=path, command=command)
    return _refusal(command, failure, None)


def _refusal(command: str, failure: Failure, done: Completed | None) -> Judgement:
    text = feedback(
        "reproduce",
        reason=failure.why,
        advice=failure.advice,
        command=printable(command),
        output=printable(clip(done.output.strip(), 3_000)) if done else "",
        exit_code=done.exit_code if done else "",
    )
    return Judgement(False, text)
