"""What the kernel says of a visitor's socket, on real sockets."""

from __future__ import annotations

import asyncio
import sys

import pytest

from underpass.relay.edges.sockets import progress, unsent


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts acknowledged bytes")
async def test_bytes_taken_are_progress_although_as_many_wait_as_before(wait_until) -> None:
    arrived = asyncio.Event()
    transports: list[asyncio.BaseTransport] = []

    def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transports.append(writer.transport)
        arrived.set()

    server = await asyncio.start_server(came, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        await arrived.wait()
        transport = transports[0]
        before = progress(transport)
        for count in (1, 5000):
            transport.write(b"x" * count)
            await reader.readexactly(count)
            await wait_until(lambda: unsent(transport) == 0)
            assert progress(transport) == before + count
            before += count
    finally:
        for one in (*transports, writer):
            one.close()
        server.close()
        await server.wait_closed()
