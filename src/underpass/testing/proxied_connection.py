"""One connection through the fault proxy: two sockets, and a delay line for each direction."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import cast

from underpass.testing.delay_line import DelayLine, Mark, Path

CUT_GRACE = 1.0
"""Seconds that the last bytes before a cut have for reaching the receiver's kernel."""


class ProxiedConnection:
    """Carries bytes between a client and upstream under the conditions of two paths."""

    def __init__(
        self,
        up: Path,
        down: Path,
        is_frozen: Callable[[], bool],
        on_passed: Callable[[], None],
    ) -> None:
        self.is_frozen = is_frozen
        self.on_passed = on_passed
        self.client = _Leg(self)
        self.upstream = _Leg(self)
        round_trip = up.latency + down.latency
        self.client.flow = _Flow(self, self.client, self.upstream, up)
        # The kernel has accepted at once; on a real path the client would not know yet.
        self.client.flow.line.opens_at = asyncio.get_running_loop().time() + round_trip
        self.upstream.flow = _Flow(self, self.upstream, self.client, down)
        self.on_finished: Callable[[ProxiedConnection], None] | None = None
        self.finished = asyncio.Event()
        """Set when neither side stands any more."""

    def pump(self) -> None:
        """Delivers what is due and reads where there is room; call when conditions change."""
        self.client.flow.pump()
        self.upstream.flow.pump()

    def sever(self, leg: _Leg) -> None:
        """Resets one side (RST). The other side is not told."""
        leg.is_severed = True
        if leg.transport is not None:
            _reset(leg.transport)
        elif leg is self.upstream:
            self.leg_lost(leg)
        # else it was accepted in this turn of the loop: it is reset as soon as it has a transport

    def cut(self) -> None:
        """Resets both sides."""
        self.sever(self.client)
        self.sever(self.upstream)

    def leg_lost(self, leg: _Leg) -> None:
        leg.is_lost = True
        leg.flow.pump()
        if self.client.is_lost and self.upstream.is_lost and not self.finished.is_set():
            self.finished.set()
            for flow in (self.client.flow, self.upstream.flow):
                flow.stop()
            if self.on_finished is not None:
                self.on_finished(self)

    def close_if_ended(self) -> None:
        """Closes both sides once each has been told that the other has ended."""
        if self.client.flow.has_ended and self.upstream.flow.has_ended:
            for leg in (self.client, self.upstream):
                if leg.transport is not None:
                    leg.transport.close()


class _Leg(asyncio.Protocol):
    """One socket of a connection."""

    flow: _Flow
    """Where the bytes that arrive here go."""

    def __init__(self, connection: ProxiedConnection) -> None:
        self.connection = connection
        self.transport: asyncio.Transport | None = None
        self.is_severed = False
        self.is_lost = False
        self.is_clogged = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        if self.is_severed:
            _reset(self.transport)
            return
        # In the next turn: a transport is not ready for pause_reading in connection_made.
        asyncio.get_running_loop().call_soon(self.connection.pump)

    def data_received(self, data: bytes) -> None:
        self.flow.take(bytes(data))

    def eof_received(self) -> bool:
        self.flow.take(Mark.END)
        return True

    def pause_writing(self) -> None:
        self.is_clogged = True

    def resume_writing(self) -> None:
        self.is_clogged = False
        self.connection.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self.is_severed:
            self.flow.take(Mark.RESET)
        self.connection.leg_lost(self)


