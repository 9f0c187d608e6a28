"""Puts the commands together, loading only the one that is called, and turns every end into an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from agentmem import __version__
from agentmem.errors import AgentmemError, ExitCode, Terminated, UsageError

if TYPE_CHECKING:
    import typer

# name -> (module, the line in `agentmem --help`). A module has `register(app: typer.Typer) -> None`, which
# adds the command or the group of that name.
COMMANDS: dict[str, tuple[str, str]] = {
    "fix": ("agentmem.cli.fix", "Repair the bug that an issue describes, with executed evidence."),
    "demo": ("agentmem.cli.demo", "Repair a real bug of a bundled repository; needs no key."),
    "locate": ("agentmem.cli.locate", "Rank the files and symbols that an issue is about. Needs no model."),
    "runs": ("agentmem.cli.runs", "List, show and remove runs."),
    "config": ("agentmem.cli.config", "Show the settings and where each comes from."),
    "doctor": ("agentmem.cli.doctor", "Check what a repair needs, and say how to get what is missing."),
    "clean": ("agentmem.cli.clean", "Remove left-over containers and, when asked, images and caches."),
}
COMPLETING = "_AGENTMEM_COMPLETE"  # in the environment when a shell asks for completions
DEBUG = "AGENTMEM_DEBUG"
CLEANING = 5.0  # seconds in which another signal does not interrupt the clean-up after the first


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. Shows no traceback unless AGENTMEM_DEBUG is set."""
    caught: list[ExitCode] = []
    try:
        with _signals_raise(caught):
            code = _run_telling(arguments)
    except AgentmemError as error:
        say(f"error: {error.what}")
        say(error.mend)
        code = error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        code = ExitCode.INTERRUPTED
    except Terminated:
        say("ended by a signal")
        code = ExitCode.TERMINATED
    except BrokenPipeError:  # whoever read our output has enough
        code = ExitCode.OK
    except Exception as error:
        code = _crash(error)
    _flush()
    return caught[0] if caught else code  # a signal outranks every other end


def build(arguments: Sequence[str]) -> typer.Typer:
    """The app with the called command loaded; the others are stand-ins, which is all that `--help` needs."""
    import typer

    app = typer.Typer(
        help="Repairs bugs in real repositories, with evidence, and gets better with every bug it repairs.",
        rich_markup_mode=None,  # rich doubles the time of --help
        pretty_exceptions_enable=False,
        no_args_is_help=True,
    )

    @app.callback()
    def top(
        version: bool = typer.Option(False, "--version", is_eager=True, help="Show the version and exit."),
    ) -> None:
        if version:
            print(f"agentmem {__version__}")
            raise typer.Exit

    for name, (module, summary) in COMMANDS.items():
        if name in arguments[:1] or COMPLETING in os.environ:
            importlib.import_module(module).register(app)
        else:
            app.command(name, help=summary)(_stand_in)
    return app


def say(line: str) -> None:
    """Lines to standard error, whatever state that is in, and without secrets: a screen may be a CI log."""
    if line:
        from agentmem.redact import Redactor
        from agentmem.text import printable

        with contextlib.suppress(OSError, ValueError):
            text = printable(Redactor.from_environment(os.environ).text(line))
            print(text, file=sys.stderr, flush=True)


def _run_telling(arguments: Sequence[str]) -> int:
    """With --json an error is one JSON object, too; `fix` writes its own, which knows the run."""
    try:
        return _run(arguments)
    except BaseException as end:
        if "--json" in arguments and arguments[0] != "fix":
            from agentmem.repair.session import describe_end

            _out_json(describe_end(end))
        raise


def _run(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--version"]:  # without typer, which costs more than all the rest
        print(f"agentmem {__version__}")
        return ExitCode.OK
    name = arguments[0] if arguments else "-"
    if not name.startswith("-") and name not in COMMANDS and COMPLETING not in os.environ:
        import difflib

        found = difflib.get_close_matches(name, COMMANDS, n=1)
        mend = f"Did you mean `agentmem {found[0]}`?" if found else "See `agentmem --help`."
        raise UsageError(f"there is no command `{name}`", mend)
    try:
        build(arguments)(args=list(arguments), prog_name="agentmem")
    except SystemExit as end:  # typer has already said what there was to say
        if end.code == ExitCode.USAGE and "--json" in arguments:
            what, mend = "the command line cannot be used as given", f"See `agentmem {name} --help`."
            _out_json({"exit_code": int(ExitCode.USAGE), "error": what, "mend": mend})
        return end.code if isinstance(end.code, int) else ExitCode.OK
    return ExitCode.OK


def _out_json(value: dict[str, object]) -> None:
    from agentmem.cli.options import out_json

    out_json(value)


def _stand_in() -> NoReturn:
    raise AssertionError("a stand-in was called")


@contextlib.contextmanager
def _signals_raise(caught: list[ExitCode]) -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, SIGTERM and SIGHUP raise Terminated; `caught` gets the exit code.

    The clean-up that a signal starts must not fall to the next one of an impatient user.
    """
    grace = 0.0

    def handler(code: ExitCode, error: type[BaseException]) -> Callable[[int, FrameType | None], None]:
        def raise_it(_number: int, _frame: FrameType | None) -> None:
            nonlocal grace
            caught.append(code)
            if time.monotonic() >= grace:
                grace = time.monotonic() + CLEANING
                raise error

        return raise_it

    wanted = {
        signal.SIGINT: handler(ExitCode.INTERRUPTED, KeyboardInterrupt),
        signal.SIGTERM: handler(ExitCode.TERMINATED, Terminated),
        signal.SIGHUP: handler(ExitCode.TERMINATED, Terminated),
    }
    # A signal that our parent told us to ignore (nohup, a background job) stays ignored.
    old = {number: signal.getsignal(number) for number in wanted}
    for number, action in wanted.items():
        if old[number] is not signal.SIG_IGN:
            signal.signal(number, action)
    try:
        yield
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)


def _crash(error: Exception) -> int:
    """An error of ours: one line, and the traceback in a file."""
    import traceback

    text = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG):
        say(text)
    said = " ".join(str(error).split())[:300]
    say(f"error: internal error, please report it: {type(error).__name__}: {said}")
    say(_save_traceback(text))
    return ExitCode.INTERNAL


def _save_traceback(text: str) -> str:
    try:
        from agentmem.durable import make_private, replace_file
        from agentmem.redact import Redactor
        from agentmem.settings import home

        path = home() / "logs" / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        make_private(path.parent)
        replace_file(path, Redactor.from_environment(os.environ).text(text).encode("utf-8", "replace"))
    except Exception as error:
        return f"The traceback could not be saved ({error}); {DEBUG}=1 shows it."
    return f"The traceback is in {path}; {DEBUG}=1 shows it."


def _flush() -> None:
    """Flush here, where a closed pipe can be passed over, and not at exit, where Python would complain."""
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
