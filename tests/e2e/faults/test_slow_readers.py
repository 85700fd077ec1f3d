"""Hundreds who do not read cost a little each, and nothing to somebody who does."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from contextlib import ExitStack

import pytest
from raw_visitor import fetch
from tunnel_site import MIB, Connector, MemoryWatch, Site, measured

from underpass.testing.origins import HttpOrigin

SLOW = 300
MOST_MEMORY = 64 * MIB
"""Of a thousand slow readers, at the relay."""


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_three_hundred_who_do_not_read_are_bounded_and_a_fast_one_is_served(
    site: Site,
) -> None:
    relay = await site.serve()
    async with HttpOrigin() as origin:
        tunnel = await site.open(origin.url, relay=relay.url, enrol=relay.token_file)
        alone = await fast_requests(tunnel)
        async with MemoryWatch(relay, tunnel) as memory:
            with ExitStack() as stack:
                for _ in range(SLOW):
                    stack.enter_context(stalled(tunnel))
                async with asyncio.timeout(60):
                    while len(origin.requests) < SLOW:
                        await origin.arrivals.get()
                filling = await fast_requests(tunnel)
                beside = await fast_requests(tunnel)
        measured("fast request alone, while slow ones fill up, then, ms", (alone, filling, beside))
        measured("MiB added at relay, connector", [peak / MIB for peak in memory.peaks])
        assert max(memory.peaks) <= MOST_MEMORY, [peak / MIB for peak in memory.peaks]
        # a stalled one that held the lane would make this endless
        assert beside < 1000.0
        # and when they leave, the origin is told of each
        async with asyncio.timeout(30):
            for seen in [each for each in origin.requests if each.target.startswith("/huge")]:
                await seen.departed.wait()


def stalled(tunnel: Connector) -> socket.socket:
    """A visitor that asks for a gigabyte and never reads a byte."""
    sock = socket.create_connection(("127.0.0.1", tunnel.port), timeout=10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    head = f"GET /huge HTTP/1.1\r\nHost: 127.0.0.1:{tunnel.port}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in tunnel.credential.items())
    sock.sendall(head.encode() + b"\r\n")
    return sock


async def fast_requests(tunnel: Connector) -> float:
    """Median milliseconds of small requests."""
    took = []
    for _ in range(30):
        start = time.monotonic()
        head, _ = await fetch(tunnel.port, "/small", tunnel.credential)
        assert head.status == 200
        took.append((time.monotonic() - start) * 1000)
    return statistics.median(took)
