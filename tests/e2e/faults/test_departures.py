"""Who leaves is missed within a second, on either side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from raw_visitor import AnswerBroken, visiting
from tunnel_site import Connector, Relay, Site, measured

from underpass.testing.origins import HttpOrigin, SeenRequest

PROMISED = 1.0
"""Seconds: cancellation both ways."""

EVENT_STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
async def relay(site: Site) -> Relay:
    return await site.serve()


@pytest.fixture
async def origin() -> AsyncIterator[HttpOrigin]:
    async with HttpOrigin() as it:
        yield it


@pytest.fixture
async def tunnel(site: Site, relay: Relay, origin: HttpOrigin) -> Connector:
    return await site.open(origin.url, relay=relay.url, enrol=relay.token_file)


DEPARTURES = (
    # while it waits for a head, and in the middle of a stream; with RST, and with FIN where a FIN
    # cannot mean half of a conversation
    ("/hang", True, {}),
    ("/hang", False, EVENT_STREAM),
    ("/sse?events=100000&interval=0.2", True, {}),
    ("/sse?events=100000&interval=0.2", False, EVENT_STREAM),
)


async def test_the_origin_sees_within_a_second_that_the_visitor_left(
    tunnel: Connector, origin: HttpOrigin
) -> None:
    for target, reset, accept in DEPARTURES:
        async with visiting(tunnel.port) as visitor:
            await visitor.ask(target, {**tunnel.credential, **accept})
            seen = await asyncio.wait_for(wait_target(origin, target), 10)
            if target.startswith("/sse"):
                assert (await asyncio.wait_for(visitor.head(), 10)).status == 200
                assert await asyncio.wait_for(visitor.part(), 10)
            left = time.monotonic()
            visitor.leave(reset=reset)
            await asyncio.wait_for(seen.departed.wait(), 10)
            took = time.monotonic() - left
            measured(f"origin sees the departure ({target}, reset {reset}), seconds", took)
            assert took <= PROMISED


async def test_a_visitor_whose_reading_is_paused_is_missed_too(
    tunnel: Connector, origin: HttpOrigin
) -> None:
    target = f"/huge?bytes={1 << 30}"
    async with visiting(tunnel.port) as visitor:
        await visitor.ask(target, tunnel.credential)
        assert (await asyncio.wait_for(visitor.head(), 10)).status == 200
        seen = await asyncio.wait_for(wait_target(origin, target), 10)
        # nobody reads until every buffer on the way is full
        await asyncio.sleep(1)
        assert not seen.is_departed
        left = time.monotonic()
        visitor.leave(reset=True)
        await asyncio.wait_for(seen.departed.wait(), 10)
        # one second for the look, and one for what follows it
        assert time.monotonic() - left <= 2 * PROMISED


async def test_the_visitor_sees_within_a_second_that_the_origin_broke(
    tunnel: Connector, origin: HttpOrigin
) -> None:
    for target in ("/slow?parts=1000&interval=0.05", "/break?bytes=100000"):
        async with visiting(tunnel.port) as visitor:
            await visitor.ask(target, tunnel.credential)
            assert (await asyncio.wait_for(visitor.head(), 10)).status == 200
            broke = time.monotonic()
            origin.cut_connections()
            with pytest.raises(AnswerBroken):
                await asyncio.wait_for(visitor.body(), 10)
            took = time.monotonic() - broke
            measured(f"visitor sees the broken origin ({target}), seconds", took)
            assert took <= PROMISED


async def test_an_origin_that_breaks_before_its_head_is_a_503(
    tunnel: Connector, origin: HttpOrigin
) -> None:
    async with visiting(tunnel.port) as visitor:
        await visitor.ask("/hang", tunnel.credential)
        await asyncio.wait_for(wait_target(origin, "/hang"), 10)
        broke = time.monotonic()
        origin.cut_connections()
        head = await asyncio.wait_for(visitor.head(), 10)
        assert time.monotonic() - broke <= PROMISED
        assert (head.status, head.code) == (503, "origin-away")
        assert int(head.fields["retry-after"]) > 0


async def wait_target(origin: HttpOrigin, target: str) -> SeenRequest:
    """The request for that target, past those of proofs."""
    while (seen := await origin.arrivals.get()).target != target:
        pass
    return seen
