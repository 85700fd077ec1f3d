"""frp: TCP and virtual-host forwarding in Go, multiplexed over one link; TLS by default."""

from __future__ import annotations

from bench.peers.base import (
    Address,
    Peer,
    Tunnel,
    Workplace,
    engine_path,
    missing_engine,
    trusting,
)
from bench.processes import free_port, listens
from bench.visitor import Door

SERVER = """
bindAddr = "127.0.0.1"
bindPort = {port}
proxyBindAddr = "127.0.0.1"
vhostHTTPPort = {http_port}
vhostHTTPSPort = {https_port}
log.level = "warn"
"""
CLIENT = """
serverAddr = "{host}"
serverPort = {port}
loginFailExit = false
log.level = "warn"
[[proxies]]
name = "{name}"
"""
TCP = """
type = "tcp"
localIP = "127.0.0.1"
localPort = {origin_port}
remotePort = {remote_port}
"""
HTTP = """
type = "http"
localIP = "127.0.0.1"
localPort = {origin_port}
customDomains = ["{name}.bench.test"]
"""
HTTPS = """
type = "https"
customDomains = ["{name}.bench.test"]
[proxies.plugin]
type = "https2http"
localAddr = "127.0.0.1:{origin_port}"
crtPath = "{certificate}"
keyPath = "{key}"
"""


class Frp(Peer):
    """What the three kinds have in common."""

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self.port, self.http_port, self.https_port = free_port(), free_port(), free_port()

    @classmethod
    def missing(cls) -> str | None:
        return missing_engine("frps") or missing_engine("frpc")

    def start_server(self) -> None:
        config = self.workplace.path("frps.toml")
        config.write_text(
            SERVER.format(port=self.port, http_port=self.http_port, https_port=self.https_port)
        )
        self.server = self.program("frps", engine_path("frps"), "-c", str(config))
        self.server.wait_until(lambda: listens(*self.link_address))

    @property
    def link_address(self) -> Address:
        return "127.0.0.1", self.port

    def client(self, link: Address, name: str, proxy: str, door: Door, **facts: object) -> Tunnel:
        """Starts frpc with one proxy section."""
        config = self.workplace.path("frpc.toml")
        text = CLIENT.format(host=link[0], port=link[1], name=name)
        config.write_text(text + proxy.format(name=name, **facts))
        return Tunnel(door, self.program("frpc", engine_path("frpc"), "-c", str(config)))


class FrpTcp(Frp):
    name = "frp"
    note = "tcp proxy, link with TLS"

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        port = free_port()
        ports = {"origin_port": origin_port, "remote_port": port}
        return self.client(link, self.workplace.name(), TCP, Door("127.0.0.1", port), **ports)


class FrpHttp(Frp):
    name = "frp http"
    carries = frozenset({"http"})
    note = "http virtual host, visitors plain, link with TLS, no gate"

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        name = self.workplace.name()
        door = Door("127.0.0.1", self.http_port, f"{name}.bench.test")
        return self.client(link, name, HTTP, door, origin_port=origin_port)


class FrpHttps(Frp):
    name = "frp https"
    carries = frozenset({"http"})
    note = "https virtual host ended by frpc, visitors and link with TLS, no gate"

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        place = self.workplace
        name = place.name()
        tls = trusting(place.certificate)
        door = Door("127.0.0.1", self.https_port, f"{name}.bench.test", tls=tls)
        files = {"certificate": place.certificate, "key": place.key}
        return self.client(link, name, HTTPS, door, origin_port=origin_port, **files)
