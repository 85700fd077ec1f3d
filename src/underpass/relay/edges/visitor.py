"""One HTTP connection of a visitor: its bytes, its timers, and whether it is still there.

What one request and its answer are is the ``Exchange``'s business; here requests come one after
another, reading is paused while nobody can take what would be read, and a visitor that left, is
too slow or never says anything is told apart from one that merely waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final, cast

from underpass.http.answers import Answer, answer, answer_malformed
from underpass.http.messages import EndOfMessage, Malformed, RequestEvent, RequestHead
from underpass.http.reader import RequestReader
from underpass.relay.edges.arrival import Arrival, arrive
from underpass.relay.edges.exchange import Exchange
from underpass.relay.edges.own_answers import answer_bytes
from underpass.relay.edges.pace import StallWatch
from underpass.relay.edges.sockets import Departure, look_for_departure, progress, reset

if TYPE_CHECKING:
    from underpass.relay.edges.http_edge import HttpEdge

Buffer = bytes | bytearray | memoryview

_FLUSH_AT: Final = 16 * 1024
"""Bytes that are worth a write of their own; less waits for the end of the loop's turn."""
_JOIN_BELOW: Final = 64 * 1024
"""Buffers that are together smaller are joined: one record, one system call."""
_MESSAGES_A_TURN: Final = 16
"""Pipelined requests answered before other connections get their turn."""


class Phase(IntEnum):
    """Where a connection stands."""

    IDLE = 0
    """No request has begun."""
    HEAD = 1
    """A head has begun and is not complete."""
    EXCHANGE = 2
    """A request is being received or answered."""
    BYTES = 3
    """The protocol was changed: bytes both ways."""
    LINGER = 4
    """The last answer is out; what still comes is thrown away."""
    OVER = 5


