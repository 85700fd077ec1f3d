"""A visitor whose connection is bytes: what tcp ports, passed-through TLS and reach have in common.

Bytes and ends travel as they are: FIN as FIN, a break as a RST. Nothing waits here: reading stops
while the stream has no room, and the far end is credited once bytes have left this process.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from underpass.model.errors import UnderpassError
from underpass.relay.edges.arrival import Arrival, arrive
from underpass.relay.edges.errors import ConnectorAway
from underpass.relay.edges.ports import EdgeEvent, Exposure, Lane, Stream
from underpass.relay.edges.sockets import Departure, look_for_departure, reset
from underpass.relay.protocol.errors import LaneAway

if TYPE_CHECKING:
    from underpass.relay.edges.byte_edge import ByteEdge

_EARLY: Final = 16 * 1024
"""Bytes taken from a visitor before there is a stream: more than any protocol's first words."""

_WORTH_KEEPING: Final = 32 * 1024
"""A view of so many bytes is written as it is: at most eight times as much (a read) is held."""


Write = Callable[[bytes | memoryview], None]


def _drop(data: bytes | memoryview) -> None:
    """Nobody is there to write to."""


class ByteVisitor(asyncio.BufferedProtocol, ABC):
    """One connection and its stream. A subclass says which tunnel is meant (``begin``), and how
    bytes, ends and breaks look on its connection."""

    __slots__ = (
        "_counted_stream",
        "_early",
        "_early_end",
        "_far_ended",
        "_hold",
        "_near_ended",
        "_over",
        "_owed",
        "_pressed",
        "_reading",
        "_unwanted",
        "_write",
        "_writing_paused",
        "arrival",
        "edge",
        "exposure",
        "kind",
        "stream",
        "token",
        "transport",
    )

    def __init__(self, edge: ByteEdge, arrival: Arrival | None, kind: str) -> None:
        """``arrival`` None: found out from the transport. ``kind``: of the stream to open."""
        self.edge = edge
        self.arrival = arrival
        self.kind = kind
        self.token = ""
        self.transport: asyncio.Transport | None = None
        self.exposure: Exposure | None = None
        self.stream: Stream | None = None
        self._hold: asyncio.Task[None] | None = None
        self._early = b""
        self._early_end = False
        self._near_ended = False
        self._far_ended = False
        self._over = False
        self._pressed = False
        self._unwanted = False
        self._reading = True
        self._writing_paused = False
        self._write: Write = _drop
        self._owed = 0
        self._counted_stream = False

    speaks = False
    """Whether the connection has words of its own around the visitor's bytes (see ``take``)."""

    # -- for subclasses -----------------------------------------------------------------------

    @abstractmethod
    def begin(self) -> None:
        """The connection is there: ``open`` a stream now or later."""

    def take(self, data: bytes) -> None:
        """Bytes came over the connection; those of the visitor go to ``forward``."""
        self.forward(data)

    def opened(self) -> None:
        """A stream is open: what the visitor says has somebody to go to."""

    def writer(self) -> Write:
        """What writes bytes of the far end."""
        assert self.transport is not None
        return self.transport.write

    def put_end(self) -> None:
        """Say that the far end sends no more."""
        assert self.transport is not None
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def put_break(self, code: str) -> None:
        """Say that the stream broke, or could not be had, and end the connection."""
        assert self.transport is not None
        reset(self.transport)

    # -- the transport ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a transport; also called by hand after ``transport.set_protocol``."""
        self.transport = cast(asyncio.Transport, transport)
        if self.arrival is None:
            self.arrival = arrive(transport, self.edge.sources)
            if self.arrival is None:
                self._over = True
                self.transport.abort()
                return
        self.transport.set_write_buffer_limits(high=0)
        self._write = self.writer()
        self.edge.visitors.add(self)
        self.begin()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room for what the stream takes now."""
        buffer = self.edge.buffer
        stream = self.stream
        if stream is None or self._pressed or self._unwanted:
            appetite = self._appetite or 1
        else:
            appetite = stream.room or 1
        return buffer if appetite >= len(buffer) else buffer[:appetite]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        data = self.edge.buffer[:nbytes].tobytes()
        if self.stream is None or self._over or self._unwanted or self.speaks:
            self.data_received(data)
        elif not self.stream.send_data(data):
            self._pressed = True
            self.update_reading()

    def data_received(self, data: bytes) -> None:
        """Bytes came; also those that the door has read, or that came in a WebSocket message."""
        if not self._over:
            self.take(data)
            if self._pressed or self.stream is None or not self._reading:
                self.update_reading()

    def eof_received(self) -> bool:
        """The visitor sends no more. True: it may still be reading."""
        self.forward_end()
        return not (self._over or (self.arrival is not None and self.arrival.secure))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.edge.sweeper.discard(self)
        self.edge.visitors.discard(self)
        if self.arrival is not None and self.arrival.counted:
            self.edge.sources.give(self.arrival.counted)
        self.leave("visitor-left")
        self.transport = None
        self._write = _drop

    def pause_writing(self) -> None:
        """The visitor's socket is full."""
        self._writing_paused = True

    # -- the way in ---------------------------------------------------------------------------

    @property
    def _appetite(self) -> int:
        most = self.edge.limits.byte_read_size
        if self._unwanted:
            return most
        if self.stream is None:
            return max(0, _EARLY - len(self._early))
        return 0 if self._pressed else min(most, self.stream.room)

    def update_reading(self) -> None:
        """Pause or resume the transport, as it should be now."""
        wanted = self._appetite > 0
        if wanted == self._reading or self.transport is None or self.transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self.edge.sweeper.discard(self)
            self.transport.resume_reading()
        else:
            self.edge.sweeper.add(self)
            self.transport.pause_reading()

    def forward(self, data: bytes) -> None:
        """Pass bytes of the visitor on."""
        if self.stream is None:
            self._early += data
        elif not self._unwanted and not self.stream.send_data(data):
            self._pressed = True

    def forward_end(self) -> None:
        """The visitor sends no more."""
        if self.stream is None:
            self._early_end = True
        elif not self._near_ended:
            self._near_ended = True
            self.stream.send_end()
            self._close_if_done()

    def tick(self, now: float) -> None:
        """While nothing is read: ask whether the visitor is still there."""
        if self.transport is None or self._reading:
            self.edge.sweeper.discard(self)
        elif look_for_departure(self.transport) == Departure.GONE:
            self.transport.abort()

    # -- the stream ---------------------------------------------------------------------------

    def open(self, exposure: Exposure | None) -> None:
        """Open a stream to the tunnel; without one, or where it may not be, break off."""
        if exposure is None:
            self.refuse("no-such-tunnel")
            return
        # ``exposure.allow`` is left to the gatehouse, which judges every address: the owner's own
        # proof may come from outside the networks, and bytes do not show that they are one.
        self.exposure = exposure
        lane = exposure.lane_nowait()
        if lane is not None:
            self._open(exposure, lane)
        else:
            self._hold = self.edge.spawn(self._wait_for_lane(exposure))

    async def _wait_for_lane(self, exposure: Exposure) -> None:
        try:
            lane = await exposure.lane_within(self.edge.limits.hold_seconds)
        except ConnectorAway as away:
            self._hold = None
            exposure.note(EdgeEvent.AWAY)
            self.refuse(away.code)
            return
        self._hold = None
        if not self._over:
            self._open(exposure, lane)

    def _open(self, exposure: Exposure, lane: Lane) -> None:
        assert self.arrival is not None
        if not exposure.take_stream():
            exposure.note(EdgeEvent.REFUSED)
            self.refuse("over-limit")
            return
        try:
            self.stream = lane.open(
                self.kind,
                peer=self.arrival.peer,
                secure=self.arrival.secure,
                token=self.token,
                owner=_FarSide(self),
            )
        except UnderpassError as error:
            exposure.give_stream()
            exposure.note(EdgeEvent.REFUSED)
            self.refuse("connector-away" if isinstance(error, LaneAway) else "over-limit")
            return
        self._counted_stream = True
        exposure.note(EdgeEvent.CONNECTION)
        self.opened()
        early, self._early = self._early, b""
        if not self.stream.send_data(early):  # an empty one asks to be told when there is room
            self._pressed = True
        if self._early_end:
            self.forward_end()
        self.update_reading()

    def refuse(self, code: str) -> None:
        """There will be no stream."""
        self._over = True
        if self.transport is not None:
            self.put_break(code)

    def leave(self, code: str) -> None:
        """The visitor is gone: tell the far end. Idempotent."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.cancel()
        if not self._over and self.exposure is not None:
            self.exposure.note(EdgeEvent.DEPARTED)
        self._over = True
        if self.stream is not None:
            if not self._near_ended:
                self.stream.abort(code)
            self.stream.stop(code)
        if self._counted_stream and self.exposure is not None:
            self._counted_stream = False
            self.exposure.give_stream()

    # -- the way out --------------------------------------------------------------------------

    def resume_writing(self) -> None:
        """All that was written has left this process."""
        self._writing_paused = False
        self._drain()

    def far_data(self, data: bytes | memoryview) -> None:
        """The far end says something."""
        if self._over or self._far_ended or self.transport is None:
            return
        size = len(data)
        # A transport may keep it beyond this call. A small view is copied: it would hold a whole
        # read of the link in memory.
        self._write(data if size >= _WORTH_KEEPING else bytes(data))
        if self._writing_paused or self._owed:
            self._owed += size
        else:
            assert self.stream is not None
            self.stream.drained(size)

    def far_end(self) -> None:
        """The far end says no more."""
        if self._over or self._far_ended or self.transport is None:
            return
        self._far_ended = True
        self.put_end()
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._near_ended and self._far_ended and self.transport is not None:
            self._over = True
            self.transport.close()

    def far_break(self, code: str) -> None:
        """The far end broke off."""
        if not self._over and not self._far_ended and self.transport is not None:
            if self.exposure is not None:
                self.exposure.note(EdgeEvent.BROKEN)
            self._over = True
            self.put_break(code)

    def far_deaf(self) -> None:
        """The far end reads no more."""
        self._unwanted = True
        self.update_reading()

    def far_writable(self) -> None:
        """The far end reads on."""
        self._pressed = False
        self.update_reading()

    def _drain(self) -> None:
        owed, self._owed = self._owed, 0
        if owed and self.stream is not None:
            self.stream.drained(owed)


class _FarSide:
    """The stream's owner: its words mean other things than the same words of a transport."""

    __slots__ = ("_visitor", "data_received")

    def __init__(self, visitor: ByteVisitor) -> None:
        self._visitor = visitor
        self.data_received = visitor.far_data

    def head_received(self, head: bytes) -> None:
        self._visitor.far_break("protocol-violation")

    def trailers_received(self, trailers: bytes) -> None:
        self._visitor.far_break("protocol-violation")

    def end_received(self) -> None:
        self._visitor.far_end()

    def aborted(self, code: str) -> None:
        self._visitor.far_break(code)

    def stopped(self, code: str) -> None:
        self._visitor.far_deaf()

    def resume_writing(self) -> None:
        self._visitor.far_writable()
