"""What a machine may lack: tests that need it are skipped there, unless nothing may be skipped."""

from __future__ import annotations

import contextlib
import os
import signal
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_ALL = "AGENTMEM_TEST_REQUIRE_ALL"

# Under nohup or as a background job these are ignored, also in the processes that tests start.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(_number, _handler)


def lacking(why: str) -> NoReturn:
    """Skip this test, or fail it where nothing may be skipped."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{why}, and {REQUIRE_ALL} is set", pytrace=False)
    pytest.skip(why)


@cache
def _why_no_engine() -> str:
    from agentmem.errors import SandboxError
    from agentmem.sandbox.engine import connect

    try:
        connect()
    except SandboxError as error:
        return error.what
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") is not None and (why := _why_no_engine()):
        lacking(why)


@pytest.fixture(scope="session")
def llama_cpp() -> None:
    if find_spec("xllamacpp") is None:
        lacking("the extra `local` (xllamacpp) is not installed")


@pytest.fixture(scope="session")
def tiny_gguf(llama_cpp: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of random weights."""
    from tests.tiny_model import write_model

    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_model(path)
    return path
