"""A funnel: visitors come from outside the tailnet, by TLS, as Tailscale's ingress brings them.

The certificate lies ready, since Tailscale's nodes get theirs by ACME from the internet; how a node
gets its first one cannot be shown here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import SkipTest, mock

import pytest
from tests.edges.tailnet_control import LoopbackTailnet
from tests.edges.tailscale import PATIENCE, Node, path_with_engines
from tests.engines.tailscale.tailnet import mesh, visit

from underpass.model.verdict import Layer, LayerStatus
from underpass.testing.driver_bench import DriverBench, Options
from underpass.testing.driver_suite import DriverSuite, bearer, change, refusal, url_of
from underpass.testing.driver_visits import ask, read_answer, request_head
from underpass.testing.origins.http import HttpOrigin

pytestmark = [pytest.mark.xdist_group("tailscale"), pytest.mark.timeout(120)]


class Funnelled(LoopbackTailnet):
    """A tailnet with one node."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.alpha: Node
        self.stranger: Node
        """A node that has joined nothing."""

    async def start(self) -> None:
        await super().start()
        self.alpha = self.node("alpha")
        await self.alpha.start()
        await self.alpha.join("unneeded")
        await self.join_edge()
        self.stranger = self.node("stranger")
        await self.stranger.start()


@pytest.fixture(scope="module")
def funnelled() -> Iterator[Funnelled]:
    directory = Path(tempfile.mkdtemp(prefix="up-"))
    made = Funnelled(directory)
    try:
        asyncio.run(made.start())
        yield made
    finally:
        made.alpha.stop()
        made.stranger.stop()
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)


class FunnelBench(DriverBench):
    engine = "tailscale"
    variant = "funnel"
    tailnet: Funnelled

    async def start(self) -> None:
        self.stack.enter_context(
            mock.patch.dict(
                os.environ,
                {
                    "PATH": path_with_engines(),
                    "SSL_CERT_FILE": str(self.tailnet.ca),
                    "HTTPS_PROXY": f"http://{self.tailnet.edge}",
                },
            )
        )

    def options(self) -> Options:
        return {"share": "funnel", "socket": str(self.tailnet.alpha.socket)}

    async def connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self.tailnet.visit(url)

    def wrong_credential(self) -> Options:
        return {**self.options(), "socket": str(self.tailnet.stranger.socket)}

    @asynccontextmanager
    async def taken_port(self) -> AsyncIterator[Options]:
        node = self.tailnet.alpha
        await node.run("serve", "--bg", "--yes", "--https=443", "http://127.0.0.1:9")
        try:
            yield self.options()
        finally:
            await node.run("serve", "--https=443", "off")

    def far_end(self) -> list[int]:
        return [self.tailnet.pid]


class TestFunnel(DriverSuite):
    async def test_tcp_goes_both_ways_and_its_end_is_passed_on(self, bench: DriverBench) -> None:
        raise SkipTest("a funnel brings TLS, so it is for HTTPS")

    async def test_twenty_megabytes_go_each_way_over_tcp(self, bench: DriverBench) -> None:
        raise SkipTest("a funnel brings TLS, so it is for HTTPS")


@pytest.fixture
async def bench(funnelled: Funnelled, tmp_path: Path, runtime: Path) -> AsyncIterator[FunnelBench]:
    made = FunnelBench(tmp_path, runtime)
    made.tailnet = funnelled
    async with made as bench:
        yield bench


async def test_a_port_that_may_have_no_funnel_is_told_with_those_that_may(
    bench: FunnelBench,
) -> None:
    error = await refusal(bench, {**bench.options(), "port": "10000"})
    assert error.code == "engine-refused"
    assert "443, 8080 may" in error.message


async def test_a_visitors_address_is_known_and_judged(bench: FunnelBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port} --gate ip:127.0.0.1/32")
        url = url_of(tunnel)
        assert (await ask(bench, url, "/", {"X-Forwarded-For": "192.0.2.1"})).status == 200
        await tunnel.close()
        tunnel = await bench.open(f"{origin.port} --gate ip:192.0.2.0/24")
        assert (await ask(bench, url, "/", {"X-Forwarded-For": "192.0.2.1"})).status == 403


async def test_who_visitors_say_they_are_never_arrives(bench: FunnelBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        claims = {"Tailscale-User-Login": "owner@example.com", "Tailscale-User-Name": "Owner"}
        await ask(bench, url_of(tunnel), "/who", {**bearer(tunnel), **claims})
        seen = next(each for each in origin.requests if each.target == "/who")
        assert not seen.all("tailscale-user-login")
        assert not seen.all("tailscale-user-name")


async def test_a_key_that_ends_and_is_renewed_is_seen_and_passes(bench: FunnelBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        changes = tunnel.events()
        await bench.tailnet.fault("expire")
        failing = await change(changes, lambda it: it["tunnel"]["state"] == "failing")
        assert failing["reason"] == "login-needed"
        await bench.tailnet.fault("revive")
        await bench.tailnet.alpha.run("up", "--force-reauth", "--timeout=20s")
        await change(changes, lambda it: it["event"] == "live")
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200


async def test_https_inside_the_tailnet_is_served_with_the_nodes_certificate(
    bench: FunnelBench,
) -> None:
    options = {**bench.options(), "share": "serve", "https": "yes"}
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}", options)
        url = url_of(tunnel)
        assert url == "https://alpha.tail-test.ts.net"
        assert tunnel.verdict.layers[Layer.TLS].status is LayerStatus.PASSED
        reader, writer = await visit(bench.tailnet.alpha, url)
        await writer.start_tls(bench.tailnet.trust, server_hostname="alpha.tail-test.ts.net")
        writer.write(request_head("GET", url, "/", {**bearer(tunnel), "Connection": "close"}))
        async with asyncio.timeout(PATIENCE):
            assert (await read_answer(reader)).status == 200
        writer.close()


async def test_a_node_that_nobody_let_in_is_let_in_by_somebody_with_a_browser(
    funnelled: Funnelled,
) -> None:
    node = funnelled.node("newcomer")
    await funnelled.fault("require-auth", on="1")
    try:
        await node.start()
        await node.run("up", f"--login-server={node.control}", "--timeout=1s")
        code, told = await mesh("recover", "--dry-run", node=node)
        assert (code, told["before"]["steps"][0]["code"]) == (5, "sign-in")
        said: list[str] = []
        recovering = asyncio.create_task(mesh("recover", "alpha", "--yes", node=node, say=said))
        async with asyncio.timeout(PATIENCE):
            while not (urls := [line for line in said if "sign in here: " in line]):
                assert not recovering.done(), recovering.result()
                await asyncio.sleep(0.05)  # what it says comes when it comes
        await funnelled.fault("approve", url=urls[0].strip().rpartition(" ")[2])
        code, told = await recovering
        assert (code, told["taken"][0]["verified"]) == (0, True), told
    finally:
        await funnelled.fault("require-auth", on="0")
        node.stop()
