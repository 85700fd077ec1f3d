"""underpass itself, through its command line, like every other peer."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.peers.base import Address, Peer, Tunnel, Workplace, trusting
from bench.processes import Program, free_port, listens
from bench.visitor import Door

DOMAIN = "bench.test"
TCP_PORTS = 64
"""Public ports that the TLS relay may give away."""


class Underpass(Peer):
    """What all kinds have in common: a relay, and connectors that enrol with its token."""

    has_tls = False

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self.port = free_port()
        self.tcp_ports = _port_range() if self.has_tls else range(0)
        self.state = workplace.path("relay-state")
        self.own = workplace.path("connector-state")
        self.token_file = ""

    @classmethod
    def missing(cls) -> str | None:
        if cls.has_tls and (os.geteuid() != 0 or shutil.which("unshare") is None):
            return "a relay with TLS needs names: run as root, so that a private hosts file works"
        return None

    def start_server(self) -> None:
        place = "--listen", f"127.0.0.1:{self.port}", "--state", str(self.state), "--json"
        # One key opens all tunnels of a run, and a thousand visitors come at once.
        room = "--max-names", "5000", "--max-ports", "5000", "--max-streams", "5000"
        if self.has_tls:
            pair = "--tls-cert", str(self.workplace.certificate), "--tls-key"
            ports = f"{self.tcp_ports.start}-{self.tcp_ports.stop - 1}"
            kind = ["--domain", DOMAIN, *pair, str(self.workplace.key), "--tcp-ports", ports]
        else:
            kind = ["--dev"]
        self.server = self._run("relay", "relay", "serve", *kind, *place, *room)
        ready = self.server.wait_json(lambda record: record.get("event") == "ready")
        self.token_file = str(ready["enrol_token_file"])
        self.server.wait_until(lambda: listens(*self.link_address))

    @property
    def link_address(self) -> Address:
        return "127.0.0.1", self.port

    def open_tunnel(self, origin: str, link: Address, *options: str) -> tuple[Program, Any]:
        """Starts `open` and waits for its first live tunnel; the process and the event."""
        if self.has_tls:
            relay = f"https://{DOMAIN}:{link[1]}"
            trust = ["--relay-ca", str(self.workplace.certificate)]
        else:
            relay, trust = f"http://{link[0]}:{link[1]}", []
        name = self.workplace.name()
        enrol = "--relay", relay, "--enrol-token-file", self.token_file, *trust
        client = self._run("open", "open", origin, "--name", name, "--json", *enrol, *options)
        try:
            return client, client.wait_json(lambda record: record.get("event") == "live")
        except BaseException:
            client.stop()
            raise

    def _run(self, log: str, *arguments: str) -> Program:
        command = [sys.executable, "-m", "underpass", *arguments]
        if self.has_tls:
            # Names of the benchmark, for this process and its children only.
            script = 'mount --bind "$0" /etc/hosts && exec "$@"'
            command = ["unshare", "-m", "sh", "-c", script, str(self.workplace.hosts), *command]
        runtime = self.own / "run"
        for folder in (self.own, runtime):
            folder.mkdir(exist_ok=True, mode=0o700)
        environment = {
            "UNDERPASS_STATE_DIR": str(self.own),
            "UNDERPASS_RUNTIME_DIR": str(runtime),
        }
        return self.program(f"underpass-{log}", *command, environment=environment)


class UnderpassTcp(Underpass):
    name = "underpass"
    note = "tcp tunnel with an ip gate, link without TLS"

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        gate = "--gate", "ip:127.0.0.0/8"
        client, live = self.open_tunnel(f"tcp://127.0.0.1:{origin_port}", link, *gate)
        return Tunnel(Door("127.0.0.1", urlsplit(live["tunnel"]["url"]).port or 0), client)


class UnderpassTcpTls(UnderpassTcp):
    name = "underpass tls"
    note = "tcp tunnel with an ip gate, link with TLS"
    has_tls = True


class UnderpassHttp(Underpass):
    name = "underpass http"
    carries = frozenset({"http"})
    note = "HTTP edge and gatehouse with a bearer gate, recording and metering all, without TLS"

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        origin = f"http://127.0.0.1:{origin_port}"
        client, live = self.open_tunnel(origin, link, "--gate", "bearer")
        url = urlsplit(live["tunnel"]["url"])
        token = Path(live["access"]["token_file"]).read_text().strip()
        headers = (f"Authorization: Bearer {token}",)
        if not self.has_tls:
            return Tunnel(Door("127.0.0.1", url.port or 0, headers=headers), client)
        tls = trusting(self.workplace.certificate)
        return Tunnel(Door("127.0.0.1", self.port, url.hostname or "", headers, tls), client)


class UnderpassBare(UnderpassHttp):
    """What gates, recording and metering cost is told against this."""

    name = "underpass http bare"
    note = "the same in public, recording and metering nothing"

    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        bare = "--public", "--for", "1h", "--no-capture", "--no-meter"
        client, live = self.open_tunnel(f"http://127.0.0.1:{origin_port}", link, *bare)
        return Tunnel(Door("127.0.0.1", urlsplit(live["tunnel"]["url"]).port or 0), client)


class UnderpassHttps(UnderpassHttp):
    name = "underpass https"
    note = "HTTP edge and gatehouse with a bearer gate, visitors and link with TLS"
    has_tls = True


def _port_range() -> range:
    """Consecutive ports, most of them free: nobody else gets one from below the ephemeral range."""
    start = 20_000 + os.getpid() * TCP_PORTS % 10_000
    return range(start, start + TCP_PORTS)
