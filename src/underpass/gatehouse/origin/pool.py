"""Kept connections to the origin, so that a small request costs no handshake.

One connection serves one exchange at a time. The one used last is taken first, and only after the
kernel has said that nothing, not even a FIN, has come meanwhile: a stale one is thus found before a
byte is written, and no request is ever sent twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from underpass.gatehouse.books import Books
from underpass.gatehouse.origin.connection import OriginConnection, OriginUser
from underpass.gatehouse.origin.dialler import OriginDialler

IDLE_SECONDS: Final = 4.0
# uvicorn and node drop an idle connection after 5 s. Leaving first avoids the race in which a
# request crosses their FIN.

MAX_IDLE: Final = 128


class OriginPool:
    """Gives each exchange a connection of its own, kept or new."""

    def __init__(
        self, dialler: OriginDialler, loop: asyncio.AbstractEventLoop, books: Books
    ) -> None:
        self._dialler = dialler
        self._loop = loop
        self._books = books
        self._idle: deque[OriginConnection] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def take_nowait(self, user: OriginUser) -> OriginConnection | None:
        """A kept connection that now belongs to ``user``; None: ``dial`` one."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_reusable:
                connection.user = user
                self._books.reused += 1
                return connection
            connection.close()
        return None

    def dial(self, user: OriginUser) -> asyncio.Task[None]:
        """Connect anew for ``user``, who hears ``origin_ready`` or ``origin_refused``."""
        return self._dialler.dial(user)

    def give_back(self, connection: OriginConnection) -> None:
        """Keep a connection whose exchange is complete on both sides."""
        connection.user = None
        if len(self._idle) >= MAX_IDLE:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(IDLE_SECONDS, self._sweep)

    @property
    def idle(self) -> int:
        """How many connections are kept."""
        return len(self._idle)

    def close(self) -> None:
        """Close what is kept, end what is being made."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle.clear()
        self._dialler.close()

    async def wait_closed(self) -> None:
        """Wait until nothing of what ``close`` closed is left."""
        await self._dialler.wait_closed()

    def _sweep(self) -> None:
        # The least lately used stand on the left.
        idle, oldest = self._idle, self._loop.time() - IDLE_SECONDS
        while idle and (idle[0].idle_since <= oldest or idle[0].is_closed):
            idle.popleft().close()
        self._timer = None
        if idle:
            self._timer = self._loop.call_at(idle[0].idle_since + IDLE_SECONDS, self._sweep)
