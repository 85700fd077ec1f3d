"""A directory of the test's own for recorded exchanges, and a writer that is closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from underpass.observe.schema import FILE
from underpass.observe.writer import CaptureWriter


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    """Where exchanges are recorded."""
    return tmp_path / FILE


@pytest.fixture
async def writer(captures: Path) -> AsyncIterator[CaptureWriter]:
    """Writes to ``captures``."""
    made = CaptureWriter(captures)
    yield made
    await made.close()
