"""The plain port: its first eight bytes decide between a link, a reach connection and HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from underpass.relay.edges.addresses import SourceCap
from underpass.relay.edges.arrival import Arrival, arrive
from underpass.relay.edges.limits import EdgeLimits
from underpass.relay.edges.sweeper import Sweeper
from underpass.relay.protocol.frames import LINK_MAGIC, REACH_MAGIC

_MAGIC_SIZE = len(LINK_MAGIC)


class PlainDoors(Protocol):
    """Where connections of a plain port go."""

    limits: EdgeLimits
    sources: SourceCap
    sweeper: Sweeper

    def http_came(self, transport: asyncio.Transport, arrival: Arrival, data: bytes) -> None:
        """Anything that is not one of ours."""

    def link_came(self, transport: asyncio.Transport, arrival: Arrival, data: bytes) -> None:
        """A connector's link; ``data`` follows the magic."""

    def reach_came(self, transport: asyncio.Transport, arrival: Arrival, data: bytes) -> None:
        """A reach connection; ``data`` follows the magic."""


Way = Callable[[asyncio.Transport, Arrival, bytes], None]


class FirstBytes(asyncio.Protocol):
    """One connection until its first bytes are known."""

    __slots__ = ("_arrival", "_deadline", "_doors", "_held", "_transport")

    def __init__(self, doors: PlainDoors, arrival: Arrival | None = None) -> None:
        """``arrival`` None: found out from the transport."""
        self._doors = doors
        self._arrival = arrival
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast(asyncio.Transport, transport)
        if self._arrival is None:
            self._arrival = arrive(transport, self._doors.sources)
            if self._arrival is None:
                self._transport.abort()
                return
        self._doors.sweeper.add(self)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        if self._held:
            data = self._held + data
        start = data[:_MAGIC_SIZE]
        if start not in (LINK_MAGIC, REACH_MAGIC):
            if LINK_MAGIC.startswith(start) or REACH_MAGIC.startswith(start):
                self._held = data
                return
            self._leave_to(self._doors.http_came, data)
        elif self._arrival is None or not self._arrival.on_loopback:
            # Enforced at both ends: a plain link would show its enrolment token to the wire.
            assert self._transport is not None
            self._transport.abort()
        else:
            way = self._doors.link_came if start == LINK_MAGIC else self._doors.reach_came
            self._leave_to(way, data[_MAGIC_SIZE:])

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._doors.sweeper.discard(self)
        if self._arrival is not None and self._arrival.counted:
            self._doors.sources.give(self._arrival.counted)
        self._transport = None

    def tick(self, now: float) -> None:
        """Called about once a second."""
        if not self._deadline:
            limits = self._doors.limits
            self._deadline = now + (limits.head_seconds if self._held else limits.idle_seconds)
        elif now >= self._deadline and self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End the connection: it has not begun anything."""
        if self._transport is not None:
            self._transport.close()

    def _leave_to(self, way: Way, data: bytes) -> None:
        self._doors.sweeper.discard(self)
        assert self._transport is not None
        assert self._arrival is not None
        way(self._transport, self._arrival, data)
