"""The gatehouse at the tunnel address: visitors' addresses are those that WireGuard let in."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from underpass.drivers.byte_door import ByteDoor
from underpass.drivers.wireguard.place import Place
from underpass.drivers.wireguard.topology import Address
from underpass.gatehouse.ports import Carrier, Peer
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor
from underpass.model.origin import Kind

IP_FREEBIND: Final = 15
IPV6_FREEBIND: Final = 78
# <linux/in.h>, <linux/in6.h>; the module socket does not name them.


def listen_at(place: Place, address: Address, port: int) -> socket.socket:
    """Listen at the tunnel address, which need not be there yet and may come and go. Raises
    ``OSError``."""
    six = address.version == 6
    sock = place.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((str(address), port))
        sock.listen(128)
    except BaseException:
        sock.close()
        raise
    return sock


class TunnelDoor:
    """An open door. Made by ``open``; ``close`` it in the end."""

    def __init__(self, server: asyncio.Server, door: SocketDoor | ByteDoor, port: int) -> None:
        self.port = port
        self._server = server
        self._door = door

    @classmethod
    async def open(cls, carrier: Carrier, kind: Kind, listener: socket.socket) -> TunnelDoor:
        """Serve ``carrier`` on ``listener``. Raises ``OSError``."""
        door: SocketDoor | ByteDoor
        if kind is Kind.TCP:
            door = ByteDoor(carrier, Peer(""), peer_of=peer_of)
        else:
            settings = DoorSettings(heartbeats=True, fin_departs=kind is Kind.MCP)
            door = SocketDoor(carrier, settings, peer_of=peer_of)
        server = await asyncio.get_running_loop().create_server(door, sock=listener)
        return cls(server, door, listener.getsockname()[1])

    async def close(self) -> None:
        """Take no more visitors, cut those off that are here. Idempotent."""
        self._server.close()
        self._door.close()


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Who calls: an address of the network, which only the holder of a peer's key can send from."""
    name = transport.get_extra_info("peername")
    return Peer(str(name[0]), int(name[1])) if name else Peer("")
