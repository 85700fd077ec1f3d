"""A tailscaled that carries its tailnet on a real interface, as installed ones do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.engines.tailscale.tailnet import Tailnet, codes, mesh
from tests.engines.tailscale.test_running import RunningBench

from underpass.testing.driver_suite import bearer, url_of
from underpass.testing.driver_visits import ask, echo_over_websocket, wire
from underpass.testing.network import Network
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import TcpEcho
from underpass.testing.origins.websocket import WebSocketEcho

pytestmark = [
    pytest.mark.root,
    pytest.mark.xdist_group("tailscale"),
    pytest.mark.timeout(120),
]

PATIENCE = 30.0


class Interfaced(Tailnet):
    """All of it in a network namespace, where ``alpha`` has an interface and routes."""

    def __init__(self, prefix: tuple[str, ...]) -> None:
        super().__init__()
        self.headscale.prefix = prefix
        self._prefix = prefix

    async def start(self) -> None:
        await self.headscale.start()
        self.key = await self.headscale.key()
        self.alpha, self.beta = self.node("alpha"), self.node("beta")
        self.alpha.tun = "ts-test"
        for node in (self.alpha, self.beta):
            node.prefix = self._prefix
            await node.start()
            await node.join(self.key)


@pytest.fixture(scope="module")
def interfaced() -> Iterator[Interfaced]:
    with Network() as network:
        place = network.namespace("tailnet")
        place.run("ip", "link", "set", "lo", "up")
        made = Interfaced(("ip", "netns", "exec", place.name))
        try:
            asyncio.run(made.start())
            yield made
        finally:
            made.stop()


@pytest.fixture
async def bench(
    interfaced: Interfaced, tmp_path: Path, runtime: Path
) -> AsyncIterator[RunningBench]:
    async with RunningBench(tmp_path, runtime, interfaced) as bench:
        yield bench


async def test_a_tunnel_on_an_interface_is_proved_and_carries_all_kinds(
    bench: RunningBench,
) -> None:
    assert (await bench.tailnet.alpha.status())["TUN"]
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        assert tunnel.verdict.ok
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200
        assert (await ask(bench, url_of(tunnel))).status == 401
        await tunnel.close()
    async with WebSocketEcho() as sockets:
        tunnel = await bench.open(f"{sockets.port}")
        url = url_of(tunnel)
        assert await echo_over_websocket(bench, url, bearer(tunnel), b"x" * 9_000) == b"x" * 9_000
        await tunnel.close()
    async with TcpEcho() as echo:
        tunnel = await bench.open(
            f"tcp://127.0.0.1:{echo.port} {bench.tcp_words}",
            {key: value for key, value in bench.options().items() if key != "port"},
        )
        assert url_of(tunnel) == f"tcp://alpha.tail.test:{echo.port}"
        async with asyncio.timeout(PATIENCE), wire(bench, url_of(tunnel)) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"


async def test_a_visitors_address_is_the_one_in_the_tailnet(bench: RunningBench) -> None:
    address = (await bench.tailnet.beta.status())["TailscaleIPs"][0]
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port} --gate ip:{address}/32")
        assert (await ask(bench, url_of(tunnel))).status == 200


async def test_programs_are_visited_over_the_interface(interfaced: Interfaced) -> None:
    url = "http://beta.tail.test:8001/health"
    await interfaced.beta.run("serve", "--bg", "--yes", "--http=8001", "text:well")
    code, told = await mesh("check", "beta", "--visit", url, node=interfaced.alpha)
    await interfaced.beta.run("serve", "reset")
    assert code == 0, told
    assert codes(told)[url] == "visited"
