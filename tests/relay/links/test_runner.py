"""A lane on an event loop, over real loopback sockets."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from underpass.relay.protocol import frames
from underpass.relay.protocol.stream import Stream


async def pump(owner: Any, data: bytes) -> None:
    """Send ``data`` as an edge would: no further than there is room."""
    stream: Stream = owner.stream
    position = 0
    while position < len(data):
        resumed = owner.resumed
        room = stream.room
        part = data[position : position + room]
        position += room
        if not stream.send_data(part):
            await owner.until(lambda resumed=resumed: owner.resumed > resumed)


async def test_bytes_flow_both_ways_to_their_ends(line) -> None:
    await line.attach()
    mine, theirs = await line.open()
    mine.stream.send_data(b"question")
    mine.stream.send_end()
    await theirs.until(lambda: theirs.ended)
    theirs.stream.send_data(b"answer")
    theirs.stream.send_end()
    await mine.until(lambda: mine.ended)
    assert bytes(theirs.body) == b"question"
    assert bytes(mine.body) == b"answer"
    assert line.relay.lane.streams == line.connector.lane.streams == {}


async def test_whole_exchange_with_heads_and_trailers(line) -> None:
    await line.attach()
    mine, theirs = await line.open("http", head=b"GET /", body=b"small", end=True)
    await theirs.until(lambda: theirs.ended)
    theirs.stream.send_informational(b"103")
    theirs.stream.send_head(b"200")
    theirs.stream.send_data(b"body")
    theirs.stream.send_trailers(b"trailers")
    theirs.stream.send_end()
    await mine.until(lambda: mine.ended)
    assert (theirs.heads, bytes(theirs.body)) == ([b"GET /"], b"small")
    assert (mine.heads, bytes(mine.body), mine.trailers) == (
        [b"103", b"200"],
        b"body",
        [b"trailers"],
    )


async def test_megabytes_arrive_whole_and_memory_comes_back(line) -> None:
    await line.attach()
    mine, theirs = await line.open()
    data = os.urandom(3_000_000)
    async with asyncio.timeout(20):
        await pump(mine, data)
    mine.stream.send_end()
    theirs.stream.send_end()
    await theirs.until(lambda: theirs.ended)
    await mine.until(lambda: mine.ended)
    assert bytes(theirs.body) == data
    assert line.relay.budget.used == line.connector.budget.used == 0


async def test_link_replaced_in_the_middle_of_a_payload_loses_nothing(line) -> None:
    await line.attach()
    mine, theirs = await line.open()
    data = os.urandom(1_500_000)
    sending = asyncio.create_task(pump(mine, data))
    for part in range(1, 6):
        await theirs.until(lambda part=part: len(theirs.body) >= part * 200_000)
        await line.attach()
    await sending
    mine.stream.send_end()
    await theirs.until(lambda: theirs.ended)
    assert bytes(theirs.body) == data
    assert line.relay.host.lost == line.connector.host.lost == []


async def test_link_cut_by_the_path_is_told_to_both_ends_and_the_next_goes_on(line) -> None:
    mine_link, theirs_link = await line.attach()
    mine, theirs = await line.open()
    data = os.urandom(600_000)
    sending = asyncio.create_task(pump(mine, data))
    await theirs.until(lambda: len(theirs.body) >= 100_000)
    mine_link.transport.abort()
    await line.relay.until(lambda: line.relay.lost == [mine_link])
    await line.connector.until(lambda: line.connector.lost == [theirs_link])
    assert not line.relay.lane.attached
    await line.attach()
    await sending
    mine.stream.send_end()
    await theirs.until(lambda: theirs.ended)
    assert bytes(theirs.body) == data


async def test_replaced_link_is_not_listened_to(line) -> None:
    old, _ = await line.attach()
    await line.open()
    before = line.relay.lane.received
    new, _ = await line.attach()
    line.relay.runner.data_received(old, b"garbage that would break the lane", before)
    assert line.relay.lane.received == before
    assert line.relay.runner.link is new
    assert line.relay.closed == []


async def test_violation_gives_the_lane_up_with_its_streams_and_its_link(line) -> None:
    mine_link, _ = await line.attach()
    mine, _theirs = await line.open()
    mine_link.data_received(frames.frame(frames.DATA, 99, b"x"))
    assert line.relay.closed == ["protocol-violation"]
    assert (mine.abort_code, mine.stop_code) == ("protocol-violation", "protocol-violation")
    assert line.relay.runner.link is None
    await line.connector.until(lambda: line.connector.lost)
    assert line.connector.closed == []


async def test_close_from_within_a_callback_is_heard_in_order(line) -> None:
    await line.attach()
    mine, theirs = await line.open()
    other, others = await line.open()
    theirs.on_data = lambda: line.connector.runner.close("enough")
    mine.stream.send_data(b"first")
    mine.stream.send_end()
    other.stream.send_data(b"second")
    other.stream.send_end()
    await line.connector.until(lambda: line.connector.closed)
    # what came in the same read is heard first, then the end; the owners insist on the order
    assert bytes(theirs.body) == b"first"
    for owner in (theirs, others):
        assert owner.ended or owner.abort_code == "enough"


async def test_slow_reader_pauses_the_sender_and_not_its_neighbour(line) -> None:
    await line.attach()
    mine, theirs = await line.open()
    theirs.drains = False
    while mine.stream.send_data(bytes(mine.stream.room)):
        pass
    await theirs.until(lambda: len(theirs.body) == 65536)
    quick, quicks = await line.open()
    quick.stream.send_data(b"past it")
    await quicks.until(lambda: quicks.body)
    theirs.stream.drained(len(theirs.body))
    await mine.until(lambda: mine.resumed)


async def test_little_is_acknowledged_by_the_timer(line) -> None:
    await line.attach()
    mine, theirs = await line.open()
    mine.stream.send_data(b"little")
    await theirs.until(lambda: theirs.body)
    await line.relay.until(lambda: not line.relay.lane.buffered)


async def test_lease_is_told(line) -> None:
    await line.attach()
    line.connector.lane.say_lease(55.5)
    await line.relay.until(lambda: line.relay.leases == [55.5])


async def test_stream_without_an_owner_is_refused(line) -> None:
    await line.attach()
    line.connector.runner._on_opened = None
    mine = line.relay.lane.open("tcp")
    await line.relay.until(lambda: not line.relay.lane.streams)
    assert mine.receive_done
    assert line.relay.budget.used == line.connector.budget.used == 0


async def test_close_tells_every_owner_and_is_idempotent(line) -> None:
    await line.attach()
    mine, _ = await line.open()
    line.relay.runner.close("lane-lost")
    line.relay.runner.close("again")
    assert (mine.abort_code, mine.stop_code) == ("lane-lost", "lane-lost")
    assert line.relay.closed == ["lane-lost"]
