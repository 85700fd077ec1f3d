"""The door on a socket: a Unix socket or a loopback port behind a foreign engine.

Nobody here vouches for a visitor's address: whoever makes the door says whom to believe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from underpass.gatehouse.hangup import HangupWatch
from underpass.gatehouse.ports import Carrier, Peer
from underpass.gatehouse.reader import DoorSettings, VisitorConnection
from underpass.gatehouse.reset import reset

WRITE_BYTES: Final = 64 * 1024
# What may wait in a visitor's transport before the origin is no longer read.

NOBODY: Final = Peer("")


def believe_nobody(transport: asyncio.BaseTransport) -> Peer:
    """The peer of a visitor for whose address nobody vouches."""
    return NOBODY


class SocketDoor:
    """Makes a ``VisitorSocket`` for each connection, and closes them all.

    Use it as the protocol factory of a server, or of ``open_door``.
    """

    def __init__(
        self,
        carrier: Carrier,
        settings: DoorSettings,
        *,
        peer_of: Callable[[asyncio.BaseTransport], Peer] = believe_nobody,
    ) -> None:
        self.carrier = carrier
        self.settings = settings
        self.peer_of = peer_of
        self.loop = asyncio.get_running_loop()
        self.watch = HangupWatch(self.loop)
        self.sockets: set[VisitorSocket] = set()

    def __call__(self) -> VisitorSocket:
        return VisitorSocket(self)

    def close(self) -> None:
        """Cut every visitor off."""
        for socket in list(self.sockets):
            socket.abort()
        self.watch.close()


async def open_door(
    door: SocketDoor, *, unix: Path | None = None, host: str = "127.0.0.1", port: int = 0
) -> asyncio.Server:
    """Serve ``door`` on a Unix socket (the directory around it must be 0700) or a loopback port."""
    if unix is not None:
        return await door.loop.create_unix_server(door, str(unix))
    return await door.loop.create_server(door, host, port)


class VisitorSocket(asyncio.Protocol):
    """One visitor's socket: the transport of a ``VisitorConnection``."""

    def __init__(self, door: SocketDoor) -> None:
        self.fd = -1
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._connection: VisitorConnection | None = None
        self._blocked = False
        self._paused = False
        self._early = b""

    # Outlet

    @property
    def room(self) -> int:
        """See ``Outlet``."""
        return 0 if self._blocked or self._transport is None else 4 * WRITE_BYTES

    def write(self, data: bytes) -> None:
        """See ``Outlet``."""
        if self._transport is not None:
            self._transport.write(data)

    def write_end(self) -> None:
        """See ``Outlet``."""
        transport = self._transport
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()

    def pause_reading(self) -> None:
        """See ``Outlet``."""
        self._paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._door.watch.add(self)

    def resume_reading(self) -> None:
        """See ``Outlet``."""
        self._paused = False
        self._door.watch.discard(self)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            if self._early and self._connection is not None:
                early, self._early = self._early, b""
                self._connection.receive_data(early)

    def close(self) -> None:
        """See ``Outlet``."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """See ``Outlet``."""
        if self._transport is not None:
            reset(self._transport)

    # Watched

    def hangup_seen(self, *, reset: bool) -> None:
        """The visitor has gone while we did not read."""
        if self._connection is not None and (reset or self._door.settings.fin_departs):
            self._connection.lost()
            self.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        door = self._door
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BYTES, low=WRITE_BYTES // 4)
        self.fd = transport.get_extra_info("socket").fileno()
        door.sockets.add(self)
        self._connection = VisitorConnection(
            door.carrier, self, door.peer_of(transport), door.settings, door.loop
        )

    def data_received(self, data: bytes) -> None:
        assert self._connection is not None
        if self._paused:  # a loop may deliver what it had read already
            self._early += data
        else:
            self._connection.receive_data(data)

    def eof_received(self) -> bool:
        assert self._connection is not None
        self._connection.receive_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.fd = -1
        self._door.watch.discard(self)
        self._door.sockets.discard(self)
        if self._connection is not None:
            self._connection.lost()

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._connection is not None:
            self._connection.writable()
