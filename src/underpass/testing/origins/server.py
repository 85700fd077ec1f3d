"""What all origins have in common: a listening socket and the connections it has accepted."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from types import TracebackType
from typing import ClassVar, Self


class Origin:
    """A server on a loopback port, or on a Unix socket when `unix` names one.

    Subclasses say in `serve` what happens on one connection; returning closes it, and losing the
    peer (`OSError`, `EOFError`) ends it quietly.
    """

    scheme: ClassVar[str] = "tcp"

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        unix: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self.port = port
        """Set when the server has started; 0 with a Unix socket."""
        self.unix = unix
        self.tls = tls
        self.accepted = 0
        """Connections accepted so far."""
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.unix}" if self.unix else f"{self.scheme}://{self.host}:{self.port}"

    @property
    def open(self) -> int:
        """Connections open now."""
        return len(self._open)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        raise EOFError

    def cut_connections(self) -> None:
        """Resets all open connections; the server goes on listening."""
        for task in self._open:
            task.cancel()

    async def wait_idle(self) -> None:
        """Waits until no connection is open."""
        while self._open:
            await asyncio.wait(self._open)

    async def stop(self) -> None:
        """Stops listening and resets all open connections. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut_connections()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def start(self) -> None:
        """Listens; after `stop`, on the same port again."""
        if self.unix is not None:
            self._server = await asyncio.start_unix_server(self._accept, self.unix, ssl=self.tls)
            return
        self._server = await asyncio.start_server(
            self._accept, self.host, self.port, ssl=self.tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(
            self._serve_and_close(reader, writer), name=f"{type(self).__name__}: connection"
        )
        self._open.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._open.discard(done)
            # A task that is cancelled before its first step has not closed anything itself.
            writer.transport.abort()

        task.add_done_callback(ended)

    async def _serve_and_close(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await self.serve(reader, writer)
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError):
            pass
        finally:
            if not writer.is_closing() and self.unix is None:
                # A reset, also where plain TCP would say goodbye.
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            writer.transport.abort()
