"""Cloudflare's side of a tunnel, in this process: proved by the real cloudflared, over HTTP/2.

Four addresses for its four connections, the service that gives quick tunnels away, and a public
door over TLS for names below ``localhost``, which everybody's resolver keeps on this machine. Its
hooks make it refuse, freeze, forget and limit as the real one does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import ssl
import uuid
from collections import deque
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import capnp
import pytest
import trustme
from tests.edges.bore import path_with_engines
from tests.edges.cloudflare_control import Control, Denied, Registration, Welcome
from tests.edges.cloudflare_door import PublicDoor
from tests.edges.cloudflare_link import TCP_SOURCE, UPGRADE, Link, LinkStream, StreamCut

EDGE_NAME: Final = "h2.cftunnel.com"
QUICK_DOMAIN: Final = "trycloudflare.localhost"
OWN_DOMAIN: Final = "example.localhost"
CONNECTIONS: Final = 4


def need_cloudflared() -> None:
    """Skip the test where there is no cloudflared; in CI that is a failure."""
    if shutil.which("cloudflared", path=path_with_engines()) is None:
        why = "no cloudflared: make engines"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


@dataclass(slots=True)
class Tunnel:
    """One tunnel of some account."""

    hostname: str
    identity: str = field(default_factory=lambda: str(uuid.uuid4()))
    account: str = field(default_factory=lambda: secrets.token_hex(16))
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    remote: dict[str, Any] | None = None
    """Its configuration at Cloudflare, where it is managed there."""
    version: int = 0
    local: list[dict[str, Any]] = field(default_factory=list)
    """The configurations that its cloudflared told."""

    def token(self) -> str:
        """What ``cloudflared tunnel run --token-file`` reads."""
        parts = {"a": self.account, "t": self.identity, "s": _base64(self.secret)}
        return _base64(json.dumps(parts).encode())

    def credentials(self) -> bytes:
        """What a credentials file holds."""
        told = {"AccountTag": self.account, "TunnelSecret": _base64(self.secret)}
        return json.dumps({**told, "TunnelID": self.identity}).encode()


class CloudflareEdge:
    """One edge. An async context manager."""

    def __init__(self, directory: Path) -> None:
        self.tunnels: dict[str, Tunnel] = {}
        self.links: list[Link] = []
        self.denied: Denied | None = None
        """Every registration is answered so."""
        self.registrations: list[Registration] = []
        self.quick_answer: tuple[int, bytes] | None = None
        """Every request for a quick tunnel is answered so."""
        self.quick_requests = 0
        self.ca_file = directory / "edge-ca.pem"
        self.ports: list[int] = [0] * CONNECTIONS
        self._news = asyncio.Event()
        self._frozen = False
        self._controls: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._turns: deque[int] = deque()
        self._stack = AsyncExitStack()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = _context(authority.issue_cert(EDGE_NAME))
        names = (f"*.{QUICK_DOMAIN}", f"*.{OWN_DOMAIN}", "localhost", "127.0.0.1")
        self.door = PublicDoor(_context(authority.issue_cert(*names)), self._find)
        self._quick: asyncio.Server | None = None
        self.quick_port = 0

    async def __aenter__(self) -> CloudflareEdge:
        await self._stack.enter_async_context(capnp.kj_loop())
        await self.start()
        await self.door.start()
        self._quick = await asyncio.start_server(self._give_quick, "127.0.0.1", self.quick_port)
        self.quick_port = self._quick.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._quick is not None:
            self._quick.close()
        await self.door.stop()
        await self.stop()
        await self._stack.aclose()

    # What a test does with it

    @property
    def addresses(self) -> str:
        """Where cloudflared dials, for its option ``--edge``."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def quick_service(self) -> str:
        """For its option ``--quick-service``."""
        return f"http://127.0.0.1:{self.quick_port}"

    def add(self, name: str, remote: dict[str, Any] | None = None) -> Tunnel:
        """A tunnel of somebody's account, with a name below ``example.localhost``."""
        tunnel = Tunnel(f"{name}.{OWN_DOMAIN}", remote=remote)
        self.tunnels[tunnel.identity] = tunnel
        return tunnel

    def trust(self) -> ssl.SSLContext:
        """As a visitor who knows the edge's authority."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.set_alpn_protocols(["http/1.1"])
        return context

    def url(self, tunnel: Tunnel) -> str:
        """Where its visitors come."""
        return f"https://{tunnel.hostname}:{self.door.port}"

    def registered(self, tunnel: Tunnel | None = None) -> list[Link]:
        """The connections that carry it, or all."""
        wanted = None if tunnel is None else tunnel.identity
        return [link for link in self.links if link.is_registered and wanted in (None, link.tunnel)]

    async def wait_registered(self, count: int = CONNECTIONS, seconds: float = 20.0) -> None:
        """Wait until so many connections are registered."""
        async with asyncio.timeout(seconds):
            while len(self.registered()) != count:
                self._news.clear()
                await self._news.wait()

    async def start(self) -> None:
        """Take cloudflareds; the ports stay as they were."""
        loop = asyncio.get_running_loop()
        for at, port in enumerate(self.ports):
            server = await loop.create_server(
                lambda: Link(self._opened_link, self._registered_link, self._lost_link),
                *("127.0.0.1", port),
                ssl=self._context,
            )
            self._servers.append(server)
            self.ports[at] = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Go away, as an edge that is killed. The public door stays. Idempotent."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.kill()
        for task in list(self._controls):
            task.cancel()
        await asyncio.gather(*self._controls, return_exceptions=True)

    def kill(self) -> None:
        """Cut every connection without a word."""
        for link in list(self.links):
            link.kill()

    def freeze(self) -> None:
        """Stop reading and writing, as a process under SIGSTOP: connections stay, new ones too."""
        self._frozen = True
        for link in self.links:
            link.freeze()

    def thaw(self) -> None:
        """Go on."""
        self._frozen = False
        for link in self.links:
            link.thaw()

    async def push(self, tunnel: Tunnel, config: dict[str, Any]) -> dict[str, Any]:
        """Send a configuration as the dashboard does; what cloudflared answered."""
        tunnel.remote, tunnel.version = config, tunnel.version + 1
        return await self._push(self.registered(tunnel)[0], tunnel)

    async def open_tcp(self, tunnel: Tunnel, destination: str) -> LinkStream:
        """A byte stream to a private address behind the tunnel, as WARP's users get one."""
        stream = self.registered(tunnel)[0].open(
            [
                *((":method", "GET"), (":scheme", "https")),
                *((":authority", destination), (":path", "/"), (TCP_SOURCE, "127.0.0.1:1")),
            ]
        )
        await stream.head
        return stream

    # What cloudflared does with it

    def _opened_link(self, link: Link) -> None:
        self.links.append(link)
        if self._frozen:
            link.freeze()
        control = Control(link, self._judge, self._told)
        task = asyncio.create_task(control.run(), name="edge: control stream")
        self._controls.add(task)
        task.add_done_callback(self._controls.discard)

    def _registered_link(self, link: Link) -> None:
        self._news.set()

    def _lost_link(self, link: Link) -> None:
        self._news.set()
        link.is_registered = False
        if link in self.links:
            self.links.remove(link)

    def _judge(self, link: Link, told: Registration) -> Denied | Welcome:
        self.registrations.append(told)
        if self.denied is not None:
            return self.denied
        tunnel = self.tunnels.get(told.tunnel)
        if tunnel is None:
            return Denied("Unauthorized: Tunnel not found")
        if (told.account, told.secret) != (tunnel.account, tunnel.secret):
            return Denied("Unauthorized: Invalid tunnel secret")
        if tunnel.remote is not None:
            task = asyncio.create_task(self._push_soon(link, tunnel), name="edge: configuration")
            self._controls.add(task)
            task.add_done_callback(self._controls.discard)
        return Welcome(tunnel.remote is not None)

    def _told(self, identity: str, config: bytes) -> None:
        self.tunnels[identity].local.append(json.loads(config))

    async def _push_soon(self, link: Link, tunnel: Tunnel) -> None:
        await asyncio.sleep(0)  # the registration is answered first
        tunnel.version += 1
        with suppress(StreamCut):  # whoever obeys it may end with it
            await self._push(link, tunnel)

    async def _push(self, link: Link, tunnel: Tunnel) -> dict[str, Any]:
        body = json.dumps({"version": tunnel.version, "config": tunnel.remote}).encode()
        stream = link.open(
            [
                *((":method", "POST"), (":scheme", "https"), (":authority", "config")),
                *((":path", "/"), (UPGRADE, "update-configuration")),
            ]
        )
        await stream.send(body)
        stream.send_end()
        await stream.head
        answer = b""
        while part := await stream.receive():
            answer += part
        return cast(dict[str, Any], json.loads(answer))

    async def _give_quick(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.quick_requests += 1
        if self.quick_answer is not None:
            status, body = self.quick_answer
        elif not head.startswith(b"POST /tunnel HTTP/1.1\r\n"):
            status, body = 404, b"{}"
        else:
            word = secrets.token_hex(4)
            tunnel = Tunnel(f"quick-{word}.{QUICK_DOMAIN}")
            self.tunnels[tunnel.identity] = tunnel
            result = {"id": tunnel.identity, "name": "", "account_tag": tunnel.account}
            result["hostname"] = f"{tunnel.hostname}:{self.door.port}"
            result["secret"] = _base64(tunnel.secret)
            status = 200
            body = json.dumps({"success": True, "result": result, "errors": []}).encode()
        fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"HTTP/1.1 {status} -\r\n{fields}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    # What visitors do with it

    def _find(self, host: str) -> Link | None:
        """A connection that carries ``host``: each in its turn."""
        tunnel = next((each for each in self.tunnels.values() if each.hostname == host), None)
        links = [] if tunnel is None else self.registered(tunnel)
        if not links:
            return None
        self._turns.append(len(self._turns))
        return links[len(self._turns) % len(links)]


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
