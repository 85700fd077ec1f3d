"""A visitor that hides nothing: one connection, heads and body parts exactly as they come."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class AnswerBroken(Exception):
    """The connection ended before the answer did: nobody could take it for complete."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and fields of one answer."""

    status: int
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str | None:
        """Our own code, if the answer is ours."""
        return self.fields.get("underpass-error")


class Visitor:
    """One connection to a tunnel, by default to its loopback port."""

    def __init__(
        self,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str | None = None,
    ) -> None:
        self.host = host or f"127.0.0.1:{port}"
        self._reader = reader
        self._writer = writer
        self._left: int | None = None
        """Bytes of the body to come; None: chunked; -1: until the end of the connection."""
        self._over = True

    async def ask(
        self, target: str, headers: Mapping[str, str], *, method: str = "GET", body: bytes = b""
    ) -> None:
        """Send one request."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        try:
            self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await self._writer.drain()
        except OSError as error:
            raise AnswerBroken(str(error)) from None

    async def head(self) -> Head:
        """The head of the answer."""
        try:
            raw = await self._reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError) as error:
            raise AnswerBroken(str(error)) from None
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        status = int(first.split(" ")[1])
        self._over = False
        if "transfer-encoding" in fields:
            self._left = None
        else:
            self._left = int(fields.get("content-length", -1))
        if status in (204, 304):
            self._over = True
        return Head(status, fields)

    async def part(self) -> bytes:
        """The next bytes of the body; empty at its proper end. Raises `AnswerBroken`."""
        if self._over:
            return b""
        try:
            return await self._part()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise AnswerBroken(str(error)) from None

    async def _part(self) -> bytes:
        if self._left is None:
            size = int(await self._line(), 16)
            data = await self._reader.readexactly(size)
            await self._line()
            self._over = not size
            return data
        if self._left == 0:
            self._over = True
            return b""
        data = await self._reader.read(65536 if self._left < 0 else min(65536, self._left))
        if not data:
            if self._left > 0:
                raise asyncio.IncompleteReadError(b"", self._left)
            self._over = True
        elif self._left > 0:
            self._left -= len(data)
        return data

    async def _line(self) -> bytes:
        return (await self._reader.readuntil(b"\r\n"))[:-2]

    async def body(self) -> bytes:
        """All of the body that is still to come."""
        parts = []
        while part := await self.part():
            parts.append(part)
        return b"".join(parts)

    def leave(self, *, reset: bool = False) -> None:
        """Go away: with a FIN, or with an RST."""
        if reset:
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
            self._writer.transport.abort()
        else:
            self._writer.close()


@asynccontextmanager
async def visiting(port: int) -> AsyncIterator[Visitor]:
    """A connection to a loopback port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        yield Visitor(port, reader, writer)
    finally:
        writer.transport.abort()


async def fetch(
    port: int,
    target: str,
    headers: Mapping[str, str],
    *,
    method: str = "GET",
    body: bytes = b"",
    within: float = 30.0,
) -> tuple[Head, bytes]:
    """One request on a connection of its own. Raises `AnswerBroken`, `OSError`."""
    async with asyncio.timeout(within), visiting(port) as visitor:
        await visitor.ask(target, {**headers, "Connection": "close"}, method=method, body=body)
        return await visitor.head(), await visitor.body()
