"""A stage for each test, and origins behind it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.e2e.stage import Stage

from underpass.testing import ports
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import HalfCloseRecorder, TcpEcho


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A user with nothing but a home; whatever she started is ended."""
    runtime = Path(tempfile.mkdtemp(prefix="up-"))
    made = Stage(tmp_path, runtime)
    yield made
    await made.strike()
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory for sockets, whose paths are limited, that is no directory of ours."""
    with tempfile.TemporaryDirectory(prefix="o-") as made:
        yield Path(made)


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on now."""
    return ports.free_port()


@pytest.fixture
async def origin() -> AsyncIterator[HttpOrigin]:
    """An HTTP origin with all its habits."""
    async with HttpOrigin() as made:
        yield made


@pytest.fixture
async def echo() -> AsyncIterator[TcpEcho]:
    """A tcp origin that sends back what it gets."""
    async with TcpEcho() as made:
        yield made


@pytest.fixture
async def recorder() -> AsyncIterator[HalfCloseRecorder]:
    """A tcp origin that answers only after a half-close."""
    async with HalfCloseRecorder() as made:
        yield made
