"""The bench of the conformance suite: the real cloudflared against an edge of our own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar
from unittest import mock
from urllib.parse import urlsplit

from tests.edges.bore import path_with_engines
from tests.edges.cloudflare import CloudflareEdge, Tunnel, need_cloudflared

from underpass.testing.driver_bench import DriverBench, Options

TOKEN = "UNDERPASS_TEST_TUNNEL_TOKEN"
WRONG = "UNDERPASS_TEST_WRONG_TOKEN"
NO_HALF_CLOSE = "its byte streams go through a WebSocket, which cannot be half closed"
NO_PORTS = "nobody chooses its public port, and its own metrics port is any free one"


class CloudflareBench(DriverBench):
    """A named tunnel, by its token."""

    engine = "cloudflare"
    variant = "token"
    program = "cloudflared"
    cannot: ClassVar = {"tcp": NO_HALF_CLOSE}

    async def start(self) -> None:
        need_cloudflared()
        self.edge = await self.stack.enter_async_context(CloudflareEdge(self.home))
        self.tunnel = self.edge.add("tools")
        self.wrong = Tunnel(self.tunnel.hostname, self.tunnel.identity, self.tunnel.account)
        variables = {
            "PATH": path_with_engines(),
            "SSL_CERT_FILE": str(self.edge.ca_file),
            TOKEN: self.tunnel.token(),
            WRONG: self.wrong.token(),
        }
        self.stack.enter_context(mock.patch.dict(os.environ, variables))
        self.prepare()

    def prepare(self) -> None:
        """Write what the options name."""
        path = self.home / "tunnel.token"
        path.write_text(self.tunnel.token())
        path.chmod(0o600)

    def shared(self) -> Options:
        """Options by which cloudflared finds this edge."""
        return {
            "edge": self.edge.addresses,
            "edge-ca": str(self.edge.ca_file),
            "protocol": "http2",
        }

    @property
    def hostname(self) -> str:
        """The public name with its port."""
        return f"{self.tunnel.hostname}:{self.edge.door.port}"

    def options(self) -> Options:
        path = str(self.home / "tunnel.token")
        return {**self.shared(), "hostname": self.hostname, "token-file": path}

    def wrong_credential(self) -> Options:
        return {**self.shared(), "hostname": self.hostname, "token-env": WRONG}

    def hostile_options(self, text: str) -> list[Options]:
        keys = ("hostname", "token-file", "token-env", "credentials-file", "tunnel", "protocol")
        keys += ("region", "edge", "edge-ca", "quick-service", "api-token-file", "api-token-env")
        keys += ("zone", "account", "access", "access-token-file", "api")
        return [{**self.options(), key: text} for key in keys]

    def secrets(self) -> dict[str, str]:
        told = json.loads(self.tunnel.credentials())
        return {"the tunnel's secret": told["TunnelSecret"], "its token": self.tunnel.token()}

    async def cut(self) -> None:
        await self.edge.stop()

    async def mend(self) -> None:
        await self.edge.start()

    async def freeze(self) -> None:
        self.edge.freeze()

    async def thaw(self) -> None:
        self.edge.thaw()

    async def connect(self, url: str) -> Any:
        """As a browser does: over TLS, and names below ``localhost`` are this machine."""
        parts = urlsplit(url)
        assert parts.scheme == "https"
        assert parts.hostname is not None
        assert parts.hostname.endswith(".localhost")
        return await asyncio.open_connection(
            *("127.0.0.1", parts.port),
            ssl=self.edge.trust(),
            server_hostname=parts.hostname,
            limit=1 << 22,
        )


class CredentialsBench(CloudflareBench):
    """A named tunnel with a configuration of its own, by a credentials file."""

    variant = "credentials file"

    def prepare(self) -> None:
        for tunnel, name in ((self.tunnel, self.tunnel.identity), (self.wrong, "wrong")):
            path = self.home / f"{name}.json"
            path.write_bytes(tunnel.credentials())
            path.chmod(0o600)

    def options(self) -> Options:
        path = str(self.home / f"{self.tunnel.identity}.json")
        return {**self.shared(), "hostname": self.hostname, "credentials-file": path}

    def wrong_credential(self) -> Options:
        path = str(self.home / "wrong.json")
        return {**self.options(), "credentials-file": path, "tunnel": self.tunnel.identity}


class QuickBench(CloudflareBench):
    """A quick tunnel: no account, a random name."""

    variant = "quick tunnel"

    def options(self) -> Options:
        return {**self.shared(), "quick-service": self.edge.quick_service}

    def wrong_credential(self) -> None:  # type: ignore[override]
        return None

    @asynccontextmanager
    async def used_up(self) -> AsyncIterator[Options]:
        self.edge.quick_answer = (429, b"<html>error code: 1015</html>")
        yield self.options()
        self.edge.quick_answer = None


@asynccontextmanager
async def access_tcp(bench: CloudflareBench, url: str) -> AsyncIterator[int]:
    """The visitor's side of a byte stream: the real ``cloudflared access tcp``, on a local port."""
    parts = urlsplit(url)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    words = ("access", "tcp", "--hostname", f"{parts.hostname}:{parts.port}")
    # Go's resolver does not know that names below localhost are this machine.
    words += ("--connect-to", f"127.0.0.1:{parts.port}", "--url", f"127.0.0.1:{port}")
    process = await asyncio.create_subprocess_exec(
        "cloudflared",
        *words,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20):
            while not await is_listening(port):  # noqa: ASYNC110  (another program tells nobody)
                await asyncio.sleep(0.05)
        yield port
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def is_listening(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
