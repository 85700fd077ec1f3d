"""The gatehouse behind a Unix socket or a loopback port, for one foreign engine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from underpass.drivers.byte_door import ByteDoor
from underpass.drivers.errors import DoorUnopened
from underpass.drivers.plans import DoorAddress, DoorKind, Plan
from underpass.drivers.vouched import VouchedCarrier
from underpass.gatehouse.ports import Carrier, Peer
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor, open_door
from underpass.model.origin import Kind

SOCKET_NAME = "door.sock"


class ForeignDoor:
    """An open door. Made by ``open``; ``close`` it in the end."""

    def __init__(
        self, server: asyncio.Server, door: SocketDoor | ByteDoor, address: DoorAddress
    ) -> None:
        self.address = address
        self._server = server
        self._door = door

    @classmethod
    async def open(cls, carrier: Carrier, plan: Plan, kind: Kind, directory: Path) -> ForeignDoor:
        """Serve ``carrier`` where ``plan`` wants it; a socket is made in ``directory`` (0700).

        Nobody else keeps a silent event stream alive for a foreign engine's visitors, so this door
        does. Visitors' addresses are believed as ``plan.vouching`` allows and not otherwise. Raises
        ``DoorUnopened``.
        """
        unix = directory / SOCKET_NAME if plan.door is DoorKind.UNIX else None
        vouched = VouchedCarrier(
            carrier, plan.vouching, over_unix=unix is not None, secure=plan.secure
        )
        door: SocketDoor | ByteDoor
        if kind is Kind.TCP:
            door = ByteDoor(vouched, Peer(""))
        elif plan.passthrough:
            door = ByteDoor(vouched, Peer("", secure=True), tls=True)
        else:
            settings = DoorSettings(heartbeats=True, fin_departs=plan.secure or kind is Kind.MCP)
            door = SocketDoor(vouched, settings)
        if unix is not None:
            unix.unlink(missing_ok=True)
        try:
            server = await _serve(door, unix)
        except (OSError, ValueError) as error:
            where = "127.0.0.1" if unix is None else str(unix)
            why = getattr(error, "strerror", None) or str(error)
            raise DoorUnopened(where, why.lower()) from error
        if unix is not None:
            unix.chmod(0o600)
            return cls(server, door, DoorAddress(unix=unix))
        return cls(server, door, DoorAddress(port=server.sockets[0].getsockname()[1]))

    async def close(self) -> None:
        """Take no more visitors, cut those off that are here. Idempotent."""
        self._server.close()
        self._door.close()
        if self.address.unix is not None:
            with suppress(OSError):
                self.address.unix.unlink(missing_ok=True)


async def _serve(door: SocketDoor | ByteDoor, unix: Path | None) -> asyncio.Server:
    if isinstance(door, SocketDoor):
        return await open_door(door, unix=unix)
    loop = asyncio.get_running_loop()
    if unix is not None:
        return await loop.create_unix_server(door, str(unix))
    return await loop.create_server(door, "127.0.0.1", 0)
