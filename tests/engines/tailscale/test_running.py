"""A tunnel on a tailscaled that runs already, met from another node of a real tailnet."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import SkipTest, mock

import pytest
from tests.edges.tailscale import path_with_engines
from tests.engines.tailscale.tailnet import CUTS, Tailnet, visit

from underpass.testing.driver_bench import DriverBench, Options
from underpass.testing.driver_suite import DriverSuite

pytestmark = [pytest.mark.xdist_group("tailscale"), pytest.mark.timeout(120)]


class RunningBench(DriverBench):
    engine = "tailscale"
    variant = "running daemon"
    tailnet: Tailnet

    async def start(self) -> None:
        self.stack.enter_context(mock.patch.dict(os.environ, {"PATH": path_with_engines()}))

    def options(self) -> Options:
        return {
            "socket": str(self.tailnet.alpha.socket),
            "witness": str(self.tailnet.beta.socket),
            "port": "80",
        }

    async def connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await visit(self.tailnet.beta, url)

    def wrong_credential(self) -> Options:
        return {**self.options(), "socket": str(self.tailnet.stranger.socket)}

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        node = self.tailnet.alpha
        await node.run("serve", "--bg", "--yes", "--http=8080", "http://127.0.0.1:9")
        try:
            yield {**self.options(), "port": "8080"}
        finally:
            await node.run("serve", "--http=8080", "off")

    def far_end(self) -> list[int]:
        return [self.tailnet.alpha.pid]

    async def cut(self) -> None:
        self.tailnet.alpha.stop()

    async def mend(self) -> None:
        await self.tailnet.alpha.start()

    def hostile_options(self, text: str) -> list[Options]:
        keys = ("share", "port", "https", "daemon", "socket", "door", "witness")
        return [{**self.options(), key: text} for key in keys]


class TestRunning(DriverSuite):
    @pytest.fixture
    async def bench(
        self, tailnet: Tailnet, tmp_path: Path, runtime: Path
    ) -> AsyncIterator[DriverBench]:
        made = RunningBench(tmp_path, runtime)
        made.tailnet = tailnet
        async with made as bench:
            yield bench

    async def test_tcp_goes_both_ways_and_its_end_is_passed_on(self, bench: DriverBench) -> None:
        raise SkipTest(CUTS)
