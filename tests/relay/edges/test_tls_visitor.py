"""Visitors over TLS: the same exchanges, where transports pause, end and buffer differently."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys

import pytest

from underpass.relay.edges.sockets import progress

BULK = bytes(range(256)) * 20_000

SIOCOUTQ, SIOCOUTQNSD = 0x5411, 0x894B
# tcp(7) and linux/sockios.h: bytes that wait to be acknowledged, and those of them that wait to be
# sent.


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


def fill_kernel(transport) -> int:
    """Fill the kernel's buffer below a TLS transport, and keep it small; answers how much went in.
    What the visitor reads is TLS no more."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    written = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            written += os.write(sock.fileno(), b"x" * 65536)
    return written


def is_stuck(transport) -> bool:
    """Fill; whether neither our kernel nor the visitor's takes more: nothing is under way, and
    something waits. As long as something is, there may be room for it."""
    if fill_kernel(transport):
        return False
    descriptor = transport.get_extra_info("socket").fileno()
    unacknowledged, unsent = (
        int.from_bytes(fcntl.ioctl(descriptor, asked, bytes(4)), sys.byteorder)
        for asked in (SIOCOUTQ, SIOCOUTQNSD)
    )
    return unacknowledged == unsent > 0


class RawReader:
    """Reads a visitor's socket below its TLS, which hears nothing any more."""

    def __init__(self, caller) -> None:
        caller.writer.transport.pause_reading()
        self._descriptor = caller.writer.transport.get_extra_info("socket").fileno()

    def read(self, count: int) -> int:
        """At most ``count`` bytes of those that have come; how many there were."""
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while taken < count:
                taken += len(os.read(self._descriptor, min(65536, count - taken)))
        return taken


async def test_bytes_that_wait_below_tls_are_not_credited(house, caller, wait_until) -> None:
    reader = RawReader(caller)
    await caller.get(host="demo.relay.test")
    far = await house.tunnel.accept()
    (connection,) = house.door.http.sweeper
    await wait_until(lambda: connection.exchange is not None)
    await wait_until(lambda: is_stuck(connection.transport))
    far.answer(200, b"x" * 40_000, end=False)
    await wait_until(lambda: connection.writing_paused)
    stream = connection.exchange._stream
    assert connection.transport.get_write_buffer_size() > 40_000
    await wait_until(lambda: stream.undrained == 40_000)

    def taken() -> bool:
        reader.read(2**30)
        return stream.undrained == 0

    await wait_until(taken)
    assert not connection.writing_paused


async def test_a_visitor_that_leaves_while_bytes_wait_below_tls_is_forgotten(
    house, caller, wait_until
) -> None:
    RawReader(caller)
    await caller.get(host="demo.relay.test")
    far = await house.tunnel.accept()
    (connection,) = house.door.http.sweeper
    await wait_until(lambda: connection.exchange is not None)
    await wait_until(lambda: is_stuck(connection.transport))
    far.answer(200, b"x" * 40_000, end=False)
    await wait_until(lambda: connection.writing_paused)
    caller.writer.transport.abort()
    assert await far.gone() == "visitor-left"
    assert connection.transport is None


async def test_a_slow_reader_is_not_taken_for_one_that_has_left(house, caller, wait_until) -> None:
    reader = RawReader(caller)
    await caller.get(host="demo.relay.test")
    far = await house.tunnel.accept()
    far.answer(200, None, end=False)
    await far.fill()
    (connection,) = house.door.http.sweeper
    await wait_until(lambda: connection.writing_paused)
    edge = connection.edge
    now = edge.loop.time()
    edge.sweeper.sweep(now)
    for _ in range(3):
        before = progress(connection.transport)

        def moved(before: int = before) -> bool:
            reader.read(65536)
            return progress(connection.transport) != before

        await wait_until(moved)
        now += edge.limits.write_stall_seconds + 1
        edge.sweeper.sweep(now)
        assert connection.exchange is not None

    await far.fill()
    await wait_until(lambda: connection.writing_paused)

    def missed() -> bool:
        """Acknowledgements of what was read may still come in, each a sign of life."""
        nonlocal now
        now += edge.limits.write_stall_seconds + 1
        edge.sweeper.sweep(now)
        return connection.exchange is None

    await wait_until(missed)
    assert await far.gone() == "visitor-left"
