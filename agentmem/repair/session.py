"""A sitting: one process at work on one run, from its opened model to its end, however it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentmem.errors import AgentmemError, ConfigError, ExitCode, Terminated
from agentmem.model.base import Model
from agentmem.repair.outcome import Outcome
from agentmem.repair.pipeline import repair
from agentmem.repair.request import Request
from agentmem.runs import Run

NO_MODEL = "no model is configured"
WAYS_TO_A_MODEL = (
    "Either set a provider's key and name a model:  export ANTHROPIC_API_KEY=…; agentmem fix --model "
    "anthropic/claude-sonnet-4-5 …\n"
    "or run one on this machine:  pip install 'agentmem[local]'; agentmem fix --model local:FILE.gguf …"
)


def work(request: Request, run: Run, home: Path) -> Outcome:
    """Run or resume the repair. Whatever interrupts it is written down, so that the run can be resumed.

    Raises what ended it.
    """
    try:
        model = open_session_model(request, run, home)
        try:
            return repair(request, run, model)
        finally:
            model.close()
    except BaseException as end:
        told = describe_end(end)
        run.emit("run_stopped", reason=told["error"], exit_code=told["exit_code"])
        raise


def open_session_model(request: Request, run: Run, home: Path) -> Model:
    """The model of the request, recorded when asked. Raises ConfigError."""
    from agentmem.context.compose import prompts_version
    from agentmem.model import check, open_model
    from agentmem.model.options import ModelOptions
    from agentmem.model.replay import Recorder

    settings = request.settings
    if settings.model is None:
        raise ConfigError(NO_MODEL, WAYS_TO_A_MODEL)
    options = ModelOptions(
        cache_dir=home / "cache",
        request_timeout=settings.request_timeout,
        file_timeout=settings.timeout,
        on_notice=lambda text: void(run.emit("notice", text=text)),
        protocol=settings.tool_protocol,
        local_context=settings.local_context,
        local_threads=settings.local_threads,
    )
    model = open_model(settings.model, api_base=settings.api_base, options=options)
    for _, ok, detail, mend in check(settings.model, settings.api_base):
        if not ok:  # told now, not after minutes of set-up
            raise ConfigError(f"{settings.model} cannot be used: {detail}", mend)
    if request.record is None:
        return model
    versions = {"prompts": prompts_version(), "policy": settings.context}
    return Recorder(model, request.record, versions, redact=run.redactor.text)


def void(_: object) -> None:
    """Drops a value where a callback must not return one."""


def describe_end(end: BaseException) -> dict[str, Any]:
    """An error or a signal as data: `exit_code`, `error` and `mend`."""
    if isinstance(end, AgentmemError):
        code, what, mend = end.exit_code, end.what, end.mend
    elif isinstance(end, KeyboardInterrupt | Terminated):
        signalled = isinstance(end, Terminated)
        code = ExitCode.TERMINATED if signalled else ExitCode.INTERRUPTED
        what, mend = "ended by a signal" if signalled else "interrupted", "Go on with --resume."
    else:
        code, what, mend = ExitCode.INTERNAL, f"internal error: {type(end).__name__}", "Please report it."
    return {"exit_code": int(code), "error": what, "mend": mend}
