"""One timer for many connections: what may be late by a second needs no timer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol


class Swept(Protocol):
    """A connection that wants to know the time now and then."""

    def tick(self, now: float) -> None:
        """``now`` on the loop's clock. May remove itself and others from the sweeper."""


class Sweeper:
    """Ticks its members every ``interval`` seconds; without members it has no timer at all."""

    __slots__ = ("_handle", "_interval", "_loop", "_members")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self._loop = loop
        self._interval = interval
        self._members: set[Swept] = set()
        self._handle: asyncio.TimerHandle | None = None

    def add(self, member: Swept) -> None:
        """Tick ``member`` until ``discard``. Idempotent."""
        self._members.add(member)
        if self._handle is None:
            self._handle = self._loop.call_later(self._interval, self._sweep)

    def discard(self, member: Swept) -> None:
        """Tick ``member`` no more. Idempotent."""
        self._members.discard(member)

    def close(self) -> None:
        """Forget all members."""
        self._members.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def sweep(self, now: float) -> None:
        """Tick every member once, as if the time were ``now``."""
        for member in list(self._members):
            if member in self._members:
                member.tick(now)

    def _sweep(self) -> None:
        self._handle = None
        self.sweep(self._loop.time())
        if self._members and self._handle is None:
            self._handle = self._loop.call_later(self._interval, self._sweep)

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Swept]:
        return iter(tuple(self._members))
