"""The controls of the fault kit: relays as one writes them in ten lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

import pytest


class NaiveRelay:
    """Copies bytes between a visitor and `host`:`port`, and has nothing a tunnel needs.

    No resuming, no end of its own; no heartbeat and no deadline unless `patience` gives it one,
    which makes it the least relay that passes the black-hole tests.
    """

    def __init__(self, host: str, port: int, patience: float | None = None) -> None:
        self.upstream = (host, port)
        self.patience = patience
        self.port = 0
        self.open = 0
        """Visitors that it believes to be there."""
        self.noticed = asyncio.Event()
        """Set when it has noticed any trouble at all."""
        self.served = asyncio.Event()
        """Set when it has a connection upstream."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> NaiveRelay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="naive relay: connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        upstream: asyncio.StreamWriter | None = None
        try:
            from_upstream, upstream = await asyncio.open_connection(*self.upstream)
            self.served.set()
            async with asyncio.TaskGroup() as copies:
                copies.create_task(self._copy(reader, upstream, None))
                copies.create_task(self._copy(from_upstream, writer, self.patience))
        except* (OSError, TimeoutError):
            self.noticed.set()
        finally:
            self.open -= 1
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float | None
    ) -> None:
        while data := await asyncio.wait_for(reader.read(65536), patience):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@pytest.fixture
def naive_relay() -> Callable[..., NaiveRelay]:
    """`naive_relay(host, port, patience=None)`, to be entered with `async with`."""
    return NaiveRelay
