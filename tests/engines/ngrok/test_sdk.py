"""The real ngrok SDK, against an edge of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.ngrok.benches import SdkBench

from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_suite import DriverSuite


class TestSdk(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with SdkBench(tmp_path, runtime) as bench:
            yield bench
