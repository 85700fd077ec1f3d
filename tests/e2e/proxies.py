"""What stands between some users and the world: a CONNECT proxy, and a box that opens TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """Where it listens, and what it was asked for."""

    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    writer.close()


async def _join(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    await asyncio.gather(_pipe(near[0], far[1]), _pipe(far[0], near[1]))


@asynccontextmanager
async def connect_proxy(*, refuses: bool = False) -> AsyncIterator[Proxy]:
    """An HTTP proxy that knows CONNECT, and that all names lead to this machine."""
    proxy = Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ")[1].decode()
        proxy.asked.append(target)
        if refuses:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        far = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _join((reader, writer), far)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
        server.close()


@asynccontextmanager
async def tls_opening_proxy(
    context: ssl.SSLContext, port: int, far: ssl.SSLContext, name: str
) -> AsyncIterator[Proxy]:
    """A box that ends TLS with ``context``, speaks HTTP alone, and dials ``port`` anew.

    ALPN names of protocols that it does not know are not passed on: only http/1.1 gets through.
    """
    proxy = Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            first = await reader.readuntil(b"\r\n")
            proxy.asked.append(first.decode("latin-1").strip())
            if not first.endswith(b" HTTP/1.1\r\n"):
                writer.transport.abort()
                return
            beyond = await asyncio.open_connection("127.0.0.1", port, ssl=far, server_hostname=name)
            beyond[1].write(first)
            await _join((reader, writer), beyond)

    context.set_alpn_protocols(["http/1.1"])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
        server.close()
