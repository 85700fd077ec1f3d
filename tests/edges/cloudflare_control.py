"""The control stream: cloudflared registers there, by Cap'n Proto RPC inside HTTP/2."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import capnp
from tests.edges.cloudflare_link import UPGRADE, Link, LinkStream, StreamCut

SCHEMA: Any = capnp.load(str(Path(__file__).with_name("cloudflare_tunnelrpc.capnp")))

LOCATION = "loc01"

SOON = 0.05
"""Seconds for an answer to be under way before its connection is closed."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a connection says of itself."""

    account: str
    secret: bytes
    tunnel: str
    index: int
    version: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Denied:
    """What the edge may answer to it."""

    cause: str
    retry_seconds: float = 0.0
    should_retry: bool = False


@dataclass(frozen=True, slots=True)
class Welcome:
    """What it answers otherwise."""

    remotely_managed: bool


Judge = Callable[[Link, Registration], Denied | Welcome]


class Control:
    """The edge's side of one connection's control stream."""

    def __init__(self, link: Link, judge: Judge, on_config: Callable[[str, bytes], None]) -> None:
        self._link = link
        self._judge = judge
        self._on_config = on_config

    async def run(self) -> None:
        """Speak until the connection is given up or unregistered. Needs ``capnp.kj_loop``."""
        fields = [
            *((":method", "GET"), (":scheme", "https"), (":authority", "control"), (":path", "/")),
            (UPGRADE, "control-stream"),
        ]
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        with suppress(StreamCut, OSError):
            stream = self._link.open(fields)
            wire = await capnp.AsyncIoStream.create_connection(sock=theirs)
            server = Registrar(self._link, self._judge, self._on_config)
            rpc = capnp.TwoPartyServer(wire, bootstrap=server)
            reader, writer = await asyncio.open_connection(sock=ours)
            back = asyncio.create_task(_answer(reader, stream), name="edge: control answers")
            try:
                while data := await stream.receive():
                    writer.write(data)
                    await writer.drain()
            finally:
                writer.close()
                del rpc
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
        ours.close()


async def _answer(reader: asyncio.StreamReader, stream: LinkStream) -> None:
    while data := await reader.read(65_536):
        await stream.send(data)


class Registrar(SCHEMA.RegistrationServer.Server):  # type: ignore[misc]
    """What cloudflared calls."""

    def __init__(self, link: Link, judge: Judge, on_config: Callable[[str, bytes], None]) -> None:
        self._link = link
        self._judge = judge
        self._on_config = on_config

    async def registerConnection(
        self,
        auth: Any,
        tunnelId: Any,
        connIndex: int,
        options: Any,
        _context: Any,
        **_: Any,
    ) -> None:
        """Let a connection in, or not."""
        told = Registration(
            str(auth.accountTag),
            bytes(auth.tunnelSecret),
            str(uuid.UUID(bytes=bytes(tunnelId))),
            int(connIndex),
            str(options.client.version),
            int(options.numPreviousAttempts),
        )
        verdict = self._judge(self._link, told)
        result = _context.results.result.result
        if isinstance(verdict, Denied):
            error = result.init("error")
            error.cause = verdict.cause
            error.retryAfter = int(verdict.retry_seconds * 1e9)
            error.shouldRetry = verdict.should_retry
            # Until the connection ends, cloudflared does nothing further.
            asyncio.get_running_loop().call_later(SOON, self._link.close)
            return
        self._link.tunnel, self._link.index = told.tunnel, told.index
        details = result.init("connectionDetails")
        details.uuid = uuid.uuid4().bytes
        details.locationName = LOCATION
        details.tunnelIsRemotelyManaged = verdict.remotely_managed
        # Visitors come only when cloudflared has had its answer.
        asyncio.get_running_loop().call_soon(self._link.register)

    async def unregisterConnection(self, _context: Any, **_: Any) -> None:
        """It goes: no new visitors come here, and the connection ends when the last has left."""
        self._link.is_registered = False
        asyncio.get_running_loop().call_later(SOON, self._link.close)

    async def updateLocalConfiguration(self, config: Any, _context: Any, **_: Any) -> None:
        """It tells its own configuration."""
        self._on_config(self._link.tunnel, bytes(config))
