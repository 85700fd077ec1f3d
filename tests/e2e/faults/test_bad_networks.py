"""Three hosts and a router between them that loses, forgets, moves and swallows packets."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from raw_visitor import Visitor
from told_origin import ToldOrigin, ToldStream, event
from tunnel_site import Connector, Names, PublicRelay, Site, measured

from underpass.testing.certificates import Certificate, self_signed
from underpass.testing.network import Namespace, Network

DOMAIN = "relay.test"
NAME = "tools"
HOST = f"{NAME}.{DOMAIN}"
INSIDE, ROUTER_IN, ROUTER_OUT, OUTSIDE = "10.81.1.2", "10.81.1.1", "10.81.2.1", "10.81.2.2"
MOVED = "10.81.2.9"
"""Where the router's connections come from after it got another address."""

NOTICED = 10.0
"""Seconds: a dead path is noticed at the worst."""
HEALED = 3.0
"""Seconds after the path is back."""
SLACK = 3.0
"""Seconds that this machine may be late."""

pytestmark = [pytest.mark.root, pytest.mark.slow]


class OriginIn(ToldOrigin):
    """An origin on the loopback interface of one host."""

    def __init__(self, place: Namespace) -> None:
        super().__init__()
        self._place = place

    async def start(self) -> None:
        listening = self._place.socket()
        listening.bind((self.host, 0))
        self._server = await asyncio.start_server(self._accept, sock=listening)
        self.port = listening.getsockname()[1]


class Wan:
    """inside (connector, origin) - router - outside (relay, visitors)."""

    def __init__(self, net: Network) -> None:
        self.inside = net.namespace("in")
        self.router = net.namespace("nat")
        self.outside = net.namespace("out")
        net.cable(self.inside, f"{INSIDE}/24", self.router, f"{ROUTER_IN}/24")
        net.cable(self.router, f"{ROUTER_OUT}/24", self.outside, f"{OUTSIDE}/24")
        self.inside.route("default", via=ROUTER_IN)
        self.router.forward()
        self.writers: list[asyncio.StreamWriter] = []

    @property
    def links(self) -> int:
        """Links that the relay has accepted so far."""
        return self.relay.errors.count("link attached")

    def move_router(self) -> None:
        """Give the router another public address, and take the old one away."""
        interface = self.router._interface_of(ROUTER_OUT)
        self.router.run("ip", "addr", "del", f"{ROUTER_OUT}/24", "dev", interface)
        self.router.run("ip", "addr", "add", f"{MOVED}/24", "dev", interface)

    relay: PublicRelay
    tunnel: Connector
    origin: OriginIn
    trust: ssl.SSLContext

    async def visit(self) -> Visitor:
        """A visitor beside the relay."""
        sock = self.outside.socket()
        await asyncio.get_running_loop().sock_connect(sock, (OUTSIDE, self.tunnel.port))
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=self.trust, server_hostname=HOST
        )
        self.writers.append(writer)
        return Visitor(self.tunnel.port, reader, writer, host=f"{HOST}:{self.tunnel.port}")

    async def fetch_ok(self) -> None:
        """One request, answered."""
        visitor = await self.visit()
        await visitor.ask("/", self.tunnel.credential)
        assert (await visitor.head()).status == 200
        assert await visitor.body() == b"ok"
        visitor.leave()

    async def stream(self) -> tuple[Visitor, ToldStream]:
        """An event stream under way."""
        visitor = await self.visit()
        await visitor.ask("/sse", self.tunnel.credential)
        assert (await visitor.head()).status == 200
        return visitor, await self.origin.streams.get()


@pytest.fixture
def bare() -> Iterator[Wan]:
    with Network() as net:
        yield Wan(net)


@pytest.fixture
async def wan(bare: Wan, site: Site, tmp_path: Path) -> AsyncIterator[Wan]:
    certificate: Certificate = self_signed(DOMAIN, HOST)
    bare.trust = ssl.create_default_context(cadata=certificate.certificate.decode())
    names = Names(tmp_path)
    names.mean(OUTSIDE, DOMAIN, HOST)
    with bare.router.masquerade(ROUTER_OUT):
        async with OriginIn(bare.inside) as bare.origin:
            bare.relay = await site.serve_public(
                DOMAIN, f"{OUTSIDE}:0", certificate, prefix=within(bare.outside)
            )
            bare.tunnel = await site.open(
                *(bare.origin.url, "--name", NAME, "--relay-ca", str(bare.relay.chain)),
                relay=bare.relay.url,
                enrol=bare.relay.token_file,
                prefix=(*within(bare.inside), *names.prefix),
            )
            yield bare
            for writer in bare.writers:
                writer.transport.abort()


