"""Agents 3.x by a FAKE program: no registry has the real one. See ``tests/edges/ngrok_v3.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.ngrok.benches import FakeV3Bench

from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_suite import DriverSuite


class TestFakeV3Agent(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with FakeV3Bench(tmp_path, runtime) as bench:
            yield bench
