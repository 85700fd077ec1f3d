"""One process of the server program: its messages, its words on stderr, its sure end.

The official SDK's stdio transport starts and stops it (close stdin, wait, SIGTERM, SIGKILL to the
whole group). What is added here: it dies with this process, its stderr is read all the time, kept
and shown, and it must show that it speaks before anybody is given to it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage, JSONRPCRequest

from underpass.bridge.settings import BridgeSettings
from underpass.drivers.launcher import launcher
from underpass.drivers.process import LineSplitter

KEPT_LINES: Final = 50
_GREETING: Final = "underpass-greeting"


class ServerEnded(Exception):
    """The process ended, or closed its stdout."""


class Child:
    """A running process. Made by ``running_child``; used by one session."""

    def __init__(
        self,
        read: MemoryObjectReceiveStream[SessionMessage | Exception],
        write: MemoryObjectSendStream[SessionMessage],
        words: deque[str],
    ) -> None:
        self._read = read
        self._write = write
        self.words = words
        """The last lines of its stderr."""
        self.has_answered = False
        self._is_over = False
        self._let_go = anyio.Event()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, as far as that shows without reading."""
        return self._is_over or not self._read.statistics().open_send_streams

    def release(self) -> None:
        """Nobody needs it any more: whoever started it stops it. Idempotent."""
        self._let_go.set()

    async def wait_released(self) -> None:
        """Wait for ``release``."""
        await self._let_go.wait()

    async def send(self, message: JSONRPCMessage) -> None:
        """Write one message. Raises ``ServerEnded``."""
        try:
            await self._write.send(SessionMessage(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._is_over = True
            raise ServerEnded from None

    async def receive(self) -> JSONRPCMessage:
        """The next message; lines that are none are passed over. Raises ``ServerEnded``."""
        while True:
            try:
                received = await self._read.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                self._is_over = True
                raise ServerEnded from None
            if isinstance(received, SessionMessage):
                self.has_answered = True
                return received.message

    async def greet(self, seconds: float) -> None:
        """Ping it, which every revision allows before anything else, and wait for any answer at
        all. One that stays silent so long without ending is let through. Raises ``ServerEnded``."""
        ping = JSONRPCRequest(jsonrpc="2.0", id=_GREETING, method="ping")
        with anyio.move_on_after(seconds):
            await self.send(ping)
            while getattr(await self.receive(), "id", None) != _GREETING:
                pass


@asynccontextmanager
async def running_child(
    settings: BridgeSettings, show: Callable[[str], None]
) -> AsyncIterator[Child]:
    """Start the program; it is stopped when the block is left.

    ``show`` gets each line of its stderr. Raises ``OSError`` when it cannot be started.
    """
    words: deque[str] = deque(maxlen=KEPT_LINES)

    def hear(line: str) -> None:
        words.append(line)
        show(line)

    argv = (*launcher(signal.SIGTERM, placed=True), *settings.command)
    parameters = StdioServerParameters(
        command=argv[0], args=list(argv[1:]), env=dict(os.environ), encoding_error_handler="replace"
    )
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as errlog:
        pipe = os.fdopen(reading, "rb", buffering=0)
        loop = asyncio.get_running_loop()
        listening, _ = await loop.connect_read_pipe(lambda: _Stderr(hear), pipe)
        try:
            async with stdio_client(parameters, errlog) as (read, write):
                errlog.close()  # the program has its own copy; ours would keep the pipe open
                # The SDK names only what a session needs of them.
                yield Child(
                    cast("MemoryObjectReceiveStream[SessionMessage | Exception]", read),
                    cast("MemoryObjectSendStream[SessionMessage]", write),
                    words,
                )
        finally:
            listening.close()


class _Stderr(asyncio.Protocol):
    """Reads lines in bounded memory."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear
        self._splitter = LineSplitter(64 * 1024)

    def data_received(self, data: bytes) -> None:
        for line in self._splitter.feed(data):
            self._hear(line)

    def connection_lost(self, exc: Exception | None) -> None:
        for line in self._splitter.end():
            self._hear(line)
