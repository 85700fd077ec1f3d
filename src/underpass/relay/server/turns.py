"""One at a time for each name: whoever reads a record and changes it holds the name's turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """Locks by name, there only while somebody holds or awaits one."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._interested: Counter[Hashable] = Counter()

    @asynccontextmanager
    async def turn(self, name: Hashable) -> AsyncIterator[None]:
        """Wait for the turn, in order of arrival; it is given up at the end of the block."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._interested[name] += 1
        try:
            async with lock:
                yield
        finally:
            self._interested[name] -= 1
            if not self._interested[name]:
                del self._interested[name], self._locks[name]

    def __len__(self) -> int:
        return len(self._locks)
