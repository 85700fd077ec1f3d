"""The smallest engine passes the suite that every engine passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import mock

import pytest

from underpass.drivers import registry
from underpass.testing.driver_bench import DriverBench, Options
from underpass.testing.driver_suite import DriverSuite
from underpass.testing.loopback_engine import LoopbackDriver


class LoopbackBench(DriverBench):
    engine = "loopback"

    async def start(self) -> None:
        known = mock.patch.dict(registry._registered)  # other tests ask which engines there are
        self.stack.enter_context(known)
        registry.register("loopback", LoopbackDriver)

    def wrong_credential(self) -> Options:
        return {"habit": "refused"}

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        async with server:
            yield {"port": str(server.sockets[0].getsockname()[1])}

    def hostile_options(self, text: str) -> list[Options]:
        return [{"port": text}, {"habit": text}]


class TestLoopback(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with LoopbackBench(tmp_path, runtime) as bench:
            yield bench
