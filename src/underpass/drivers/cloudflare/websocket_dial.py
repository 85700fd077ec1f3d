"""Byte streams through a WebSocket, as ``cloudflared access tcp`` makes them for its users.

Each is a socket whose other end is a WebSocket to the public name: looked up, shaken hands and
upgraded as any visitor's. What a WebSocket cannot do, it cannot: FIN ends both ways.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

DIAL_SECONDS: Final = 5.0
READ_BYTES: Final = 64 * 1024


class WebSocketDials:
    """Such connections; each ends with its socket, all with ``close``."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    async def dial(self, host: str, port: int) -> socket.socket:
        """A socket that does not block. Raises ``OSError``."""
        wire = await _upgrade(host, port)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        task = asyncio.create_task(_carry(wire, theirs), name="underpass: websocket dial")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return ours

    async def close(self) -> None:
        """End every connection. Idempotent."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _upgrade(host: str, port: int) -> ClientConnection:
    context = ssl.create_default_context()
    options: dict[str, Any] = {}
    if host == "localhost" or host.endswith(".localhost"):
        # RFC 6761: always loopback. Debian's getaddrinfo does not know it.
        options = {"host": "127.0.0.1", "port": port, "proxy": None}
    try:
        return await connect(
            f"wss://{host}:{port}/",
            ssl=context,
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=DIAL_SECONDS,
            close_timeout=1.0,
            user_agent_header="underpass-prover",
            **options,
        )
    except InvalidStatus as error:
        raise ConnectionRefusedError(f"its edge said {error.response.status_code}") from None
    except InvalidHandshake as error:
        raise ConnectionRefusedError(f"no WebSocket: {type(error).__name__}") from None
    except (TimeoutError, EOFError) as error:
        raise TimeoutError("its edge did not answer in time") from error


async def _carry(wire: ClientConnection, end: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=end, limit=READ_BYTES)
    ways = [
        asyncio.create_task(_up(reader, wire), name="underpass: websocket up"),
        asyncio.create_task(_down(wire, writer), name="underpass: websocket down"),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        writer.close()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        with suppress(OSError):
            await wire.close()


async def _up(reader: asyncio.StreamReader, wire: ClientConnection) -> None:
    with suppress(OSError, ConnectionClosed):
        while data := await reader.read(READ_BYTES):
            await wire.send(data)


async def _down(wire: ClientConnection, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ConnectionClosed):
        async for message in wire:
            writer.write(message if isinstance(message, bytes) else message.encode())
            await writer.drain()
