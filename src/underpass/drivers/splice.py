"""A local port whose connections go on to another local door, now or as soon as it is there.

The port stays while what is behind it comes and goes: a connection that comes meanwhile waits.
Bytes, FIN and reset are passed on as what they are, with back-pressure both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, cast

from underpass.gatehouse.reset import reset

WRITE_BYTES: Final = 256 * 1024
# What may wait in one transport before its other side is no longer read.

WAIT_SECONDS: Final = 15.0
"""How long a connection waits for the door: longer than a bastion takes to restart its sshd."""

AGAIN_SECONDS: Final = 0.05
# A dial that is refused at once, for as long as nobody has said that the door is gone.

MAX_CONNECTIONS: Final = 1_024

Door = Path | tuple[str, int]
"""A Unix socket, or a loopback host and port."""


class LocalPort:
    """Listens for local programs. Made by ``open``; ``close`` it in the end."""

    def __init__(self, door: Door, ready: Callable[[], Awaitable[None]]) -> None:
        self.door = door
        self.ready = ready
        """Returns when the door is worth dialling."""
        self.sides: set[Side] = set()
        self.dials: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(
        cls, host: str, port: int, door: Door, ready: Callable[[], Awaitable[None]]
    ) -> LocalPort:
        """Listen. Raises ``OSError``."""
        self = cls(door, ready)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Side(self), host, port)
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Where local programs connect."""
        assert self._server is not None
        name = self._server.sockets[0].getsockname()
        return str(name[0]), int(name[1])

    async def close(self) -> None:
        """Listen no more, and cut every connection. Idempotent."""
        if self._server is not None:
            self._server.close()
        for task in list(self.dials):
            task.cancel()
        await asyncio.gather(*self.dials, return_exceptions=True)
        for side in list(self.sides):
            side.reset()


class Side(asyncio.Protocol):
    """One end of a spliced connection; the local program's end makes the other."""

    def __init__(self, port: LocalPort, other: Side | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self._early = bytearray()
        self._port = port
        self._other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_BYTES)
        self._port.sides.add(self)
        if self._other is not None:
            return
        if len(self._port.sides) > 2 * MAX_CONNECTIONS:
            self.reset()
            return
        task = asyncio.get_running_loop().create_task(self._dial(), name="underpass: splice")
        self._port.dials.add(task)
        task.add_done_callback(self._port.dials.discard)

    async def _dial(self) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                far = await self._reach()
        except (OSError, TimeoutError):
            self.reset()
            return
        self._other = far
        if self.transport is None:
            far.reset()
        elif not self.transport.is_closing():
            if self._early and far.transport is not None:
                far.transport.write(bytes(self._early))
                self._early.clear()
            if self.ended and far.transport is not None:
                far.transport.write_eof()
            self.transport.resume_reading()

    async def _reach(self) -> Side:
        """Dial the door until it opens: it may have gone a moment before anybody said so."""
        loop, port = asyncio.get_running_loop(), self._port
        while True:
            await port.ready()
            try:
                if isinstance(port.door, Path):
                    path = str(port.door)
                    _, far = await loop.create_unix_connection(lambda: Side(port, self), path)
                else:
                    _, far = await loop.create_connection(lambda: Side(port, self), *port.door)
            except (ConnectionRefusedError, FileNotFoundError):
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return far

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            # What came before there is another side waits here; a loop may deliver a little more
            # than the part at which it was told to pause.
            self._early += data
            if self.transport is not None:
                self.transport.pause_reading()
        elif self._other.transport is not None:
            self._other.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        other = self._other
        if other is not None and other.transport is not None:
            if other.ended:
                other.transport.close()
                return False
            if other.transport.can_write_eof():
                other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._port.sides.discard(self)
        other = self._other
        if other is not None and other.transport is not None:
            if exc is None and self.ended:
                other.transport.close()
            else:
                other.reset()

    def pause_writing(self) -> None:
        if self._other is not None and self._other.transport is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        other = self._other
        if other is not None and other.transport is not None and not other.transport.is_closing():
            other.transport.resume_reading()

    def reset(self) -> None:
        """End it so that nobody takes it for complete."""
        if self.transport is not None:
            reset(self.transport)
