"""Seeing a reset while nobody reads.

A loop that does not read a socket is not told that the other side reset it. So while reading is
paused, each watched socket is asked once a second, without waiting: a reset then ends its exchange
within that second (DESIGN.md, Streaming). A mere FIN is not told here: bytes before it may still
wait to be read.
"""

from __future__ import annotations

import asyncio
import select
from typing import Final, Protocol

WATCH_SECONDS: Final = 1.0
# DESIGN.md: cancellation within a second both ways.


class Watched(Protocol):
    """A connection whose reading is paused."""

    @property
    def fd(self) -> int:
        """The socket's descriptor, or -1 when it is closed."""

    def reset_seen(self) -> None:
        """The other side has reset the connection."""


class HangupWatch:
    """Asks the sockets in its set each second; costs nothing while the set is empty."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Watched) -> None:
        """Begin to watch. Idempotent."""
        self._watched.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(WATCH_SECONDS, self._look)

    def discard(self, connection: Watched) -> None:
        """Watch no longer. Idempotent."""
        self._watched.discard(connection)

    def close(self) -> None:
        """Watch nothing any more."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        for connection in _reset_among(list(self._watched)):
            self._watched.discard(connection)
            connection.reset_seen()
        if self._watched:
            self._timer = self._loop.call_later(WATCH_SECONDS, self._look)


def _reset_among(connections: list[Watched]) -> list[Watched]:
    by_fd = {connection.fd: connection for connection in connections if connection.fd >= 0}
    if hasattr(select, "poll"):
        poll = select.poll()
        for fd in by_fd:
            poll.register(fd, 0)  # errors are told without being asked for
        lost = [fd for fd, event in poll.poll(0) if event & (select.POLLERR | select.POLLNVAL)]
    else:  # pragma: no cover - every platform we run on has poll
        lost = []
    return [by_fd[fd] for fd in lost]


class Readable:
    """Says without waiting whether anything (bytes, FIN, reset) has arrived on one socket."""

    __slots__ = ("_poll",)

    def __init__(self, fd: int) -> None:
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def __call__(self) -> bool:
        return bool(self._poll.poll(0))
