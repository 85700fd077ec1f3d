"""The real ngrok agent 2.3.41, against an edge of our own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.ngrok.benches import AgentBench

from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_suite import DriverSuite, url_of
from underpass.testing.driver_visits import wire
from underpass.testing.origins.tcp import HalfCloseRecorder, TcpEcho


class TestAgent(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with AgentBench(tmp_path, runtime) as bench:
            yield bench

    async def test_tcp_goes_both_ways_and_its_end_is_passed_on(self, bench: DriverBench) -> None:
        """Not its end: agents 2.x end a connection as soon as one side has said all."""
        async with TcpEcho() as echo, HalfCloseRecorder() as recorder:
            tunnel = await bench.open(f"tcp://127.0.0.1:{echo.port} {bench.tcp_words}")
            async with wire(bench, url_of(tunnel)) as (reader, writer):
                data = os.urandom(1 << 20)
                writer.write(data)
                assert await reader.readexactly(len(data)) == data
            half = await bench.open(f"tcp://127.0.0.1:{recorder.port} {bench.tcp_words}")
            async with wire(bench, url_of(half)) as (reader, writer):
                writer.write(b"all of it")
                writer.write_eof()
                assert await reader.read() == b""
            limits = (await bench.driver().detect(bench.site(bench.options()))).limits
            assert any("as soon as one side has said all" in limit for limit in limits)