class VisitorConnection(asyncio.BufferedProtocol):
    """See the module. Reads into one buffer that all connections of the edge share."""

    __slots__ = (
        "_early",
        "_eof",
        "_lingered",
        "_out",
        "_out_size",
        "_pumping",
        "_queue",
        "_reading",
        "_stall",
        "_upgrade_refused",
        "arrival",
        "deadline",
        "edge",
        "exchange",
        "phase",
        "port",
        "reader",
        "transport",
        "writing_paused",
    )

    def __init__(self, edge: HttpEdge, arrival: Arrival | None, port: int = 0) -> None:
        """``arrival`` None: found out from the transport. ``port``: the one loopback port whose
        tunnel this is, or 0 where the Host decides."""
        self.edge = edge
        self.arrival = arrival
        self.port = port
        self.transport: asyncio.Transport | None = None
        self.reader: RequestReader | None = None
        self.exchange: Exchange | None = None
        self.phase = Phase.IDLE
        self.deadline = 0.0
        """When the phase has lasted too long; 0: the next tick counts from now."""
        self.writing_paused = False
        self._reading = True
        self._eof = False
        self._early = b""
        """Bytes of the next request, ahead of its turn. While there are any, nothing is read."""
        self._queue: list[RequestEvent] = []
        """Events of the next request, ahead of its turn. The same holds."""
        self._out: list[Buffer] = []
        self._out_size = 0
        self._lingered = 0
        self._pumping = False
        self._upgrade_refused = False
        self._stall: StallWatch | None = None

    # -- the transport ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a transport; also called by hand after ``transport.set_protocol``."""
        self.transport = cast(asyncio.Transport, transport)
        if self.arrival is None:
            self.arrival = arrive(transport, self.edge.sources)
            if self.arrival is None:
                self.phase = Phase.OVER
                self.transport.abort()
                return
        self.transport.set_write_buffer_limits(high=0)
        self.edge.sweeper.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room for as much as may be read now: what the stream takes, when it takes a body."""
        exchange = self.exchange
        if exchange is None or exchange.request_done:
            return self.edge.buffer
        # One byte when there is no room: a transport that ignored the pause must not be handed
        # an empty buffer.
        return self.edge.buffer[: exchange.appetite or 1]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        self.receive(bytes(self.edge.buffer[:nbytes]))

    def eof_received(self) -> bool:
        """The visitor sends no more. True: it may still be reading."""
        self._eof = True
        exchange = self.exchange
        if exchange is None:  # idle, within a head, or lingering
            self.phase = Phase.OVER
            return False
        if self.phase == Phase.BYTES:
            return exchange.half_close()
        if not exchange.request_done or exchange.fin_is_departure:
            self._depart()
            return False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.phase = Phase.OVER
        self.edge.sweeper.discard(self)
        if self.arrival is not None and self.arrival.counted:
            self.edge.sources.give(self.arrival.counted)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.visitor_left()
        self.transport = None
        self.reader = None
        self._out.clear()
        self._early = b""

    def pause_writing(self) -> None:
        """The visitor's socket is full."""
        self.writing_paused = True
        self._stall = None

    def resume_writing(self) -> None:
        """The transport holds nothing any more."""
        self.writing_paused = False
        if self.exchange is not None:
            self.exchange.written()

    # -- reading ------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the visitor; also those that the door has read to know the protocol."""
        phase = self.phase
        exchange = self.exchange
        if exchange is not None:
            if phase == Phase.BYTES:
                exchange.bytes_received(data)
            elif exchange.request_done:
                # The next request, ahead of its turn.
                self._early += data
                self.update_reading()
            else:
                self._pump(data)
        elif phase <= Phase.HEAD:
            self._pump(data)
        elif phase == Phase.LINGER:
            self._lingered += len(data)
            if self._lingered > self.edge.limits.linger_bytes:
                self._abort()

    def update_reading(self) -> None:
        """Pause or resume the transport, as it should be now."""
        exchange = self.exchange
        wanted = not (self._early or self._queue) and (exchange is None or exchange.appetite > 0)
        if wanted == self._reading or self.transport is None or self.transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _pump(self, data: bytes) -> None:
        """Parse, and go on from one request to the next as long as they are answered at once."""
        reader = self.reader
        if reader is None:
            reader = self.reader = RequestReader(self.edge.reader_limits)
        if self._early:
            data, self._early = self._early + data, b""
        self._pumping = True
        for _ in range(_MESSAGES_A_TURN):
            if self._queue:
                events, self._queue = self._queue, []
                self._early = data
            elif self._upgrade_refused:
                self._upgrade_refused = False
                self._early = data
                events = reader.refuse_upgrade()
            else:
                events = reader.receive_data(data)
            if events:
                self._dispatch(events)
            elif self.phase == Phase.IDLE and reader.in_message:
                self.phase = Phase.HEAD
                self.deadline = self.edge.loop.time() + self.edge.limits.head_seconds
            exchange = self.exchange
            if self.phase > Phase.EXCHANGE or (exchange is not None and exchange.request_done):
                break
            if not self._has_more(reader):
                break
            data, self._early = self._early, b""
        else:
            self.edge.loop.call_soon(self._go_on)
        self._pumping = False
        if self._early or self._queue or not self._reading or self.exchange is not None:
            self.update_reading()

    def _go_on(self) -> None:
        reader = self.reader
        if reader is not None and self.exchange is None and self._has_more(reader):
            self._pump(b"")

    def _has_more(self, reader: RequestReader) -> bool:
        return bool(self._queue or self._early or reader.waiting or self._upgrade_refused)

    def _dispatch(self, events: list[RequestEvent]) -> None:
        for index, event in enumerate(events):
            # With a body that came in several reads, the next head may stand in the same ones.
            if event.__class__ is EndOfMessage and index + 1 < len(events):
                events, self._queue = events[: index + 1], events[index + 1 :]
                break
        exchange = self.exchange
        if exchange is not None:
            exchange.receive(events)
            return
        head = events[0]
        if head.__class__ is RequestHead:
            own_host = self.edge.own_host
            if own_host is not None and head.upgrade and own_host.upgrade(self, head):
                return
            self.phase = Phase.EXCHANGE
            exchange = self.exchange = Exchange(self, head)
            exchange.begin(events)
        elif head.__class__ is Malformed:
            self.refuse(head)

    @property
    def may_keep_alive(self) -> bool:
        """Whether the request in hand lets the connection go on after its answer."""
        # The reader's word is about the last head it has read, which may be the next one's.
        return bool(self._queue) or (self.reader is not None and self.reader.keep_alive)

    # -- writing ------------------------------------------------------------------------------

    def write(self, buffers: Sequence[Buffer], size: int) -> None:
        """Send soon: at the end of this turn of the loop at the latest."""
        if not size:
            return
        if not self._out_size:
            self.edge.flush_later(self)
        self._out.extend(buffers)
        self._out_size += size
        if self._out_size >= _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Send what waits. Buffers must not change afterwards."""
        out = self._out
        transport = self.transport
        if not out or transport is None:
            return
        if transport.is_closing():
            out.clear()
            self._out_size = 0
            return
        if len(out) == 1:
            transport.write(out[0])
        elif self._out_size < _JOIN_BELOW:
            transport.write(b"".join(out))
        else:
            transport.writelines(out)
        out.clear()
        self._out_size = 0
        if self.exchange is not None and not self.writing_paused:
            self.exchange.written()

    @property
    def is_secure(self) -> bool:
        """Whether the visitor's TLS ends here."""
        return self.arrival is not None and self.arrival.secure

    # -- from one request to the next ---------------------------------------------------------

    def exchange_over(self, *, keep_alive: bool) -> None:
        """The answer is complete and has left this process."""
        exchange, self.exchange = self.exchange, None
        reader = self.reader
        assert exchange is not None
        assert reader is not None
        if not keep_alive or (self._eof and not self._has_more(reader)):
            clean = exchange.request_done and self._reading and not self._has_more(reader)
            self._end(linger=not clean)
            return
        self.phase = Phase.IDLE
        self.deadline = 0.0
        self._upgrade_refused = bool(exchange.head.upgrade)
        if self._pumping:
            return
        if self._has_more(reader):
            self._pump(b"")
        elif not self._reading:
            self.update_reading()

    def bytes_over(self, *, close: bool) -> None:
        """After a change of protocol: the tunnel's side has ended."""
        if self.transport is None or self.phase == Phase.OVER:
            return
        if close or not self.transport.can_write_eof():
            self.phase = Phase.OVER
            self.transport.close()
        else:
            self.transport.write_eof()

    def change_protocol(self) -> bytes:
        """From now on there are only bytes; answers those that came early."""
        assert self.reader is not None
        self.phase = Phase.BYTES
        rest = self.reader.take_rest() + self._early
        self.reader = None
        self._early = b""
        return rest

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        """Give the transport away, with what was read ahead. The arrival goes with it."""
        assert self.transport is not None
        assert self.reader is not None
        rest = self.reader.take_rest() + self._early
        self.edge.sweeper.discard(self)
        transport, self.transport = self.transport, None
        self.phase = Phase.OVER
        self.arrival = None
        return transport, rest

    def refuse(self, malformed: Malformed) -> None:
        """Answer what is no request, and end the connection."""
        self.last_words(answer_malformed(malformed))

    def last_words(self, own: Answer) -> None:
        """Answer once more, then end the connection."""
        if self._eof or self.transport is None:
            self._abort()
            return
        raw = answer_bytes(own)
        self.write((raw,), len(raw))
        self.flush()
        self._end(linger=True)

    def _end(self, *, linger: bool) -> None:
        """Close once everything written is out; with ``linger`` only after the visitor, or soon:
        closing on unread bytes sends a RST, which may overtake the answer."""
        transport = self.transport
        if transport is None:
            return
        self.flush()
        if not linger or self._eof:
            self.phase = Phase.OVER
            transport.close()
            return
        self.phase = Phase.LINGER
        self.deadline = self.edge.loop.time() + self.edge.limits.linger_seconds
        self._early = b""
        if transport.can_write_eof():
            transport.write_eof()
        self.update_reading()

    def close(self) -> None:
        """End an idle connection at once, a busy one after its answer."""
        if self.exchange is None and self.phase <= Phase.HEAD and self.transport is not None:
            self.phase = Phase.OVER
            self.transport.close()

    def break_off(self, *, bare: bool) -> None:
        """End at once, so that what was sent cannot look complete. ``bare``: nothing but the end
        of the connection would have said so, hence a RST."""
        if self.transport is None:
            return
        self.phase = Phase.OVER
        if bare:
            reset(self.transport)
        else:
            self.flush()
            self.transport.abort()

    def _abort(self) -> None:
        self.phase = Phase.OVER
        if self.transport is not None:
            self.transport.abort()

    def _depart(self) -> None:
        """The visitor is gone: tell the tunnel, and drop what is left."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.visitor_left()
        self._abort()

    # -- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Called about once a second."""
        exchange = self.exchange
        if exchange is not None:
            unheard = not self._reading or self._eof  # the transport would not tell us
            blocked = self.writing_paused and self.phase == Phase.EXCHANGE
            if (unheard and self._has_departed(exchange)) or (blocked and self._is_stalled(now)):
                self._depart()
            else:
                exchange.tick(now, reading=self._reading)
        elif not self.deadline:
            self.deadline = now + self.edge.limits.idle_seconds
        elif now >= self.deadline:
            if self.phase == Phase.HEAD:
                self.last_words(answer("request-late"))
            elif self.phase == Phase.IDLE:
                self.close()
            else:
                self._abort()

    def _has_departed(self, exchange: Exchange) -> bool:
        assert self.transport is not None
        departure = look_for_departure(self.transport)
        if departure == Departure.HALF_CLOSED:
            return not exchange.request_done or exchange.fin_is_departure
        return departure == Departure.GONE

    def _is_stalled(self, now: float) -> bool:
        assert self.transport is not None
        if self._stall is None:
            self._stall = StallWatch(self.edge.limits)
        return self._stall.is_stalled(now, progress(self.transport))
