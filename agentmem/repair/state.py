"""Where a run stands: what a checkpoint holds, so that a killed run goes on and ends the same."""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import asdict, dataclass, field

from agentmem.agent.limits import Spent
from agentmem.agent.loop import LoopState
from agentmem.changes import Changes, pack, unpack
from agentmem.errors import UsageError
from agentmem.repair.outcome import Candidate, Reproducer
from agentmem.runs import Run
from agentmem.sandbox.base import Workspace

VERSION = 1


@dataclass
class State:
    """Everything a resumed run needs beside its request.

    `loop` is the loop at work, `workspace` the blob that holds its sandbox's changes; `reproduced` is True
    once stage `reproduce` is over, whether or not it gave a `reproducer`.
    """

    version: int = VERSION
    reproduced: bool = False
    reproducer: Reproducer | None = None
    tried: tuple[Candidate, ...] = ()
    loop: LoopState | None = None
    workspace: str = ""
    spent: Spent = field(default_factory=Spent)


def save_state(run: Run, state: State, sandbox: Workspace | None, *, unchanged: bool = False) -> None:
    """Write the sandbox's changes, then the checkpoint, which so never names what is not there.

    `unchanged` keeps the changes of the checkpoint before, which saves asking the engine.
    """
    if sandbox is None:
        state.workspace = ""
    elif not (unchanged and state.workspace):
        data = pack(sandbox.changes())
        state.workspace = f"workspace-{hashlib.sha256(data).hexdigest()[:16]}"
        run.save_blob(state.workspace, data)
    run.save_checkpoint(asdict(state))
    run.prune_blobs(keep=lambda name: name == state.workspace or not name.startswith("workspace-"))


def load_state(run: Run) -> State:
    """The state to go on from: the checkpoint's, or the beginning. Raises UsageError for a foreign one."""
    from pydantic import TypeAdapter, ValidationError

    saved = run.load_checkpoint()
    if saved is None:
        return State()
    try:
        state = TypeAdapter(State).validate_python(saved)
    except ValidationError as error:
        raise UsageError(
            f"the checkpoint of run {run.id} cannot be read ({error.error_count()} faults)",
            "It was written by another version: start the repair again.",
        ) from None
    if state.version != VERSION:
        raise UsageError(
            f"the checkpoint of run {run.id} has version {state.version}, this program writes {VERSION}",
            "Go on with the version that began the run, or start the repair again.",
        )
    return state


def load_workspace(run: Run, state: State) -> Changes | None:
    """The changes that the interrupted loop had made; None when no loop was at work."""
    if not state.workspace:
        return None
    try:
        return unpack(run.load_blob(state.workspace))
    except (OSError, ValueError, KeyError, tarfile.TarError) as error:
        raise UsageError(
            f"the workspace of run {run.id} cannot be read: {error}", "Start the repair again."
        ) from None
