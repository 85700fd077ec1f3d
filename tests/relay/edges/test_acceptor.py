"""Accepting when there is nothing left to accept with, and ticking."""

from __future__ import annotations

import asyncio
import os
import resource
import socket

import pytest

from underpass.relay.edges.acceptor import Acceptor
from underpass.relay.edges.sweeper import Sweeper


async def test_out_of_descriptors_is_a_pause_and_not_a_storm(
    make_listener, wait_until, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    listener = make_listener()
    listener.setblocking(False)
    listener.listen()
    client = socket.create_connection(listener.getsockname())
    accepted: list[socket.socket] = []
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    acceptor = Acceptor(loop, listener, lambda sock, _: accepted.append(sock), a_turn=8)
    filler = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 4, before[1]))
        try:
            while True:
                filler.append(os.dup(client.fileno()))
        except OSError:
            pass
        await asyncio.sleep(0.1)
        assert not accepted
        assert len(caplog.records) == 1
        assert "cannot accept visitors" in caplog.text
    finally:
        for descriptor in filler:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    await wait_until(lambda: accepted)
    acceptor.close()
    acceptor.close()
    for sock in (*accepted, client):
        sock.close()


class Bell:
    """Counts its ticks; leaves after some."""

    def __init__(self, sweeper: Sweeper, leaves_after: int = 99) -> None:
        self.sweeper = sweeper
        self.leaves_after = leaves_after
        self.ticks = 0

    def tick(self, now: float) -> None:
        self.ticks += 1
        if self.ticks >= self.leaves_after:
            self.sweeper.discard(self)


async def test_one_timer_ticks_all_and_stops_without_members(wait_until) -> None:
    sweeper = Sweeper(asyncio.get_running_loop(), 0.01)
    staying, leaving = Bell(sweeper), Bell(sweeper, leaves_after=2)
    sweeper.add(staying)
    sweeper.add(leaving)
    sweeper.add(staying)
    await wait_until(lambda: staying.ticks >= 4)
    assert leaving.ticks == 2
    sweeper.discard(staying)
    ticks = staying.ticks
    await asyncio.sleep(0.03)
    assert staying.ticks == ticks
    sweeper.add(staying)
    await wait_until(lambda: staying.ticks > ticks)
    sweeper.close()
    assert len(sweeper) == 0
