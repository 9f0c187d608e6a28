"""Tests that need a Docker engine are skipped where none answers, unless nothing may be skipped."""

from __future__ import annotations

import os
from functools import cache

import pytest

REQUIRE_ALL = "AGENTMEM_TEST_REQUIRE_ALL"


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
    if item.get_closest_marker("docker") is None or not (why := _why_no_engine()):
        return
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{why}, and {REQUIRE_ALL} is set", pytrace=False)
    pytest.skip(why)
