"""WireGuard without rights passes the same suite; its visitors come over a real wireguard-go."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import SkipTest
from urllib.parse import urlsplit

import pytest
from tests.edges.wireguard import PORT, marks, visit
from tests.engines.wireguard.bench import WireGuardBench

from underpass.drivers.wireguard.driver import NO_HALF_CLOSE
from underpass.testing.driver_bench import PATIENCE, DriverBench, Options
from underpass.testing.driver_suite import DriverSuite, url_of
from underpass.testing.driver_visits import wire
from underpass.testing.origins.tcp import TcpEcho

pytestmark = marks


class RootlessBench(WireGuardBench):
    program = ""
    variant = "rootless"
    near = "relay"
    preshared = False  # the userspace stack knows none

    async def start(self) -> None:
        await self.make_network()
        self.far = await self.net.up("laptop")

    def options(self) -> Options:
        return self.net.options("relay", mode="rootless")

    def wrong_credential(self) -> Options | None:
        return None  # it answers whoever it knows, and nobody else tells it of itself

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        with self.net.relay.socket(kind=socket.SOCK_DGRAM) as holder:
            holder.bind(("0.0.0.0", PORT))
            yield self.options()

    def far_end(self) -> list[int]:
        return []  # its proofs come as a host of the network, from this machine

    async def cut(self) -> None:
        raise SkipTest("its proofs come from this machine: no far end takes part in them")

    async def connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(url)
        assert parts.hostname is not None
        return await visit(self.net.laptop, parts.hostname, parts.port or 80)


class TestRootless(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with RootlessBench(tmp_path, runtime) as bench:
            yield bench

    async def test_tcp_goes_both_ways_and_its_end_is_passed_on(self, bench: DriverBench) -> None:
        """Its stack ends a connection that its visitor has half closed: both ways, before that."""
        async with TcpEcho() as origin:
            tunnel = await bench.open(f"tcp://127.0.0.1:{origin.port} {bench.tcp_words}")
            assert tunnel.verdict.ok
            data = os.urandom(1 << 20)
            async with asyncio.timeout(PATIENCE), wire(bench, url_of(tunnel)) as (reader, writer):
                writer.write(data)
                assert await reader.readexactly(len(data)) == data
            plan = getattr(tunnel.engine, "plan", None)
            assert plan is not None
            assert NO_HALF_CLOSE in plan.limits
