"""No tunnel at all: visitors connect to the origin. What the machine and the loads can do."""

from __future__ import annotations

from bench.peers.base import Address, Peer, Tunnel
from bench.visitor import Door


class Direct(Peer):
    name = "direct"
    note = "no tunnel: the limit of the machine and of the load generators"

    def start_server(self) -> None:
        return

    @property
    def link_address(self) -> Address:
        return "127.0.0.1", 0

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        return Tunnel(Door("127.0.0.1", origin_port), None)
