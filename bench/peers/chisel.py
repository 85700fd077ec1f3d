"""chisel: TCP forwarding in Go over SSH over a WebSocket; its link is always encrypted."""

from __future__ import annotations

from bench.peers.base import (
    Address,
    Peer,
    Tunnel,
    Workplace,
    engine_path,
    missing_engine,
)
from bench.processes import free_port, listens
from bench.visitor import Door


class Chisel(Peer):
    name = "chisel"
    note = "link encrypted by SSH inside a WebSocket"

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self.port = free_port()

    @classmethod
    def missing(cls) -> str | None:
        return missing_engine("chisel")

    def start_server(self) -> None:
        place = "--host", "127.0.0.1", "--port", str(self.port), "--reverse"
        self.server = self.program("chisel-server", engine_path("chisel"), "server", *place)
        self.server.wait_until(lambda: listens(*self.link_address))

    @property
    def link_address(self) -> Address:
        return "127.0.0.1", self.port

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        port = free_port()
        remote = f"R:127.0.0.1:{port}:127.0.0.1:{origin_port}"
        server = f"http://{link[0]}:{link[1]}"
        client = self.program("chisel", engine_path("chisel"), "client", server, remote)
        return Tunnel(Door("127.0.0.1", port), client)
