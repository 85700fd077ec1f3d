"""Agents 3.x by a FAKE program: no registry has the real one. See ``tests/edges/ngrok_v3.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.edges.ngrok_v3 import DOMAIN
from tests.engines.ngrok.benches import FakeV3Bench

from underpass.drivers.base import Counts
from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_suite import DriverSuite, bearer, change, url_of
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin


class TestFakeV3Agent(DriverSuite):
    @pytest.fixture
    async def bench(self, tmp_path: Path, runtime: Path) -> AsyncIterator[DriverBench]:
        async with FakeV3Bench(tmp_path, runtime) as bench:
            yield bench


@pytest.fixture
async def bench(tmp_path: Path, runtime: Path) -> AsyncIterator[FakeV3Bench]:
    async with FakeV3Bench(tmp_path, runtime) as bench:
        yield bench


async def test_fake_v3_the_api_names_the_address_where_the_log_does_not(bench: FakeV3Bench) -> None:
    replace(bench.far_end, mute=True).write(bench.home)
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200
        assert isinstance(tunnel.engine, Counts)
        assert (await tunnel.engine.counters()).requests >= 1


@pytest.mark.slow
async def test_fake_v3_a_session_that_the_api_says_is_gone_shows_in_the_status(
    bench: FakeV3Bench,
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        changes = tunnel.events()
        replace(bench.far_end, online=False).write(bench.home)
        await change(changes, lambda it: it["tunnel"]["state"] == "failing")
        bench.far_end.write(bench.home)
        await change(changes, lambda it: it["event"] == "live")


async def test_fake_v3_visitors_addresses_come_from_the_traffic_policy(bench: FakeV3Bench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port} --gate ip:127.0.0.1")
        lies = {"X-Forwarded-For": "192.0.2.9", "Underpass-Visitor": "192.0.2.9"}
        assert (await ask(bench, url_of(tunnel), "/lies", lies)).status == 200
        seen = next(each for each in origin.requests if each.target == "/lies")
        assert seen.all("x-forwarded-for") == ["127.0.0.1"]


async def test_fake_v3_a_pooled_address_is_shared_with_who_is_there(bench: FakeV3Bench) -> None:
    name = f"shared.{DOMAIN}"
    replace(bench.far_end, held=(name,)).write(bench.home)
    async with HttpOrigin() as origin:
        options = {**bench.options(), "url": name, "pooling": "yes"}
        tunnel = await bench.open(f"{origin.port}", options)
        assert url_of(tunnel).startswith(f"https://{name}:")
