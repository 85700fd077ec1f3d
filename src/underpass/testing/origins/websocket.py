"""A WebSocket origin: sends every message back as it came."""

from __future__ import annotations

import asyncio
from types import TracebackType

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class WebSocketEcho:
    """Echoes text and binary messages of any size; without compression, so bytes are countable."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.closings: asyncio.Queue[tuple[int | None, str]] = asyncio.Queue()
        """Close code and reason of each connection that has ended."""
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    async def __aenter__(self) -> WebSocketEcho:
        self._server = await serve(
            self._echo, self.host, 0, compression=None, max_size=None, ping_interval=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _echo(self, connection: ServerConnection) -> None:
        try:
            async for message in connection:
                await connection.send(message)
        except ConnectionClosed:
            pass
        finally:
            self.closings.put_nowait((connection.close_code, connection.close_reason or ""))
