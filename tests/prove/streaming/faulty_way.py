"""A way to a tunnel's public door that does one thing wrong, and everything else right."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from types import TracebackType

READ = 64 * 1024


class FaultyWay:
    """A proxy on loopback; without an option it is the control: a way that does nothing wrong.

    ``first_late``: the first bytes of each connection come down late. ``later_late``: all others.
    ``collects``: what comes down waits and goes on in clumps, every so many seconds. ``flips``: the
    byte at that place of each connection, going ``down`` or ``up``, is another. ``idle``: a
    connection without a byte for so many seconds is cut. ``swallows``: neither an end nor a break
    goes on ``up`` or ``down``. ``rewrites``: the first one becomes the second, on its way down;
    both are of one length.
    """

    def __init__(
        self,
        port: int,
        *,
        first_late: float = 0.0,
        later_late: float = 0.0,
        collects: float = 0.0,
        flips: tuple[str, int] = ("", 0),
        idle: float = 0.0,
        swallows: str = "",
        rewrites: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self.first_late = first_late
        self.later_late = later_late
        self.collects = collects
        self.flips = flips
        self.idle = idle
        self.swallows = swallows
        self.rewrites = rewrites
        self.port = 0
        self._upstream = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def dial(self) -> socket.socket:
        """Connect, in the public door's place."""
        made = socket.socket()
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.port))
        except OSError:
            made.close()
            raise
        return made

    async def __aenter__(self) -> FaultyWay:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
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

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", self._upstream)
            try:
                await _Carried(self, (reader, writer), (inner, outer)).run()
            finally:
                outer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # ended with the test; asyncio's streams would log a cancelled task
        finally:
            writer.transport.abort()
            self._tasks.discard(task)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Carried:
    """One connection."""

    def __init__(self, way: FaultyWay, visitor: Ends, door: Ends) -> None:
        self._way = way
        self._visitor = visitor
        self._door = door
        self._active = asyncio.Event()
        self._active.set()

    async def run(self) -> None:
        up = asyncio.create_task(self._pump(self._visitor[0], self._door[1], "up"))
        down = asyncio.create_task(self._pump(self._door[0], self._visitor[1], "down"))
        watch = [asyncio.create_task(self._watch())] if self._way.idle else []
        try:
            done, _ = await asyncio.wait({up, down, *watch}, return_when=asyncio.FIRST_COMPLETED)
            if self._way.swallows == "up" and up in done:
                await down
            elif self._way.swallows == "down" and down in done:
                await up
        finally:
            for task in (up, down, *watch):
                task.cancel()
            await asyncio.gather(up, down, *watch, return_exceptions=True)

    async def _watch(self) -> None:
        """Return after ``idle`` seconds without a byte."""
        while self._active.is_set():
            self._active.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._way.idle):
                    await self._active.wait()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        way, passed = self._way, 0
        with suppress(OSError):
            while data := await reader.read(READ):
                self._active.set()
                if direction == "down":
                    late = way.later_late if passed else way.first_late
                    if late:
                        await asyncio.sleep(late)
                    if way.collects:
                        data = await _collect(reader, data, way.collects)
                    data = data.replace(*way.rewrites) if way.rewrites[0] else data
                if way.flips[0] == direction and passed <= way.flips[1] < passed + len(data):
                    data = _flipped(data, way.flips[1] - passed)
                passed += len(data)
                writer.write(data)
                await writer.drain()


async def _collect(reader: asyncio.StreamReader, data: bytes, seconds: float) -> bytes:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while more := await reader.read(READ):
                data += more
    return data


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