def within(place: Namespace) -> tuple[str, ...]:
    return ("ip", "netns", "exec", place.name)


async def receive(visitor: Visitor, last: int) -> bytes:
    """Everything up to the numbered event, heartbeats left out."""
    received = b""
    while not received.endswith(event(last)):
        part = await visitor.part()
        assert part, "the stream ended"
        if not part.startswith(b":"):
            received += part
    return received


def events(count: int) -> bytes:
    return b"".join(map(event, range(count)))


async def test_a_tunnel_stays_up_while_a_fifth_of_all_packets_is_lost(wan: Wan) -> None:
    heard = len(wan.tunnel.lines)
    visitor, stream = await wan.stream()
    start = time.monotonic()
    with wan.router.lose(percent=20):
        async with asyncio.timeout(45):
            telling = asyncio.create_task(tell_slowly(stream, 300))
            received = await receive(visitor, 299)
            await telling
        assert wan.router.dropped() > 0
    measured("300 events at 20 % loss, seconds (3 without)", time.monotonic() - start)
    assert received == events(300)
    assert wan.origin.targets.count("/sse") == 1
    await asyncio.wait_for(wan.fetch_ok(), 10)
    ends = {"superseded", "closed", "lease-ended"}
    assert not ends & {line["event"] for line in wan.tunnel.lines[heard:]}


async def tell_slowly(stream: ToldStream, count: int) -> None:
    for _ in range(count // 10):
        await stream.say(10)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("how", ["another port", "another address"])
async def test_a_stream_goes_on_when_the_router_comes_from(wan: Wan, how: str) -> None:
    visitor, stream = await wan.stream()
    await stream.say(10)
    assert await asyncio.wait_for(receive(visitor, 9), 10) == events(10)
    links = wan.links
    moved = time.monotonic()
    if how == "another port":
        wan.router.forget_connections()
    else:
        wan.move_router()
    await stream.say(10)
    async with asyncio.timeout(NOTICED + HEALED + SLACK):
        received = await receive(visitor, 19)
    measured(f"stream goes on from {how} after, seconds", time.monotonic() - moved)
    assert received == events(20)[len(events(10)) :]
    # none of the links of before the move still carries anything
    async with asyncio.timeout(NOTICED + HEALED + SLACK):
        while wan.links < links + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await asyncio.wait_for(wan.fetch_ok(), 10)


def up(wan: Wan) -> AbstractContextManager[None]:
    return wan.router.drop(source=INSIDE)


def down(wan: Wan) -> AbstractContextManager[None]:
    return wan.router.drop(source=OUTSIDE, destination=INSIDE)


@pytest.mark.parametrize("direction", [up, down], ids=["from the connector", "to the connector"])
async def test_a_dead_direction_is_named_in_time_and_its_stream_goes_on(
    wan: Wan, direction: Callable[[Wan], AbstractContextManager[None]]
) -> None:
    visitor, stream = await wan.stream()
    await stream.say(10)
    assert await asyncio.wait_for(receive(visitor, 9), 10) == events(10)
    heard = len(wan.tunnel.lines)
    lost = time.monotonic()
    with direction(wan):
        await stream.say(10)
        failing = await wan.tunnel.wait_event("failing", after=heard, within=20)
        took = time.monotonic() - lost
        measured("dead direction shown after, seconds", took)
        # the prober stands inside, too: nothing of it comes through either
        assert failing["layer"] in ("link", "relay")
        assert took <= NOTICED
        assert wan.router.dropped() > 0
    healed = time.monotonic()
    async with asyncio.timeout(HEALED + SLACK):
        received = await receive(visitor, 19)
    measured("stream goes on after, seconds", time.monotonic() - healed)
    assert received == events(20)[len(events(10)) :]
    await wan.tunnel.wait_event("live", after=heard, within=20)
    assert wan.origin.targets.count("/sse") == 1
