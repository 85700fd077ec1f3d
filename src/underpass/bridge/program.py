"""A program that is spoken to in lines, over its stdin and stdout: bounded memory and a sure end.

Knows nothing of what the lines say. It trusts the program with nothing: a line may never end,
stdin may never be read, a child of the program may hold its stdout open for ever, and SIGTERM may
go unheard.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Self, cast

import anyio

from underpass.drivers.process import LineSplitter

MAX_LINE: Final = 32 * 1024 * 1024
"""Twice what a request may have (``app.MAX_BODY``): a picture of 20 MB in base64 is one line."""
MAX_STDERR_LINE: Final = 64 * 1024
LINGER_SECONDS: Final = 1.0
"""How long the silence of a program that has ended lasts until no more is waited for. What it wrote
is in the pipe already; whoever else holds the pipe open is not whom we spoke to."""

# How long it may take to end: after the end of its stdin, after SIGTERM, and for the kernel to
# carry out SIGKILL. The first two are what the official SDK gives.
STDIN_SECONDS: Final = 2.0
TERM_SECONDS: Final = 2.0
KILL_SECONDS: Final = 2.0

_IN, _OUT, _ERR = 0, 1, 2


class ProgramOver(Exception):
    """It reads or says no more."""


class LineTooLong(ProgramOver):
    """It goes on and on without a line's end."""


class StdioProgram(asyncio.SubprocessProtocol):
    """A running program, which leads a process group. Made by ``start``; ``stop`` it."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear
        self._transport: asyncio.SubprocessTransport | None = None
        self._words = LineSplitter(MAX_STDERR_LINE)
        self._said = bytearray()
        self._searched = 0
        """How far no line's end was found: a long line is not searched again and again."""
        self._is_paused = False
        self._stops = False
        self._has_left = False
        """It has ended, or reads no more."""
        self._is_silent = False
        """It says no more."""
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._turn = asyncio.Lock()
        self._exited = asyncio.Event()
        self._closed = asyncio.Event()

    @classmethod
    async def start(
        cls, argv: Sequence[str], environment: Mapping[str, str], hear: Callable[[str], None]
    ) -> Self:
        """Start it with these variables alone; ``hear`` gets each line of its stderr. Raises
        ``OSError``."""
        pipe = asyncio.subprocess.PIPE
        _, program = await asyncio.get_running_loop().subprocess_exec(
            lambda: cls(hear),
            *argv,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=dict(environment),
            start_new_session=True,
        )
        return program

    @property
    def is_over(self) -> bool:
        """Whether it has ended, as far as that shows without reading."""
        return self._has_left or self._is_silent

    async def read_line(self) -> bytes:
        """The next line, without its end; nothing is read ahead of whoever calls this. Raises
        ``ProgramOver`` when there will be none, ``LineTooLong`` when it is endless."""
        while (end := self._said.find(b"\n", self._searched)) < 0:
            self._searched = len(self._said)
            if self._searched > MAX_LINE:
                raise LineTooLong
            if self._is_silent:
                raise ProgramOver
            await self._read_on()
        line = bytes(self._said[:end])
        del self._said[: end + 1]
        self._searched = 0
        return line

    async def write_line(self, line: bytes) -> None:
        """Say one line, once the ones before it have gone. Raises ``ProgramOver``."""
        async with self._turn:
            await self._writable.wait()
            if self._has_left or self._stops:
                raise ProgramOver
            cast("asyncio.WriteTransport", self._pipe(_IN)).write(line + b"\n")

    async def stop(self) -> None:
        """End it for certain, with all of its process group: end of stdin, SIGTERM, SIGKILL.
        Whoever cancels waits too; every wait is bounded."""
        assert self._transport is not None
        with anyio.CancelScope(shield=True):
            self._stops = True
            self._writable.set()
            self._said.clear()
            self._resume()  # who is stuck in writing does not see the end of stdin
            self._pipe(_IN).close()
            if not await self._has_exited(STDIN_SECONDS):
                self._signal(signal.SIGTERM)
                await self._has_exited(TERM_SECONDS)
            self._signal(signal.SIGKILL)  # those it has left behind, too
            await self._has_exited(KILL_SECONDS)
            with suppress(PermissionError):  # it has become somebody else's, by setuid
                self._transport.close()
            with anyio.move_on_after(KILL_SECONDS):
                await self._closed.wait()

    def _pipe(self, number: int) -> asyncio.BaseTransport:
        assert self._transport is not None
        pipe = self._transport.get_pipe_transport(number)
        assert pipe is not None
        return pipe

    async def _read_on(self) -> None:
        self._news.clear()
        self._resume()
        with anyio.move_on_after(LINGER_SECONDS if self._has_left else None) as waiting:
            await self._news.wait()
        if waiting.cancelled_caught:
            self._is_silent = True

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            pipe = cast("asyncio.ReadTransport", self._pipe(_OUT))
            if not pipe.is_closing():
                pipe.resume_reading()

    async def _has_exited(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            await self._exited.wait()
        return self._exited.is_set()

    def _signal(self, number: signal.Signals) -> None:
        assert self._transport is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), number)

    def _leave(self) -> None:
        self._has_left = True
        self._news.set()
        self._writable.set()

    # asyncio.SubprocessProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _ERR:
            for line in self._words.feed(data):
                self._hear(line)
        elif not self._stops:
            self._said += data
            self._news.set()
            if not self._is_paused and (b"\n" in data or len(self._said) > MAX_LINE):
                self._is_paused = True
                cast("asyncio.ReadTransport", self._pipe(_OUT)).pause_reading()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == _ERR:
            for line in self._words.end():
                self._hear(line)
        elif fd == _OUT:
            self._is_silent = True
            self._news.set()
        else:
            self._leave()

    def process_exited(self) -> None:
        self._exited.set()
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()

    def pause_writing(self) -> None:
        """It does not read as fast as it is spoken to."""
        if not self._has_left:
            self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()
