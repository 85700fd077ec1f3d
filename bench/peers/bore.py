"""bore: plain TCP forwarding in Rust, one connection to the server for each visitor."""

from __future__ import annotations

from bench.peers.base import Address, Peer, Tunnel, engine_path, missing_engine
from bench.processes import free_port, listens
from bench.visitor import Door

CONTROL_PORT = 7835
"""Fixed in bore; addresses of our own keep out of the way of another bore on this machine."""
SERVER, BEHIND_PROXY = "127.0.0.77", "127.0.0.78"


class Bore(Peer):
    name = "bore"
    note = "plain link; ends when its link is lost"

    @classmethod
    def missing(cls) -> str | None:
        taken = f"{SERVER}:{CONTROL_PORT} is taken" if listens(SERVER, CONTROL_PORT) else None
        return missing_engine("bore") or taken

    def start_server(self) -> None:
        tunnels = "--bind-addr", SERVER, "--bind-tunnels", "127.0.0.1"
        self.server = self.program("bore-server", engine_path("bore"), "server", *tunnels)
        self.server.wait_until(lambda: listens(*self.link_address))

    @property
    def link_address(self) -> Address:
        return SERVER, CONTROL_PORT

    def proxied_link(self) -> Address:
        return BEHIND_PROXY, CONTROL_PORT

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        port = free_port()
        ends = "--local-host", "127.0.0.1", "--to", link[0], "--port", str(port)
        client = self.program("bore", engine_path("bore"), "local", str(origin_port), *ends)
        return Tunnel(Door("127.0.0.1", port), client)
