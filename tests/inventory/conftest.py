"""A real sshd, and one user's stage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.drivers.ssh.conftest import far, place  # noqa: F401  (fixtures of these tests, too)
from tests.e2e.stage import Stage


@pytest.fixture
async def stage(tmp_path: Path, place: Path) -> AsyncIterator[Stage]:  # noqa: F811
    home = tmp_path / "home"
    home.mkdir()
    stage = Stage(home, place)
    yield stage
    await stage.strike()
