# ruff: noqa: T201  a program: what it prints is its result
"""A program that behaves as agents 3.x are documented to, since no registry has the real one.

FAKE: it shows that what we write is what the documentation asks for, and that what the documented
agent says is understood; it proves nothing about ngrok's own program. It takes version 3 of the
configuration and refuses keys that are not documented, writes the log's lines, serves the local
API, and is its own far end: a TLS listener below ``ngrok.localhost`` that applies the traffic
policy and dials the upstream.

What its far end is to do stands in ``$HOME/ngrok-v3.json``: see ``FarEnd``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.edges.ngrok_front import SocketWay, join, read_head, serve_http

VERSION = "3.30.0"
ORDERS = "ngrok-v3.json"
DOMAIN = "ngrok.localhost"

AGENT_KEYS = {
    *("authtoken", "api_key", "connect_url", "connect_cas", "connect_timeout", "crl_noverify"),
    *("console_ui", "console_ui_color", "dns_resolver_ips", "heartbeat_interval"),
    *("heartbeat_tolerance", "inspect_db_size", "log", "log_format", "log_level", "metadata"),
    *("proxy_url", "remote_management", "update_channel", "update_check", "web_addr"),
    "web_allow_hosts",
}
ENDPOINT_KEYS = {
    *("name", "url", "upstream", "metadata", "description", "bindings", "traffic_policy"),
    *("pooling_enabled", "agent_tls_termination"),
}


@dataclass(slots=True)
class FarEnd:
    """How the far end of every such program behaves."""

    token: str
    chain: str
    """PEM file with certificate and key for names below ``ngrok.localhost``."""
    refuse: int = 0
    """Number of the error that signing in is answered with."""
    held: tuple[str, ...] = ()
    """Host names that somebody else has online, without pooling."""
    mute: bool = False
    """The log does not name the address; only the API does."""
    online: bool = True
    """What the API says of the session from now on."""

    def write(self, home: Path) -> None:
        """For programs that start from now on."""
        fresh = home / f"{ORDERS}.new"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(home / ORDERS)


def install_v3(directory: Path) -> Path:
    """A directory for PATH whose ``ngrok`` is this program."""
    directory.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).parents[2]
    program = directory / "ngrok"
    lines = [
        f"#!{sys.executable} -I",
        f"import sys; sys.path.insert(0, {str(root)!r})",
        "from tests.edges.ngrok_v3 import main; main()",
    ]
    program.write_text("\n".join(lines) + "\n")
    program.chmod(0o755)
    return directory


class Refused(Exception):
    """The far end says no."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(f"{words}\r\n\r\nERR_NGROK_{number}\r\n")


def log(level: str, words: str, **facts: Any) -> None:
    """One line of the log."""
    now = datetime.now(UTC).isoformat()
    print(json.dumps({"t": now, "lvl": level, "msg": words, **facts}), flush=True)


