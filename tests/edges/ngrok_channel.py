"""One muxado stream as the two ends of a connection see it: reads, writes, room, an end."""

from __future__ import annotations

import asyncio
from typing import Protocol

FRAME = 32 * 1024


class Frames(Protocol):
    """The session below."""

    def room(self, stream: int) -> int:
        """Bytes that may be sent."""

    async def send(self, stream: int, content: bytes, *, end: bool) -> None:
        """Send one frame. Raises ``ConnectionError``."""

    def consumed(self, stream: int, count: int) -> None:
        """Give room back."""

    def unread(self, stream: int, count: int) -> None:
        """It was not consumed after all."""

    def reset(self, stream: int) -> None:
        """Break a stream off."""


class Channel:
    """One stream, as two ends of a connection see it."""

    def __init__(self, session: Frames, stream: int) -> None:
        self.stream = stream
        self._session = session
        self._parts: list[bytes] = []
        self._ended = False
        self._broken = False
        self._news = asyncio.Event()

    async def read(self) -> bytes:
        """The next bytes; ``b""`` after the end. Raises ``ConnectionError`` when broken off."""
        while not self._parts:
            if self._broken:
                raise ConnectionResetError
            if self._ended:
                return b""
            self._news.clear()
            await self._news.wait()
        content = b"".join(self._parts)
        self._parts.clear()
        self._session.consumed(self.stream, len(content))
        return content

    async def read_exactly(self, count: int) -> bytes:
        """``count`` bytes; what is over stays. Raises ``ConnectionError``."""
        content = b""
        while len(content) < count:
            part = await self.read()
            if not part:
                raise ConnectionResetError
            content += part
        if len(content) > count:
            self._parts.insert(0, content[count:])
            self._session.unread(self.stream, len(content) - count)
        return content[:count]

    async def write(self, content: bytes, *, end: bool = False) -> None:
        """Send all of it as the other side makes room. Raises ``ConnectionError``."""
        view = memoryview(content)
        while view or end:
            room = 0
            while not (room := self._session.room(self.stream)) and view:
                if self._broken:
                    raise ConnectionResetError
                self._news.clear()
                await self._news.wait()
            if self._broken:
                raise ConnectionResetError
            part = view[: min(room, FRAME)]
            view = view[len(part) :]
            is_last = end and not view
            await self._session.send(self.stream, bytes(part), end=is_last)
            if is_last:
                return

    def abort(self) -> None:
        """Break it off."""
        if not self._broken:
            self._session.reset(self.stream)
            self.break_off()

    # Called by the session

    def receive(self, content: bytes, *, end: bool) -> None:
        """Bytes came."""
        if content:
            self._parts.append(content)
        self._ended = self._ended or end
        self._news.set()

    def wake(self) -> None:
        """There may be more room."""
        self._news.set()

    def break_off(self) -> None:
        """Nothing more comes or goes."""
        self._broken = True
        self._news.set()
