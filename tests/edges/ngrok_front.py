"""The public side of an ngrok: real listeners, one exchange a connection.

A visitor's head is changed as the edge changes it, everything after it is bytes. Whoever uses this
says how a connection to the agent's side is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from tests.edges.ngrok_policy import Denied, Head, apply_policy, forward

HEAD_LIMIT = 64 * 1024
PART = 64 * 1024


class Way(Protocol):
    """A connection to the agent's side."""

    async def read(self) -> bytes:
        """The next bytes; ``b""`` after the end."""

    async def write(self, content: bytes, *, end: bool = False) -> None:
        """Send, with back-pressure; ``end``: nothing follows."""

    def abort(self) -> None:
        """Break it off."""


class SocketWay:
    """A ``Way`` over a plain connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """See ``Way``."""
        return await self._reader.read(PART)

    async def write(self, content: bytes, *, end: bool = False) -> None:
        """See ``Way``."""
        self._writer.write(content)
        await self._writer.drain()
        if end:
            self._writer.write_eof()

    def abort(self) -> None:
        """See ``Way``."""
        self._writer.transport.abort()


Dial = Callable[[], Awaitable[Way]]


async def serve_http(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    head: Head,
    dial: Dial,
    *,
    scheme: str,
    policy: dict[str, Any],
) -> None:
    """One visitor's request whose head was read, and its answer."""
    client = str(writer.get_extra_info("peername")[0])
    judged = apply_policy(forward(head, client, scheme), policy, client)
    if isinstance(judged, Denied):
        await deny(writer, judged)
        return
    way = await dial()
    try:
        await way.write(judged.encode())
        await join(reader, writer, way)
    finally:
        way.abort()


async def read_head(reader: asyncio.StreamReader) -> Head:
    """A request's head. Raises ``ValueError`` and ``OSError``."""
    try:
        return Head.parse(await reader.readuntil(b"\r\n\r\n"))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ValueError("no head") from error


async def deny(writer: asyncio.StreamWriter, why: Denied) -> None:
    """Answer as the edge does when nobody behind it is asked."""
    body = f"<html>ngrok says no: ERR_NGROK_{why.number}</html>".encode()
    head = (
        f"HTTP/1.1 {why.status} No\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
        f"Ngrok-Error-Code: ERR_NGROK_{why.number}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    with suppress(OSError):
        await writer.drain()


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
    """Bytes both ways until both have ended; an end of the agent's side without half-closing ends
    it all when the visitor's side is TLS."""

    async def inward() -> None:
        while data := await reader.read(PART):
            await way.write(data)
        await way.write(b"", end=True)
        if not writer.can_write_eof():
            raise ConnectionResetError  # a departure: TLS knows no half-close here

    async def outward() -> None:
        while data := await way.read():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            raise ConnectionResetError

    ways = [asyncio.create_task(inward()), asyncio.create_task(outward())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for each in ways:
            each.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
