"""Accepting when there is nothing left to accept with, and ticking."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from underpass.relay.edges.acceptor import Acceptor
from underpass.relay.edges.sweeper import Sweeper


class Exhausted(socket.socket):
    """A listener in a process that is out of descriptors until ``relief``."""

    relief = False
    asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        if not self.relief:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_out_of_descriptors_is_a_pause_and_not_a_storm(
    wait_until, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Exhausted()
    listener.bind(("127.0.0.1", 0))
    listener.setblocking(False)
    listener.listen()
    client = socket.create_connection(listener.getsockname())
    accepted: list[socket.socket] = []
    acceptor = Acceptor(
        asyncio.get_running_loop(), listener, lambda sock, _: accepted.append(sock), a_turn=8
    )
    await wait_until(lambda: listener.asked)
    await asyncio.sleep(0.1)
    assert listener.asked == 1
    assert "cannot accept visitors" in caplog.text
    listener.relief = True
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
