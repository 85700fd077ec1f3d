"""WireGuard passes the suite that every engine passes, over a real network with a NAT."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.edges.wireguard import marks
from tests.engines.wireguard.bench import WireGuardBench

from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_suite import DriverSuite

pytestmark = marks


class TestWireGuard(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with WireGuardBench(tmp_path, runtime) as bench:
            yield bench