class _Flow:
    """One direction of one connection."""

    def __init__(self, connection: ProxiedConnection, source: _Leg, sink: _Leg, path: Path) -> None:
        self.connection = connection
        self.source = source
        self.sink = sink
        self.path = path
        self.line = DelayLine(path)
        self.is_told = False
        """Whether the source has said that nothing more comes."""
        self.has_ended = False
        """Whether the sink has been told so."""
        self._is_cut = False
        self._is_paused = False
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    def take(self, item: bytes | Mark) -> None:
        if self.is_told and item is Mark.END:
            return
        self.is_told = self.is_told or isinstance(item, Mark)
        self.line.put(item, asyncio.get_running_loop().time())
        self.pump()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pump(self) -> None:
        if self.connection.finished.is_set() or self._is_cut:
            return
        self.stop()
        loop = asyncio.get_running_loop()
        now = loop.time()
        sliced = False
        while not sliced and self._can_deliver():
            # Half a millisecond early rather than a turn late: uvloop's timers tick in ms.
            item = self.line.pop_due(now + 0.0005)
            if item is None:
                break
            sliced = self._deliver(item)
        self._steer_reading(now)
        if not self._can_deliver():
            return
        deadline = self.line.next_deadline()
        if sliced:
            self._timer = loop.call_soon(self.pump)
        elif deadline is not None:
            self._timer = loop.call_at(deadline, self.pump)
        elif self._is_paused and self.path.bandwidth and not self.path.black_hole:
            # Others fill the bottleneck: look again when it has had time to drain.
            self._timer = loop.call_later(self.path.queue / self.path.bandwidth / 4, self.pump)

    def _can_deliver(self) -> bool:
        sink = self.sink
        return not (
            self.connection.is_frozen()
            or sink.transport is None
            or sink.is_severed
            or sink.is_lost
            or sink.is_clogged
            or self.has_ended
            or self._is_cut
        )

    def _deliver(self, item: bytes | Mark) -> bool:
        """Hands one item to the sink; whether the next one has to wait for the next turn."""
        transport = self.sink.transport
        assert transport is not None
        if isinstance(item, Mark):
            self.has_ended = True
            if item is Mark.RESET:
                self.connection.sever(self.sink)
            elif not transport.is_closing():
                transport.write_eof()
            self.connection.close_if_ended()
            return False
        data = item
        limit = min(self.path.slice or len(data), self._allowance(len(data)))
        if limit < len(data):
            self.line.put_back(data[limit:])
            data = data[:limit]
        if data:
            transport.write(data)
            self.path.passed += len(data)
            self.connection.on_passed()
        if self.path.cut_after is not None:
            self.path.cut_after -= len(data)
            if self.path.cut_after == 0:
                self.path.cut_after = None
                self._is_cut = True
                self._cut_when_sent(transport, asyncio.get_running_loop().time() + CUT_GRACE)
        return self.path.slice is not None

    def _allowance(self, size: int) -> int:
        return size if self.path.cut_after is None else min(size, self.path.cut_after)

    def _cut_when_sent(self, transport: asyncio.Transport, deadline: float) -> None:
        """Resets once the kernel has passed the last byte on: a reset would overtake it."""
        loop = asyncio.get_running_loop()
        if self.connection.finished.is_set():
            return
        if _unsent(transport) == 0 or loop.time() >= deadline:
            self.connection.cut()
        else:
            self._timer = loop.call_later(0.001, self._cut_when_sent, transport, deadline)

    def _steer_reading(self, now: float) -> None:
        """Reads from the source exactly while somebody would take its bytes."""
        transport = self.source.transport
        if transport is None or self.is_told or transport.is_closing():
            return
        should_pause = (
            self.connection.is_frozen()
            or self._is_cut
            or self.sink.is_severed
            or self.sink.is_clogged
            or self.line.is_full(now)
        )
        if should_pause and not self._is_paused:
            transport.pause_reading()
        elif self._is_paused and not should_pause:
            transport.resume_reading()
        self._is_paused = should_pause


def _reset(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


def _unsent(transport: asyncio.Transport) -> int:
    """Bytes written to the transport that the peer's kernel has not acknowledged."""
    if transport.is_closing():
        return 0
    waiting = transport.get_write_buffer_size()
    if waiting or sys.platform != "linux":
        return waiting
    answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int.from_bytes(answer, sys.byteorder)
