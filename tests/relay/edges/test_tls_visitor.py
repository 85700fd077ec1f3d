"""Visitors over TLS: the same exchanges, where transports pause, end and buffer differently."""

from __future__ import annotations

import pytest

BULK = bytes(range(256)) * 20_000


@pytest.fixture
async def caller(house):
    port = await house.listen(tls=True)
    return await house.call(port, name="demo.relay.test")


async def test_large_bodies_arrive_whole_both_ways(house, caller) -> None:
    caller.say(b"PUT / HTTP/1.1\r\nHost: demo.relay.test\r\nContent-Length: %d\r\n\r\n" % len(BULK))
    caller.say(BULK)
    far = await house.tunnel.accept()
    assert await far.body() == BULK
    far.answer(200, None, end=False)
    far.say(BULK, end=True)
    await caller.head()
    assert await caller.rest_of_chunks() == BULK
    await caller.get(host="demo.relay.test")
    (await house.tunnel.accept()).answer(200, b"again")
    assert (await caller.answer())[2] == b"again"


async def test_a_slow_origin_stops_the_visitor(house, caller, wait_until) -> None:
    house.tunnel.drain = False
    size = 20_000_000
    caller.say(b"PUT / HTTP/1.1\r\nHost: demo.relay.test\r\nContent-Length: %d\r\n\r\n" % size)
    far = await house.tunnel.accept()
    caller.say(b"x" * size)
    await far.bytes_up_to(60_000)
    (connection,) = house.door.http.sweeper
    await wait_until(lambda: not connection.transport.is_reading())
    assert len(far.received) <= 300_000
    far.drain = True
    far.stream.drained(len(far.received))
    assert len(await far.body()) == size


async def test_a_slow_visitor_stops_the_stream(house, caller) -> None:
    caller.writer.transport.pause_reading()
    await caller.get(host="demo.relay.test")
    far = await house.tunnel.accept()
    far.answer(200, None, end=False)
    sent = await far.fill()
    assert sent < 64 * 1024 * 1024
    caller.writer.transport.resume_reading()
    far.stream.send_end()
    await caller.head()
    assert len(await caller.rest_of_chunks()) == sent


async def test_the_end_of_tls_before_the_answer_is_a_departure(house, caller) -> None:
    await caller.get(host="demo.relay.test")
    far = await house.tunnel.accept()
    await far.head()
    caller.close()
    assert await far.gone() == "visitor-left"


async def test_a_departure_is_noticed_while_nothing_is_read(house, caller, wait_until) -> None:
    await caller.get("/one", host="demo.relay.test")
    far = await house.tunnel.accept()
    await caller.get("/two", host="demo.relay.test")
    (connection,) = house.door.http.sweeper
    await wait_until(lambda: not connection.transport.is_reading())
    caller.writer.transport.abort()
    assert await far.gone() == "visitor-left"


async def test_a_cut_answer_has_no_proper_end(house, caller) -> None:
    caller.say(b"GET / HTTP/1.0\r\nHost: demo.relay.test\r\n\r\n")
    far = await house.tunnel.accept()
    far.answer(200, None, end=False)
    far.say(b"half of")
    await caller.head()
    assert await caller.exactly(7) == b"half of"
    far.stream.abort("origin-incomplete")
    with pytest.raises(OSError):
        await caller.rest()


async def test_an_early_answer_is_not_overtaken_by_the_end(house, caller) -> None:
    caller.say(b"PUT / HTTP/1.1\r\nHost: demo.relay.test\r\nContent-Length: 400000\r\n\r\nstart")
    far = await house.tunnel.accept()
    await far.bytes_up_to(5)
    far.answer(413, b"too much")
    caller.say(b"more" * 5000)
    status, fields, body = await caller.answer()
    assert (status, fields["connection"], body) == (413, "close", b"too much")
    assert await caller.closed()
