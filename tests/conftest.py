"""The loop that tests run on, hypothesis' profiles, and skips that CI does not forgive."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest
import uvloop
from hypothesis import HealthCheck, settings

settings.register_profile(
    "usual", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("usual"), max_examples=2_000)
settings.load_profile("thorough" if os.environ.get("UNDERPASS_THOROUGH") else "usual")


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """uvloop, as in production; packages with protocols of their own run on both loops."""
    return uvloop.EventLoopPolicy()


_NEEDS = {
    "root": (lambda: os.geteuid() == 0, "network namespaces: run as root"),
    "chromium": (lambda: shutil.which("chromium"), "a browser: make packages"),
    "nginx": (lambda: shutil.which("nginx"), "nginx: make packages"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot do, by group; in CI a missing thing fails instead."""
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


@pytest.fixture
def missing_in_ci() -> None:
    """Fails the test that asks for it."""
    pytest.fail("CI must have everything that the tests need: see tools/debian-packages.txt")