class Agent:
    """One run with one endpoint."""

    def __init__(self, config: dict[str, Any], name: str, far_end: FarEnd) -> None:
        check_keys(config)
        self._agent = config["agent"]
        self._endpoint = next(it for it in config["endpoints"] if it["name"] == name)
        self._far_end = far_end
        self._url = ""
        self._conns = 0
        self._visits: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until it is asked to stop. Raises ``Refused``."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        host, _, port = self._agent["web_addr"].rpartition(":")
        api = await asyncio.start_server(self._serve_api, host, int(port))
        log("info", "starting web service", obj="web", addr=self._agent["web_addr"])
        if self._far_end.refuse:
            raise Refused(self._far_end.refuse, "the service says no")
        if self._agent.get("authtoken") != self._far_end.token:
            # The real ones repeat it, too.
            raise Refused(107, f"authentication failed: {self._agent.get('authtoken')}")
        log("info", "client session established", obj="csess")
        front = await self._go_online()
        if not self._far_end.mute:
            log(
                *("info", "started tunnel"),
                obj="tunnels",
                name=self._endpoint["name"],
                addr=self._endpoint["upstream"]["url"],
                url=self._url,
            )
        await stop.wait()
        log("info", "received stop request", obj="app", stopReq={})
        for server in (front, api):
            server.close()

    async def _go_online(self) -> asyncio.Server:
        scheme, _, host = self._endpoint["url"].partition("://")
        if host in self._far_end.held and not self._endpoint.get("pooling_enabled"):
            raise Refused(334, "The endpoint is already online")
        context = None
        if scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._far_end.chain)
        front = await asyncio.start_server(self._visit, "127.0.0.1", 0, ssl=context, limit=65_536)
        port = front.sockets[0].getsockname()[1]
        name = host or f"{os.urandom(6).hex()}.{DOMAIN}"
        self._url = f"https://{name}:{port}" if context else f"tcp://127.0.0.1:{port}"
        return front

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._conns += 1
        log("info", "join connections", obj="join", r=str(writer.get_extra_info("peername")))
        try:
            with suppress(OSError, ValueError):
                if self._url.startswith("tcp:"):
                    way = await self._dial()
                    try:
                        await join(reader, writer, way)
                    finally:
                        way.abort()
                else:
                    policy = self._endpoint.get("traffic_policy", {})
                    head = await read_head(reader)
                    await serve_http(
                        reader, writer, head, self._dial, scheme="https", policy=policy
                    )
        finally:
            writer.close()

    async def _dial(self) -> SocketWay:
        host, _, port = self._endpoint["upstream"]["url"].rpartition("://")[2].rpartition(":")
        return SocketWay(*await asyncio.open_connection(host, int(port)))

    async def _serve_api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        books = {
            "name": self._endpoint["name"],
            "url": self._url,
            "upstream": self._endpoint["upstream"],
            "metrics": {"conns": {"count": self._conns}, "http": {"count": self._conns}},
        }
        is_online = read_orders().online and bool(self._url)
        answers = {
            "/api/status": {"status": "online" if is_online else "reconnecting"},
            "/api/endpoints": {"endpoints": [books] if self._url else [], "uri": "/api/endpoints"},
        }
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
                answer = answers.get(target)
                body = json.dumps(answer or {"msg": "Not Found"}).encode()
                status = "200 OK" if answer else "404 Not Found"
                head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
                await writer.drain()
        writer.close()


def read_orders() -> FarEnd:
    """What the far end is to do now."""
    return FarEnd(**json.loads(Path(os.environ["HOME"], ORDERS).read_text()))


def check_keys(config: dict[str, Any]) -> None:
    """Refuse what ``ngrok config check`` is documented to refuse."""
    if config.get("version") != 3:
        raise SystemExit("ERROR:  the configuration is not of version 3")
    strange = set(config) - {"version", "agent", "endpoints"}
    strange |= set(config["agent"]) - AGENT_KEYS
    for endpoint in config["endpoints"]:
        strange |= set(endpoint) - ENDPOINT_KEYS
        strange |= set(endpoint["upstream"]) - {"url", "protocol", "proxy_protocol"}
    if strange:
        raise SystemExit(f"ERROR:  unknown keys {sorted(strange)}")


def main() -> None:
    """The command line."""
    words = sys.argv[1:]
    if words == ["version"]:
        print(f"ngrok version {VERSION}")
        return
    if len(words) != 3 or words[0] != "start" or not words[1].startswith("--config="):
        raise SystemExit("ERROR:  unknown words")
    config = json.loads(Path(words[1].removeprefix("--config=")).read_text())
    try:
        asyncio.run(Agent(config, words[2], read_orders()).run())
    except Refused as refused:
        text = str(refused)
        log("eror", "failed to reconnect session", obj="csess", err=text)
        log("crit", "command failed", err=text)
        print("ERROR:  " + text.replace("\r\n", "\nERROR:  "))
        raise SystemExit(1) from None
