"""Origins that speak bytes: an echo, a recorder of half-closes, a TLS port, a port that refuses."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from dataclasses import dataclass
from types import TracebackType

from underpass.testing.certificates import self_signed, server_context
from underpass.testing.origins.server import Origin

READ_SIZE = 256 * 1024


class TcpEcho(Origin):
    """Sends back what it gets, and its end once the other side has ended."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_SIZE):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@dataclass(frozen=True, slots=True)
class HalfClosed:
    """What one connection of a `HalfCloseRecorder` had sent when it ended its direction."""

    size: int
    sha256: str


class HalfCloseRecorder(Origin):
    """Says nothing until the visitor has ended its direction, then answers and ends its own.

    The answer is the hexadecimal SHA-256 of all it got. A relay that takes a half-close for a
    departure loses it; one that swallows the half-close waits for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self.half_closes: asyncio.Queue[HalfClosed] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        digest, size = hashlib.sha256(), 0
        while data := await reader.read(READ_SIZE):
            digest.update(data)
            size += len(data)
        seen = HalfClosed(size, digest.hexdigest())
        self.half_closes.put_nowait(seen)
        writer.write(seen.sha256.encode())
        writer.write_eof()


class TlsOrigin(TcpEcho):
    """Speaks TLS, with a certificate nobody trusts, where plain text may be expected."""

    scheme = "tcp"

    def __init__(self) -> None:
        certificate = self_signed("localhost")
        super().__init__(tls=server_context(certificate))
        self.certificate = certificate

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_SIZE):
            writer.write(data)
            await writer.drain()


class Refuser:
    """A loopback port that is taken and refuses every connection."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0

    @property
    def url(self) -> str:
        return f"tcp://{self.host}:{self.port}"

    async def __aenter__(self) -> Refuser:
        # Bound but not listening: the kernel answers RST, and nobody else gets the port.
        self._socket = socket.socket()
        self._socket.bind((self.host, 0))
        self.port = self._socket.getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
