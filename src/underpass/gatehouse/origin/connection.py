"""One connection to the origin: bytes in, bytes out, and honest accounts of both.

Reading is limited to what the visitor has room for, so a slow visitor holds no more than its
credit here. A byte counts as drained only when the transport's buffer is empty
(``set_write_buffer_limits(high=0)``). What the bytes mean is for the connection's user to know.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from underpass.gatehouse.books import Books
from underpass.gatehouse.hangup import HangupWatch, Readable
from underpass.gatehouse.reset import reset
from underpass.http.reader import ResponseReader

READ_BYTES: Final = 256 * 1024
# One read of a bulk answer; the most that a DATA frame carries (docs/wire.md).

_EARLY_BYTES: Final = 4096
# A loop may deliver bytes although reading is paused (uvloop does inside connection_made): so much
# is taken and held until there is room.


class ReadBuffer:
    """The memory that all origin connections of one loop read into, one read at a time."""

    __slots__ = ("view",)

    def __init__(self, size: int = READ_BYTES) -> None:
        self.view = memoryview(bytearray(size))


class OriginUser(Protocol):
    """Whoever uses a connection: one exchange at a time."""

    @property
    def room(self) -> int:
        """How many bytes may be read now."""

    def origin_ready(self, connection: OriginConnection) -> None:
        """The connection stands. May be called from within ``connection_made``."""

    def origin_refused(self, code: str) -> None:
        """No connection could be made; ``code`` says why (``origin-away``, ``over-limit``)."""

    def origin_waits(self) -> None:
        """Bytes wait, reading is paused: call ``resume`` as soon as there is room."""

    def origin_data(self, data: memoryview) -> None:
        """Bytes arrived; valid only during the call."""

    def origin_ended(self) -> None:
        """The origin sends no more (FIN)."""

    def origin_lost(self, error: Exception | None) -> None:
        """The connection is gone. Not called after ``abort`` or ``close``."""

    def origin_drained(self, count: int) -> None:
        """``count`` bytes of those counted by ``write`` have left this process."""


class ConnectionKeeper(Protocol):
    """Whoever owns the connections that exist."""

    def connection_opened(self, connection: OriginConnection) -> None:
        """It stands."""

    def connection_closed(self, connection: OriginConnection) -> None:
        """It is gone."""


class OriginConnection(asyncio.BufferedProtocol):
    """An asyncio protocol whose bytes belong to its ``user``.

    Without a user (kept in the pool) anything that arrives, FIN included, closes it.
    """

    __slots__ = (
        "_blocked",
        "_books",
        "_early",
        "_early_end",
        "_holding",
        "_keeper",
        "_owed",
        "_paused",
        "_readable",
        "_transport",
        "_view",
        "_watch",
        "fd",
        "idle_since",
        "reader",
        "user",
    )

    def __init__(
        self,
        buffer: ReadBuffer,
        books: Books,
        watch: HangupWatch,
        keeper: ConnectionKeeper,
        user: OriginUser,
    ) -> None:
        self.user: OriginUser | None = user
        self.fd = -1
        self.idle_since = 0.0
        """Loop time at which the pool took it."""
        self.reader: ResponseReader | None = None
        """What HTTP exchanges read with, one after the other; kept here to be used again."""
        self._view = buffer.view
        self._books = books
        self._watch = watch
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._readable: Readable | None = None
        self._blocked = False
        self._paused = False
        self._owed = 0
        self._holding = False
        self._early = b""
        self._early_end = False

    # What the user calls.

    def write(self, data: bytes | memoryview, credit: int) -> None:
        """Write at once; ``credit`` bytes are told by ``origin_drained`` when they are out."""
        transport = self._transport
        if transport is None:
            return
        transport.write(data)
        if not credit:
            return
        if self._blocked:
            self._owed += credit
        elif self.user is not None:
            self.user.origin_drained(credit)

    def write_end(self) -> None:
        """Send FIN after what was written."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write_eof()

    def pause(self) -> None:
        """Read no more until ``resume``. Idempotent."""
        transport = self._transport
        if self._paused or transport is None or transport.is_closing():
            return
        self._paused = True
        transport.pause_reading()
        self._watch.add(self)

    def resume(self) -> None:
        """Read on. Idempotent. Bytes that came early are given to the user first."""
        if self._early or self._early_end:
            self._give_early()
        user, transport = self.user, self._transport
        if not self._paused or user is None or user.room <= 0:
            return
        self._paused = False
        self._watch.discard(self)
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def close(self) -> None:
        """Close after what was written; the user hears no more."""
        self.user = None
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now, so that nothing looks complete to the origin; the user hears no more."""
        self.user = None
        if self._transport is not None:
            reset(self._transport)

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone, or going."""
        return self._transport is None or self._transport.is_closing()

    @property
    def is_reusable(self) -> bool:
        """Whether an exchange may begin here: open, nothing unsent, and not a byte has come.

        Asks the kernel, so a FIN that the loop has not read yet is seen too.
        """
        transport = self._transport
        if transport is None or self._blocked or self._early or transport.is_closing():
            return False
        if self._readable is None:
            self._readable = Readable(self.fd)
        return not self._readable()

    def hangup_seen(self, *, reset: bool) -> None:
        """``HangupWatch`` asks in our place while reading is paused. After a FIN alone the answer
        may still wait to be read."""
        if not reset:
            return
        user = self.user
        self.abort()
        if user is not None:
            user.origin_lost(ConnectionResetError("reset by the origin"))

    def dial_failed(self) -> None:
        """The dial was given up. uvloop then closes what it had made already without a word."""
        self.user = None
        self.connection_lost(None)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)
        self.fd = self._transport.get_extra_info("socket").fileno()
        self._keeper.connection_opened(self)
        self._books.connections += 1
        self._books.dialled += 1
        if self.user is None:
            self._transport.abort()
        else:
            self.user.origin_ready(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        user = self.user
        if user is not None and not self._paused:
            room = user.room
            if room >= READ_BYTES:
                return self._view
            if room > 0:
                return self._view[:room]
        self._holding = True
        return self._view[:_EARLY_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        user = self.user
        if user is None:
            self.abort()  # nobody asked: what a kept connection says belongs to no exchange
        elif self._holding:
            self._holding = False
            self._early += self._view[:nbytes]
            self.pause()
            user.origin_waits()
        else:
            user.origin_data(self._view[:nbytes])

    def eof_received(self) -> bool:
        user = self.user
        if user is None:
            return False
        if self._early:
            self._early_end = True
            return True
        user.origin_ended()
        return self.user is not None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return  # the dialler was quicker: see ``dial_failed``
        self._transport = None
        self._readable = None
        self.fd = -1
        self._books.connections -= 1
        self._watch.discard(self)
        self._keeper.connection_closed(self)
        user, self.user = self.user, None
        if user is not None:
            user.origin_lost(exc)

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        owed, self._owed = self._owed, 0
        if owed and self.user is not None:
            self.user.origin_drained(owed)

    def _give_early(self) -> None:
        while self._early and self.user is not None and (room := self.user.room) > 0:
            part, self._early = self._early[:room], self._early[room:]
            self.user.origin_data(memoryview(part))
        if self._early_end and not self._early and self.user is not None:
            self._early_end = False
            self.user.origin_ended()
