"""A reach connection for code that waits: the prover's own way in."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from underpass.relay.connector.reach_connection import ReachConnection, ReachRefused

QUEUE_LIMIT: Final = 256 * 1024
"""Bytes a ``ReachWire`` holds before it stops reading."""


class ReachWire:
    """A reach connection for code that waits."""

    def __init__(self, connection: ReachConnection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._broken = ""
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        connection.attach(self)

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._writable.wait()
        self._connection.send(data)

    async def receive(self) -> bytes:
        """The next bytes, or ``b""`` after FIN. Raises ``ReachRefused`` when it broke."""
        while True:
            if self._chunks:
                data = self._chunks.popleft()
                self._held -= len(data)
                if self._held < QUEUE_LIMIT:
                    self._connection.pause(False)
                return data
            if self._ended:
                return b""
            if self._broken:
                raise ReachRefused(name=self._name, why=self._broken)
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        """Let go of it. Idempotent."""
        self._connection.close()

    def reach_data(self, data: bytes | memoryview) -> None:
        """Keep bytes until they are asked for."""
        self._chunks.append(bytes(data))
        self._held += len(data)
        if self._held >= QUEUE_LIMIT:
            self._connection.pause(True)
        self._news.set()

    def reach_ended(self) -> None:
        """FIN."""
        self._ended = True
        self._news.set()

    def reach_broken(self, code: str) -> None:
        """The stream broke."""
        self._broken = self._broken or code
        self._writable.set()
        self._news.set()

    def reach_paused(self, paused: bool) -> None:
        """Back-pressure."""
        if paused:
            self._writable.clear()
        else:
            self._writable.set()
