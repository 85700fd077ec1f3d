from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

import pytest

from underpass.cli.forward import Side, pair


@asynccontextmanager
async def joined(serve, *, dial: asyncio.Event | None = None):
    """A local port whose connections are joined to ``serve``; yields a client's two streams."""
    loop = asyncio.get_running_loop()
    origin = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin_port = origin.sockets[0].getsockname()[1]
    sides: list[Side] = []
    dialling: set[asyncio.Task] = set()

    def accept() -> Side:
        near, far = pair()
        sides.extend((near, far))

        async def connect() -> None:
            if dial is not None:
                await dial.wait()
            await loop.create_connection(lambda: far, "127.0.0.1", origin_port)

        dialling.add(asyncio.create_task(connect()))
        return near

    server = await loop.create_server(accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        async with asyncio.timeout(10):
            yield reader, writer, sides
    finally:
        writer.close()
        for side in sides:
            side.abort()
        server.close()
        origin.close()
        await asyncio.gather(*dialling)


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_bytes_pass_both_ways_and_both_ends_close():
    async with joined(echo) as (reader, writer, sides):
        writer.write(b"x" * 3_000_000)
        writer.write_eof()
        assert await reader.read() == b"x" * 3_000_000
        for side in sides:
            await side.closed.wait()


async def test_what_is_sent_before_the_far_end_is_there_waits_for_it():
    dial = asyncio.Event()
    async with joined(echo, dial=dial) as (reader, writer, _):
        writer.write(b"early")
        writer.write_eof()
        await writer.drain()
        dial.set()
        assert await reader.read() == b"early"


async def test_a_half_close_travels_and_the_other_direction_goes_on():
    async def answer_after_end(reader, writer):
        request = await reader.read()
        writer.write(b"heard " + request)
        writer.close()

    async with joined(answer_after_end) as (reader, writer, _):
        writer.write(b"question")
        writer.write_eof()
        assert await reader.read() == b"heard question"


async def test_the_origin_s_half_close_leaves_the_client_its_word():
    heard = asyncio.get_running_loop().create_future()

    async def end_first(reader, writer):
        writer.write_eof()
        heard.set_result(await reader.read())
        writer.close()

    async with joined(end_first) as (reader, writer, _):
        assert await reader.read() == b""
        writer.write(b"still here")
        writer.write_eof()
        assert await heard == b"still here"


async def test_a_reset_of_the_origin_resets_the_client():
    async def reset(reader, writer):
        await reader.readexactly(1)
        writer.write(b"half an answ")
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with joined(reset) as (reader, writer, sides):
        writer.write(b"?")
        with pytest.raises(ConnectionError):
            await reader.read()
        for side in sides:
            await side.closed.wait()


async def test_a_client_that_leaves_while_it_is_being_connected_leaves_nothing_behind():
    dial = asyncio.Event()
    async with joined(echo, dial=dial) as (_, writer, sides):
        writer.transport.abort()
        sides[0].abort()
        await sides[0].closed.wait()
        dial.set()
        await sides[1].closed.wait()


async def test_a_slow_origin_is_felt_by_the_client_and_not_kept_in_memory():
    release = asyncio.Event()
    received = 0
    done = asyncio.Event()

    async def slow(reader, writer):
        nonlocal received
        await release.wait()
        while data := await reader.read(65536):
            received += len(data)
        writer.close()
        done.set()

    async with joined(slow) as (_, writer, sides):
        writer.transport.set_write_buffer_limits(high=65536)
        sent = 0
        near, far = sides
        while not far._is_full or near._transport.is_reading():
            writer.write(b"x" * 65536)
            sent += 65536
            await asyncio.wait({asyncio.ensure_future(writer.drain())}, timeout=0.05)
        assert far._transport.get_write_buffer_size() < 1_000_000
        release.set()
        writer.write_eof()
        await done.wait()
        assert received == sent
