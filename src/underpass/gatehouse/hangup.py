"""Seeing a departure while nobody reads.

A loop that does not read a socket is not told that the other side has gone. So while reading is
paused, each watched socket is asked once a second, without waiting (DESIGN.md, Streaming). A reset
is always a departure; a mere FIN may have bytes before it that still wait to be read, so it is told
apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import sys
from collections.abc import Iterator
from typing import Final, Protocol

WATCH_SECONDS: Final = 1.0
# DESIGN.md: cancellation within a second both ways.


class Watched(Protocol):
    """A connection whose reading is paused."""

    @property
    def fd(self) -> int:
        """The socket's descriptor, or -1 when it is closed."""

    def hangup_seen(self, *, reset: bool) -> None:
        """The other side has reset the connection, or else sent FIN. Told anew each second until
        the connection is watched no more."""


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
        by_fd = {connection.fd: connection for connection in self._watched if connection.fd >= 0}
        for fd, reset in _hangups(list(by_fd)):
            if by_fd[fd] in self._watched:
                by_fd[fd].hangup_seen(reset=reset)
        if self._watched and self._timer is None:
            self._timer = self._loop.call_later(WATCH_SECONDS, self._look)


def _hangups(fds: list[int]) -> Iterator[tuple[int, bool]]:
    """Which of ``fds`` have hung up, and whether by a reset."""
    if sys.platform == "darwin":  # pragma: no cover - its poll knows no half-close
        with contextlib.closing(select.kqueue()) as queue:
            wanted = [select.kevent(fd, select.KQ_FILTER_READ, select.KQ_EV_ADD) for fd in fds]
            for event in queue.control(wanted, len(fds), 0):
                if event.flags & select.KQ_EV_EOF:
                    yield event.ident, bool(event.fflags)
        return
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLRDHUP)  # errors are told without being asked for
    for fd, event in poll.poll(0):
        yield fd, bool(event & (select.POLLERR | select.POLLNVAL))


class Readable:
    """Says without waiting whether anything (bytes, FIN, reset) has arrived on one socket."""

    __slots__ = ("_poll",)

    def __init__(self, fd: int) -> None:
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def __call__(self) -> bool:
        return bool(self._poll.poll(0))
