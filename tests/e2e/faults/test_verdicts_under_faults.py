"""Status never lies: each layer is broken from outside, named in time, and heals by itself."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest
from raw_visitor import Visitor, fetch, visiting
from tunnel_site import Relay, Site, measured

from underpass.testing.fault_proxy import FaultProxy
from underpass.testing.origins import HttpOrigin


@pytest.fixture
async def relay(site: Site) -> Relay:
    return await site.serve()


@pytest.fixture
async def origin() -> AsyncIterator[HttpOrigin]:
    async with HttpOrigin() as it:
        yield it


async def test_a_refusing_origin_is_named_within_a_second_of_being_seen_and_heals(
    site: Site, relay: Relay, origin: HttpOrigin
) -> None:
    tunnel = await site.open(origin.url, relay=relay.url, enrol=relay.token_file)
    heard = len(tunnel.lines)
    await origin.stop()
    head, _ = await fetch(tunnel.port, "/", tunnel.credential)
    seen = time.monotonic()
    assert (head.status, head.code) == (503, "origin-away")
    failing = await tunnel.wait_event("failing", layer="origin", after=heard, within=10)
    took = time.monotonic() - seen
    measured("refusing origin shown after, seconds", took)
    assert took <= 1.0
    assert failing["verdict"]["layer"] == "origin"
    assert failing["tunnel"]["state"] == "failing"
    layers = failing["verdict"]["layers"]
    assert [name for name in layers if layers[name]["status"] == "failed"] == ["origin"]
    heard = len(tunnel.lines)
    await origin.start()
    live = await tunnel.wait_event("live", after=heard, within=30)
    assert live["verdict"]["ok"]


@pytest.mark.slow
async def test_a_lost_link_is_named_within_ten_seconds_and_heals(
    site: Site, relay: Relay, origin: HttpOrigin
) -> None:
    async with FaultProxy("127.0.0.1", relay.port) as proxy:
        door = f"http://127.0.0.1:{proxy.port}"
        tunnel = await site.open(origin.url, relay=door, enrol=relay.token_file)
        heard = len(tunnel.lines)
        lost = time.monotonic()
        # no reset, no end: only silence tells
        proxy.black_hole()
        failing = await tunnel.wait_event("failing", after=heard, within=20)
        took = time.monotonic() - lost
        measured("black hole shown after, seconds", took)
        assert failing["layer"] == "link"
        assert took <= 10.0
        heard = len(tunnel.lines)
        healed = time.monotonic()
        proxy.heal()
        await tunnel.wait_event("live", after=heard, within=20)
        measured("live again after, seconds", time.monotonic() - healed)
        assert (await fetch(tunnel.port, "/", tunnel.credential))[0].status == 200


@pytest.mark.slow
async def test_a_relay_that_is_gone_or_frozen_is_named_and_heals(
    site: Site, relay: Relay, origin: HttpOrigin
) -> None:
    tunnel = await site.open(origin.url, relay=relay.url, enrol=relay.token_file)
    heard = len(tunnel.lines)
    lost = time.monotonic()
    await relay.kill()
    # the lost link shows at once, and a probe through the door then finds out why
    await tunnel.wait_event("failing", layer="relay", after=heard, within=20)
    measured("dead relay shown after, seconds", time.monotonic() - lost)
    assert time.monotonic() - lost <= 10.0
    heard = len(tunnel.lines)
    again = await site.serve(port=relay.port)
    await tunnel.wait_event("live", after=heard, within=30)

    heard = len(tunnel.lines)
    lost = time.monotonic()
    again.send(signal.SIGSTOP)
    failing = await tunnel.wait_event("failing", after=heard, within=30)
    measured("frozen relay shown after, seconds", time.monotonic() - lost)
    # the kernel still takes connections for it: the first that is seen to fail is the link
    assert failing["layer"] in ("relay", "link")
    assert time.monotonic() - lost <= 10.0
    heard = len(tunnel.lines)
    again.send(signal.SIGCONT)
    await tunnel.wait_event("live", after=heard, within=30)
    assert (await fetch(tunnel.port, "/", tunnel.credential))[0].status == 200


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.0, 11.0], ids=["a nap", "longer than a link lives"])
async def test_a_stream_goes_on_after_its_connector_slept(
    site: Site, relay: Relay, origin: HttpOrigin, seconds: float
) -> None:
    tunnel = await site.open(origin.url, relay=relay.url, enrol=relay.token_file)
    count = int(seconds * 20) + 40
    async with visiting(tunnel.port) as visitor, asyncio.timeout(60):
        await visitor.ask(f"/sse?events={count}&interval=0.05", tunnel.credential)
        assert (await visitor.head()).status == 200
        received = await visitor.part()
        tunnel.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        tunnel.send(signal.SIGCONT)
        woke = time.monotonic()
        missing = await anything_new(visitor)
        measured(f"slept {seconds} s; the stream goes on after, seconds", time.monotonic() - woke)
        assert time.monotonic() - woke <= 3.0
        received += missing + await visitor.body()
    blocks = [each for each in received.split(b"\n\n") if each and not each.startswith(b":")]
    assert blocks == [b"id: %d\ndata: event %d" % (n, n) for n in range(count)]
    assert (await fetch(tunnel.port, "/", tunnel.credential))[0].status == 200
    assert not [line for line in tunnel.lines if line["event"] == "superseded"]


async def anything_new(visitor: Visitor) -> bytes:
    """The next that is not a heartbeat."""
    while True:
        part = await visitor.part()
        if not part.startswith(b":"):
            return bytes(part)
