"""A stream outlives its links: every byte, in order, and the visitor sees no close."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from raw_visitor import visiting
from told_origin import ToldOrigin, event
from tunnel_site import Connector, Relay, Site
from websockets.asyncio.client import connect

from underpass.testing.fault_proxy import Direction, FaultProxy, Side
from underpass.testing.origins import WebSocketEcho

EVENTS = 1_000
LONG_CUT = 10.0
"""The longest that the promise names."""
SCALED_CUT = 3.0
"""The same, where once is enough."""

Cut = Callable[[FaultProxy], Awaitable[None]]


async def reset(proxy: FaultProxy) -> None:
    proxy.reset()


async def reset_in_mid_frame(proxy: FaultProxy) -> None:
    # the next 100 bytes pass, of whatever frame they are
    proxy.cut_after(100, Direction.UP)


async def reset_and_nobody_answers(proxy: FaultProxy) -> None:
    await away(proxy, 1.5)


async def away(proxy: FaultProxy, seconds: float) -> None:
    proxy.refuse_new()
    proxy.reset()
    await asyncio.sleep(seconds)
    await proxy.accept_new()


async def ghost_at_the_relay(proxy: FaultProxy) -> None:
    proxy.half_open(Side.CLIENT)


async def ghost_at_the_connector(proxy: FaultProxy) -> None:
    # only silence tells the connector: its successor is dialled after 4.5 s
    proxy.half_open(Side.UPSTREAM)


async def swallowed(proxy: FaultProxy, direction: Direction | None) -> None:
    """What is sent into the hole is lost with the links."""
    proxy.black_hole(direction)
    await asyncio.sleep(1.0)
    proxy.reset()
    proxy.heal()


async def hole(proxy: FaultProxy) -> None:
    await swallowed(proxy, None)


async def hole_up(proxy: FaultProxy) -> None:
    await swallowed(proxy, Direction.UP)


async def hole_down(proxy: FaultProxy) -> None:
    await swallowed(proxy, Direction.DOWN)


async def frozen(proxy: FaultProxy) -> None:
    proxy.freeze()
    await asyncio.sleep(1.0)
    proxy.reset()
    proxy.thaw()


async def long_away(proxy: FaultProxy) -> None:
    await away(proxy, LONG_CUT)


async def scaled_away(proxy: FaultProxy) -> None:
    await away(proxy, SCALED_CUT)


CUTS: tuple[Cut, ...] = (
    reset,
    reset_in_mid_frame,
    ghost_at_the_relay,
    hole,
    hole_up,
    hole_down,
    frozen,
    reset_and_nobody_answers,
    ghost_at_the_connector,
)
"""Nine; the tenth is the longest."""


@pytest.fixture
async def relay(site: Site) -> Relay:
    return await site.serve()


async def open_through(site: Site, relay: Relay, proxy: FaultProxy, origin: str) -> Connector:
    return await site.open(
        origin,
        relay=f"http://127.0.0.1:{proxy.port}",
        enrol=relay.token_file,
    )


async def wait_successor(proxy: FaultProxy, links: int) -> None:
    """Wait for a new link: the cut was one."""
    async with asyncio.timeout(20):
        while proxy.statistics().accepted <= links:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_thousand_events_arrive_across_ten_link_cuts(site: Site, relay: Relay) -> None:
    async with ToldOrigin() as origin, FaultProxy("127.0.0.1", relay.port) as proxy:
        tunnel = await open_through(site, relay, proxy, origin.url)
        async with visiting(tunnel.port) as visitor:
            await visitor.ask("/sse", tunnel.credential)
            stream = await asyncio.wait_for(origin.streams.get(), 10)
            assert (await visitor.head()).status == 200
            received = b""
            expected = b""
            for cut in (*CUTS, long_away):
                links = proxy.statistics().accepted
                await stream.say(50)
                cutting = asyncio.create_task(cut(proxy))
                await stream.say(50)
                expected += b"".join(event(n) for n in range(stream.sent - 100, stream.sent))
                async with asyncio.timeout(30):
                    await cutting
                    while len(without_heartbeats(received)) < len(expected):
                        received += await visitor.part()
                assert without_heartbeats(received) == expected, f"after {cut.__name__}"
                await wait_successor(proxy, links)
            stream.end()
            assert await asyncio.wait_for(visitor.body(), 10) == b""
            assert stream.sent == EVENTS
        # one request, dispatched once, whatever happened to the links
        assert origin.targets.count("/sse") == 1
        events = [line["event"] for line in tunnel.lines]
        assert "link-lost" in events
        assert "superseded" not in events


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_websocket_conversation_goes_on_across_ten_link_cuts(
    site: Site, relay: Relay
) -> None:
    async with WebSocketEcho() as origin, FaultProxy("127.0.0.1", relay.port) as proxy:
        tunnel = await open_through(site, relay, proxy, f"http://127.0.0.1:{origin.port}")
        url = tunnel.url.replace("http", "ws", 1)
        async with connect(
            url,
            additional_headers=tunnel.credential,
            ping_interval=None,
            compression=None,
            max_size=None,
        ) as talk:
            for number, cut in enumerate((*CUTS, scaled_away)):
                links = proxy.statistics().accepted
                said = [f"{number}.{n}" * (n * 17) for n in range(20)]
                said.append(bytes(range(256)) * 400)
                for message in said[:10]:
                    await talk.send(message)
                cutting = asyncio.create_task(cut(proxy))
                for message in said[10:]:
                    await talk.send(message)
                async with asyncio.timeout(30):
                    await cutting
                    echoed = [await talk.recv() for _ in said]
                assert echoed == said, f"after {cut.__name__}"
                await wait_successor(proxy, links)
            assert origin.closings.empty()
        code, _ = await asyncio.wait_for(origin.closings.get(), 10)
        assert code == 1000


def without_heartbeats(stream: bytes) -> bytes:
    """Comments between events are ours, and carry nothing."""
    return (
        b"".join(
            block + b"\n\n" for block in stream.split(b"\n\n")[:-1] if not block.startswith(b":")
        )
        + stream.rsplit(b"\n\n", 1)[-1]
    )
