"""A short place for sockets, since their paths are limited."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A private directory with a short path."""
    path = Path(tempfile.mkdtemp(prefix="up-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
