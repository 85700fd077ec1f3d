"""One process of the server program: its messages, its words on stderr, its sure end.

It gets the few variables that every client of the official SDK gives such a program, and those that
the user has named: nothing else of the environment that the tunnel was opened in. It dies with this
process, and it must show that it speaks before anybody is given to it.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from mcp.client.stdio import get_default_environment
from mcp_types import JSONRPCMessage, JSONRPCRequest, jsonrpc_message_adapter

from underpass.bridge.program import LineTooLong, ProgramOver, StdioProgram
from underpass.bridge.settings import BridgeSettings
from underpass.drivers.launcher import launcher

KEPT_LINES: Final = 50
_GREETING: Final = "underpass-greeting"


class ServerEnded(Exception):
    """The process ended, or closed its stdout."""


class Child:
    """A running process. Made by ``running_child``; used by one session."""

    def __init__(
        self, program: StdioProgram, words: deque[str], show: Callable[[str], None]
    ) -> None:
        self._program = program
        self._show = show
        self.words = words
        """The last lines of its stderr."""
        self.has_answered = False
        self._is_over = False
        self._let_go = anyio.Event()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, as far as that shows without reading."""
        return self._is_over or self._program.is_over

    def release(self) -> None:
        """Nobody needs it any more: whoever started it stops it. Idempotent."""
        self._let_go.set()

    async def wait_released(self) -> None:
        """Wait for ``release``."""
        await self._let_go.wait()

    async def send(self, message: JSONRPCMessage) -> None:
        """Write one message. Raises ``ServerEnded``."""
        text = message.model_dump_json(by_alias=True, exclude_unset=True)
        try:
            await self._program.write_line(text.encode())
        except ProgramOver:
            self._is_over = True
            raise ServerEnded from None

    async def receive(self) -> JSONRPCMessage:
        """The next message; lines that are none are passed over. Raises ``ServerEnded``."""
        while True:
            try:
                line = await self._program.read_line()
            except ProgramOver as over:
                if isinstance(over, LineTooLong) and not self._is_over:
                    self._show("its line is too long for a message; it is ended")
                self._is_over = True
                raise ServerEnded from None
            try:
                message = jsonrpc_message_adapter.validate_json(
                    line.decode(errors="replace"), by_name=False
                )
            except ValueError:
                continue
            self.has_answered = True
            return message

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
    program = await StdioProgram.start(argv, _environment(settings.pass_env), hear)
    try:
        yield Child(program, words, show)
    finally:
        await program.stop()


def _environment(names: tuple[str, ...]) -> dict[str, str]:
    named = {name: os.environ[name] for name in names if name in os.environ}
    return {**get_default_environment(), **named}
