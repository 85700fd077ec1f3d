"""Tailscale's own control server for tests, with a relay and an edge that brings funnel's visitors.

Unlike headscale it grants funnels, ends all keys at a word, and wants browsers for new nodes.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import psutil
from tests.edges.tailscale import PATIENCE, Node, Running, need, path_with_engines

from underpass.testing.certificates import self_signed

DEAD_ACME = "http://127.0.0.1:9/directory"
"""Certificates come from an authority on the internet, which is not asked from here."""


class LoopbackTailnet:
    """One control server with its parts. Bound to no event loop."""

    def __init__(self, directory: Path, *, key: str = "") -> None:
        """``key``, if any, must be shown by nodes that join."""
        self.directory = directory
        self.ca = directory / "ca.pem"
        self._key = key
        self._process: Running | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.process.pid

    async def start(self) -> None:
        """Serve; returns when it answers."""
        need("testcontrol")
        log = self.directory / "testcontrol.log"
        self._process = Running.start(
            ("testcontrol", "-state", str(self.directory)),
            log=log,
            environment={
                "PATH": path_with_engines(),
                "HOME": str(self.directory),
                "TS_PANIC_IF_HIT_MAIN_CONTROL": "1",
                "TESTCONTROL_AUTH_KEY": self._key,
            },
        )
        told = json.loads((await self._process.wait_for("\n")).splitlines()[0])
        self.url: str = told["control"]
        self.edge: str = told["edge"]
        self.domain: str = told["domain"]
        self._faults: str = told["faults"]

    def stop(self) -> None:
        """Kill it. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    async def fault(self, word: str, **query: str) -> None:
        """Do something to the tailnet: ``expire``, ``revive``, ``approve``, ``require-auth``."""
        asked = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
        request = Request(f"{self._faults}/{word}?{asked}", method="POST")
        await asyncio.to_thread(lambda: urlopen(request, timeout=10).close())

    def node(self, name: str) -> Node:
        """A node that is not started yet, with a certificate for its name lying ready."""
        node = Node(self.directory, name, self.url, self.ca)
        node.environment["TS_DEBUG_ACME_DIRECTORY_URL"] = DEAD_ACME
        host = f"{name}.{self.domain}"
        certificate = self_signed(host)
        with self.ca.open("ab") as file:
            file.write(certificate.certificate)
        place = node.state / "certs"
        place.mkdir(parents=True)
        (place / f"{host}.crt").write_bytes(certificate.certificate)
        (place / f"{host}.key").write_bytes(certificate.key)
        return node

    async def visit(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Come to a funnel's ``url`` from the internet, by TLS."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        edge, _, number = self.edge.rpartition(":")
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(edge, int(number), limit=1 << 22)
            writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                writer.close()
                raise ConnectionRefusedError(head.decode("latin-1"))
            await writer.start_tls(self.trust, server_hostname=host)
        return reader, writer

    async def join_edge(self) -> None:
        """Have the edge's own node join now, which else waits for the first visitor.

        Returns when the node listens for its peers: from then on this tailnet opens no further
        port of its own.
        """
        edge = psutil.Process(self.pid)
        with suppress(ConnectionRefusedError):
            await self.visit(f"https://nobody.{self.domain}")
        async with asyncio.timeout(PATIENCE):
            while not any(  # noqa: ASYNC110  nobody tells us
                each.status == psutil.CONN_LISTEN and each.laddr.ip == "0.0.0.0"
                for each in edge.net_connections("inet4")
            ):
                await asyncio.sleep(0.02)

    @property
    def trust(self) -> ssl.SSLContext:
        """Trusts the certificates of its nodes."""
        return ssl.create_default_context(cafile=self.ca)
