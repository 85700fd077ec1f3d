"""The door for byte streams behind a foreign engine: one connection, one stream to the gatehouse.

What ``gatehouse.reader_socket`` is for HTTP. Bytes, FIN and reset are passed on as what they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from underpass.gatehouse.hangup import HangupWatch
from underpass.gatehouse.ports import Carrier, Exchange, Peer
from underpass.gatehouse.reset import reset
from underpass.http.messages import Headers, ResponseHead

WINDOW: Final = 256 * 1024
# Bytes taken and not yet drained before reading is paused; the gatehouse keeps no more early ones.

WRITE_BYTES: Final = 64 * 1024
# What may wait in a visitor's transport before the origin is no longer read.


class ByteDoor:
    """Makes a ``ByteSocket`` for each connection, and ends them all. A protocol factory."""

    def __init__(
        self,
        carrier: Carrier,
        peer: Peer,
        *,
        peer_of: Callable[[asyncio.BaseTransport], Peer] | None = None,
        tls: bool = False,
    ) -> None:
        """``peer_of`` says who calls where that can be believed; else everybody is ``peer``.
        ``tls``: what comes is visitors' own TLS, for the gatehouse to end."""
        self.open_stream = carrier.open_tls if tls else carrier.open_bytes
        self.peer = peer
        self.peer_of = peer_of
        self.watch = HangupWatch(asyncio.get_running_loop())
        self.sockets: set[ByteSocket] = set()

    def __call__(self) -> ByteSocket:
        return ByteSocket(self)

    def close(self) -> None:
        """Cut every visitor off."""
        for each in list(self.sockets):
            each.abort("engine-closed")
        self.watch.close()


class ByteSocket(asyncio.Protocol):
    """One visitor's connection: ``ports.Visitor`` to the gatehouse."""

    def __init__(self, door: ByteDoor) -> None:
        self.fd = -1
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._undrained = 0
        self._paused = False
        self._blocked = False
        self._early = bytearray()
        self._sent_end = False
        self._got_end = False

    # ports.Visitor

    @property
    def room(self) -> int:
        """See ``Visitor``."""
        return 0 if self._blocked or self._transport is None else 4 * WRITE_BYTES

    def send_data(self, data: bytes) -> bool:
        """See ``Visitor``."""
        if data and self._transport is not None and not self._sent_end:
            self._transport.write(data)
        return not self._blocked

    def send_end(self) -> None:
        """See ``Visitor``."""
        transport, self._sent_end = self._transport, True
        if transport is None or transport.is_closing():
            return
        if self._got_end:
            transport.close()
        elif transport.can_write_eof():
            transport.write_eof()

    def abort(self, code: str) -> None:
        """See ``Visitor``: a reset, so that what was sent cannot look complete."""
        if self._transport is not None:
            reset(self._transport)

    def stop(self, code: str) -> None:
        """See ``Visitor``: TCP has no word for it."""

    def drained(self, count: int) -> None:
        """See ``Visitor``."""
        self._undrained -= count
        self._update_reading()

    def send_informational(self, head: ResponseHead) -> None:
        """Never called for byte streams."""

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """Never called for byte streams."""

    def send_trailers(self, trailers: Headers) -> None:
        """Never called for byte streams."""

    # Watched

    def hangup_seen(self, *, reset: bool) -> None:
        """The visitor has gone while we did not read; a mere FIN waits its turn."""
        if reset:
            self._leave("visitor-left")
            if self._transport is not None:
                self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BYTES, low=WRITE_BYTES // 4)
        self.fd = transport.get_extra_info("socket").fileno()
        self._door.sockets.add(self)
        peer_of = self._door.peer_of
        peer = self._door.peer if peer_of is None else peer_of(transport)
        self._exchange = self._door.open_stream(self, peer)

    def data_received(self, data: bytes) -> None:
        if self._paused:  # a loop may deliver what it had read already
            self._early += data
            return
        self._undrained += len(data)
        if self._exchange is not None:
            self._exchange.data_received(data)
        self._update_reading()

    def eof_received(self) -> bool:
        self._got_end = True
        if self._exchange is not None and not self._early:
            self._exchange.end_received()
        if self._sent_end and self._transport is not None:
            self._transport.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.fd = -1
        self._door.watch.discard(self)
        self._door.sockets.discard(self)
        if exc is not None or not (self._got_end and self._sent_end):
            self._leave("visitor-left")

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._exchange is not None:
            self._exchange.resume_writing()

    def _leave(self, code: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.visitor_left(code)

    def _update_reading(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not self._paused and self._undrained >= WINDOW:
            self._paused = True
            transport.pause_reading()
            self._door.watch.add(self)
        elif self._paused and self._undrained <= WINDOW // 2:
            self._paused = False
            self._door.watch.discard(self)
            transport.resume_reading()
            if self._early:
                early, self._early = bytes(self._early), bytearray()
                self.data_received(early)
                if self._got_end and self._exchange is not None:
                    self._exchange.end_received()
