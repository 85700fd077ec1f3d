"""When a socket takes bytes again, although its transport believes to have written everything.

A TLS transport calls its buffer empty while the transport below it still holds up to 64 KiB, and
tells nobody. Both only ever hold bytes while the kernel's buffer is full, so the socket itself is
asked: at once by ``takes_bytes``, and later by an epoll of its own, beside the loop's.
"""

from __future__ import annotations

import asyncio
import select
from typing import Final, Protocol

_AT_ONCE: Final = 64
"""Connections woken in one turn of the loop."""
_HAS_EPOLL: Final = hasattr(select, "epoll")


class Clogged(Protocol):
    """A connection whose socket takes nothing at the moment."""

    def socket_ready(self) -> None:
        """It takes bytes again, or has ended. Told once."""


def takes_bytes(descriptor: int) -> bool:
    """Whether the kernel would take bytes now. Also true of a socket that has ended: whoever owns
    it will be told."""
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


class WritableWatch:
    """Waits for many sockets with one descriptor; without any it has none.

    Where there is no epoll nothing is ever told: connections have to look again by themselves.
    """

    __slots__ = ("_loop", "_queue", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: select.epoll | None = None
        self._waiting: dict[int, Clogged] = {}

    def add(self, descriptor: int, connection: Clogged) -> None:
        """Tell ``connection`` once when the socket takes bytes. Idempotent."""
        if not _HAS_EPOLL or self._waiting.get(descriptor) is connection:
            return
        if self._queue is None:
            self._queue = select.epoll()
            self._loop.add_reader(self._queue.fileno(), self._look)
        self._forget(descriptor)
        self._queue.register(descriptor, select.EPOLLOUT | select.EPOLLONESHOT)
        self._waiting[descriptor] = connection

    def discard(self, descriptor: int, connection: Clogged) -> None:
        """Tell ``connection`` no more. Idempotent; also after the descriptor was closed."""
        if self._waiting.get(descriptor) is connection:
            self._forget(descriptor)
            if not self._waiting:
                self.close()

    def close(self) -> None:
        """Wait for nobody. Idempotent."""
        self._waiting.clear()
        queue, self._queue = self._queue, None
        if queue is not None:
            self._loop.remove_reader(queue.fileno())
            queue.close()

    def _forget(self, descriptor: int) -> None:
        if self._waiting.pop(descriptor, None) is not None and self._queue is not None:
            try:
                self._queue.unregister(descriptor)
            except OSError:  # closed, and with that gone from the queue
                pass

    def _look(self) -> None:
        if self._queue is None:
            return
        for descriptor, _ in self._queue.poll(0, _AT_ONCE):
            connection = self._waiting.get(descriptor)
            self._forget(descriptor)
            if connection is not None:
                connection.socket_ready()
        if not self._waiting:
            self.close()

    def __len__(self) -> int:
        return len(self._waiting)
