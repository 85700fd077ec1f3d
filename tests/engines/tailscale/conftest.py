"""One tailnet for the tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.engines.tailscale.tailnet import Tailnet


@pytest.fixture(scope="module")
def tailnet() -> Iterator[Tailnet]:
    """Two nodes under a headscale."""
    made = Tailnet()
    try:
        asyncio.run(made.start())
        yield made
    finally:
        made.stop()
