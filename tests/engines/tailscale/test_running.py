"""A tunnel on a tailscaled that runs already, met from another node of a real tailnet."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
from tests.edges.tailscale import PATIENCE, Node
from tests.engines.tailscale.tailnet import CUTS, Tailnet, TailnetBench

from underpass.drivers.observations import Carrying
from underpass.drivers.tailscale import child
from underpass.drivers.tailscale.local_api import LocalApi
from underpass.drivers.tailscale.serving import Wanted
from underpass.testing.driver_bench import DriverBench, Options
from underpass.testing.driver_suite import DriverSuite, bearer, change, url_of
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin

pytestmark = [pytest.mark.xdist_group("tailscale"), pytest.mark.timeout(120)]


class RunningBench(TailnetBench):
    variant = "running daemon"

    def options(self) -> Options:
        return {
            "socket": str(self.tailnet.alpha.socket),
            "witness": str(self.tailnet.beta.socket),
            "port": "80",
        }

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
    async def test_tcp_goes_both_ways_and_its_end_is_passed_on(self, bench: DriverBench) -> None:
        raise SkipTest(CUTS)


@pytest.fixture
async def bench(tailnet: Tailnet, tmp_path: Path, runtime: Path) -> AsyncIterator[RunningBench]:
    async with RunningBench(tmp_path, runtime, tailnet) as bench:
        yield bench


async def configured(node: Node) -> dict[str, Any]:
    """The serve configuration of ``node``; {} for none."""
    async with LocalApi(node.socket) as api:
        return (await api.serve_config())[0] or {}


async def test_what_others_serve_is_left_as_it_was(bench: RunningBench) -> None:
    node = bench.tailnet.alpha
    await node.run("serve", "--bg", "--yes", "--http=8090", "http://127.0.0.1:9")
    before = await configured(node)
    try:
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port}")
            during = await configured(node)
            assert {k: v for k, v in during.items() if k != "Foreground"} == before
            assert len(during["Foreground"]) == 1
            # Changed by others meanwhile, it stays as they changed it.
            await node.run("serve", "--bg", "--yes", "--http=8091", "http://127.0.0.1:9")
            await node.run("serve", "--http=8091", "off")
            assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200
            await tunnel.close()
        assert await configured(node) == before
    finally:
        await node.run("serve", "--http=8090", "off")


async def test_the_door_goes_with_the_program_however_it_ends(bench: RunningBench) -> None:
    node = bench.tailnet.alpha
    order = bench.home / "order.json"
    order.write_bytes(child.write_order(str(node.socket), Wanted(8070, "127.0.0.1:9")))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", child.NAME, str(order)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        told = child.read_line((await process.stdout.readline()).decode())
    assert told == Carrying("http://alpha.tail.test:8070")
    assert (await configured(node))["Foreground"]
    process.kill()
    await process.wait()
    async with asyncio.timeout(PATIENCE):
        while True:
            if not (await configured(node)).get("Foreground"):
                break
            await asyncio.sleep(0.02)  # tailscaled tells nobody


async def test_two_tunnels_on_one_node_do_not_meet(bench: RunningBench) -> None:
    async with HttpOrigin() as first, HttpOrigin() as second:
        one = await bench.open(f"{first.port}")
        other = await bench.open(f"{second.port}", {**bench.options(), "port": "8060"})
        for tunnel, origin in ((one, first), (other, second)):
            await ask(bench, url_of(tunnel), "/mine", bearer(tunnel))
            assert [it.target for it in origin.requests].count("/mine") == 1
        assert (await ask(bench, url_of(other), "/", bearer(one))).status == 401
        await one.close()
        assert (await ask(bench, url_of(other), "/", bearer(other))).status == 200


async def test_without_a_witness_proofs_come_from_the_node_itself(bench: RunningBench) -> None:
    options = bench.options()
    del options["witness"]
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}", options)
        assert tunnel.verdict.ok
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200


async def test_a_visitors_address_in_the_tailnet_is_known_and_judged(bench: RunningBench) -> None:
    address = (await bench.tailnet.beta.status())["TailscaleIPs"][0]
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port} --gate ip:{address}/32")
        assert (await ask(bench, url_of(tunnel))).status == 200
        await tunnel.close()
        tunnel = await bench.open(f"{origin.port} --gate ip:192.0.2.0/24")
        lie = {"X-Forwarded-For": "192.0.2.1"}
        assert (await ask(bench, url_of(tunnel), "/", lie)).status == 403


async def test_over_a_port_nothing_is_believed_and_all_else_works(bench: RunningBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}", {**bench.options(), "door": "port"})
        await ask(bench, url_of(tunnel), "/seen", bearer(tunnel))
        seen = next(it for it in origin.requests if it.target == "/seen")
        assert not any("100.64." in value for value in seen.all("x-forwarded-for"))


async def test_a_door_in_nobodys_program_is_told_as_foreign(bench: RunningBench) -> None:
    node = bench.tailnet.alpha
    await node.run("serve", "--bg", "--yes", "--tcp=5555", "tcp://127.0.0.1:9")
    try:
        async with HttpOrigin() as origin:
            await bench.open(f"{origin.port}")
            site = replace(bench.site(bench.options()), directory=bench.runtime / "engine-x")
            found = await bench.driver().foreign(site)
    finally:
        await node.run("serve", "--tcp=5555", "off")
    assert [(each.public, each.exposes.split(",")[0]) for each in found] == [
        ("alpha.tail.test:5555", "tcp forward to 127.0.0.1:9")
    ]


async def test_what_lies_outside_the_tailnet_is_dialled_without_it(tailnet: Tailnet) -> None:
    async with HttpOrigin() as origin, LocalApi(tailnet.alpha.socket) as api:
        # tailscaled answers that the way is not its own: then we go it ourselves.
        made = await api.dial("127.0.0.1", origin.port)
        reader, writer = await asyncio.open_connection(sock=made)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()


async def test_a_key_that_ends_is_told_and_signing_in_again_mends_the_tunnel(
    bench: RunningBench,
) -> None:
    tailnet = bench.tailnet
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        changes = tunnel.events()
        await tailnet.headscale.expire("alpha")
        failing = await change(changes, lambda it: it["tunnel"]["state"] == "failing")
        assert failing["reason"] == "node-key-expired"
        await tailnet.alpha.rejoin(tailnet.key)
        await change(changes, lambda it: it["event"] == "live")
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200
