"""Being told when a socket takes bytes again, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Iterator

import pytest

from underpass.relay.edges.writable_watch import WritableWatch, takes_bytes

epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")


class Told:
    def __init__(self) -> None:
        self.times = 0

    def socket_ready(self) -> None:
        self.times += 1


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets, the first one's buffer full."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                near.send(b"x" * 65536)
        yield near, far


def empty(far: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while far.recv(2**20):
            pass


def test_a_full_socket_takes_nothing_and_an_emptied_one_does(pair) -> None:
    near, far = pair
    assert not takes_bytes(near.fileno())
    empty(far)
    assert takes_bytes(near.fileno())


def test_a_socket_that_has_ended_does_not_hold_its_owner_up(pair) -> None:
    near, far = pair
    far.close()
    assert takes_bytes(near.fileno())
    assert takes_bytes(-1)


@epoll
async def test_told_once_when_there_is_room(pair, wait_until) -> None:
    near, far = pair
    watch, told = WritableWatch(asyncio.get_running_loop()), Told()
    watch.add(near.fileno(), told)
    watch.add(near.fileno(), told)
    await asyncio.sleep(0)
    assert (told.times, len(watch)) == (0, 1)
    empty(far)
    await wait_until(lambda: told.times)
    for _ in range(3):
        await asyncio.sleep(0)
    assert (told.times, len(watch)) == (1, 0)


@epoll
async def test_told_no_more_after_discard(pair, wait_until) -> None:
    near, far = pair
    loop = asyncio.get_running_loop()
    watch, told, other = WritableWatch(loop), Told(), Told()
    watch.add(near.fileno(), told)
    watch.discard(near.fileno(), other)
    assert len(watch) == 1
    watch.discard(near.fileno(), told)
    watch.add(near.fileno(), other)
    empty(far)
    await wait_until(lambda: other.times)
    assert told.times == 0


@epoll
async def test_a_descriptor_used_again_belongs_to_its_new_owner(pair, wait_until) -> None:
    near, _ = pair
    watch, old, new = WritableWatch(asyncio.get_running_loop()), Told(), Told()
    number = near.fileno()
    watch.add(number, old)
    near.close()
    fresh, peer = socket.socketpair()
    with fresh, peer:
        assert fresh.fileno() == number
        watch.add(number, new)
        watch.discard(number, old)
        await wait_until(lambda: new.times)
        assert old.times == 0
    watch.close()
