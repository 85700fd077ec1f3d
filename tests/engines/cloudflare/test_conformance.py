"""What every driver passes, by the real cloudflared in its three ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.cloudflare.bench import CloudflareBench, CredentialsBench, QuickBench

from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_suite import DriverSuite


class TestNamedByToken(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with CloudflareBench(tmp_path, runtime) as bench:
            yield bench


class TestNamedByCredentials(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with CredentialsBench(tmp_path, runtime) as bench:
            yield bench


class TestQuick(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with QuickBench(tmp_path, runtime) as bench:
            yield bench
