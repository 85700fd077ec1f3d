"""The loop that tests run on, hypothesis' profiles, and skips that CI does not forgive."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from pytest_asyncio.plugin import PytestAsyncioFunction

# Stages, edges and visitors of tests are no test modules, and assert all the same.
pytest.register_assert_rewrite(
    *(f"tests.{each.name}" for each in Path(__file__).parent.iterdir() if each.is_dir())
)

pytest_plugins = ("tests.canary", "underpass.testing.driver_record")

settings.register_profile(
    "usual", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("usual"), max_examples=2_000)
settings.load_profile("thorough" if os.environ.get("UNDERPASS_THOROUGH") else "usual")


BOTH_LOOPS = ("tests/api", "tests/gatehouse", "tests/relay")
"""Packages with asyncio protocols of their own: they run on uvloop and on the stdlib's loop."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as in production; some packages on both."""
    path = item.path.relative_to(config.rootpath).as_posix()
    if path.startswith(BOTH_LOOPS):
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


_NEEDS = {
    "root": (lambda: os.geteuid() == 0, "network namespaces: run as root"),
    "chromium": (lambda: shutil.which("chromium"), "a browser: make packages"),
    "node": (lambda: shutil.which("node"), "Node.js: make packages"),
    "npm": (lambda: shutil.which("npm"), "npm, to install the TypeScript SDK: make packages"),
    "nginx": (lambda: shutil.which("nginx"), "nginx: make packages"),
    "zsh": (lambda: shutil.which("zsh"), "zsh: make packages"),
    "fish": (lambda: shutil.which("fish"), "fish: make packages"),
}


def pytest_configure(config: pytest.Config) -> None:
    """Groups that only whole stories with foreign clients, and other shells, need."""
    for name in ("node", "npm", "zsh", "fish"):
        config.addinivalue_line("markers", f"{name}: needs {_NEEDS[name][1]}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what this machine cannot do, by group; in CI a missing thing fails instead. End what
    hangs."""
    for item in items:
        of_hypothesis = hasattr(getattr(item, "function", None), "hypothesis")
        if isinstance(item, PytestAsyncioFunction) and not of_hypothesis:
            mark = item.get_closest_marker("timeout")
            seconds = float(mark.args[0]) if mark else float(config.getini("timeout"))
            item.obj = ended_after(seconds, item.obj)
    for name, (is_there, how) in _NEEDS.items():
        if is_there():
            continue
        for item in items:
            if item.get_closest_marker(name) is None:
                continue
            if os.environ.get("CI"):
                item.add_marker(pytest.mark.usefixtures("missing_in_ci"))
            else:
                item.add_marker(pytest.mark.skip(reason=f"group {name!r} needs {how}"))


def ended_after(seconds: float, test: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    """``test``, which fails after ``seconds``. pytest-timeout's signal is not heard in uvloop."""

    @functools.wraps(test)
    async def limited(*args: Any, **fixtures: Any) -> None:
        async with asyncio.timeout(seconds - 1):
            await test(*args, **fixtures)

    return limited


@pytest.fixture
def missing_in_ci() -> None:
    """Fails the test that asks for it."""
    pytest.fail("CI must have everything that the tests need: see tools/debian-packages.txt")
