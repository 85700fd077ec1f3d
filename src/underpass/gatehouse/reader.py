"""From one visitor's bytes to exchanges, and back: the gatehouse's own strict HTTP/1.1 door.

It stands behind foreign engines and where a visitor's TLS ends here; for our relay's HTTP tunnels
the edge has done this work. Knows no transport: whoever has one feeds ``receive_data`` and offers
an ``Outlet``. One exchange at a time; pipelined requests wait, with reading paused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from underpass.gatehouse.ports import Carrier, Exchange, Peer
from underpass.gatehouse.reader_answer import Answer
from underpass.http.answers import answer, answer_malformed, render
from underpass.http.messages import (
    EndOfMessage,
    Malformed,
    RequestEvent,
    RequestHead,
    ResponseHead,
    lookup,
)
from underpass.http.reader import Limits, RequestReader

WINDOW: Final = 64 * 1024
# Body bytes taken and not yet drained before reading is paused: what a lane's stream gets too.

MAX_WAITING: Final = 16
# Pipelined requests that may wait (DEPENDENCIES, Traps).

HEAD_SECONDS: Final = 10.0
# T15: a head that takes longer is an attack. Counted from its first byte, or the connection's.

IDLE_SECONDS: Final = 75.0
# Between requests; nginx's and Chromium's habit.

STALL_SECONDS: Final = 30.0
# A body from which nothing comes although we read.

TICK_SECONDS: Final = 5.0
# How late a deadline may be noticed when a shorter one took the place of a longer.

LINGER_SECONDS: Final = 1.0
# After an answer to half a request: time for the visitor to read it before a reset destroys it.

_LIMITS: Final = Limits(pipeline=MAX_WAITING)


class Outlet(Protocol):
    """Where bytes for the visitor go."""

    @property
    def room(self) -> int:
        """What can be taken now; 0 until ``VisitorConnection.writable``."""

    def write(self, data: bytes) -> None:
        """Write at once."""

    def write_end(self) -> None:
        """Say that no more will be written."""

    def pause_reading(self) -> None:
        """Feed nothing more."""

    def resume_reading(self) -> None:
        """Feed on."""

    def close(self) -> None:
        """Close after what was written."""

    def abort(self) -> None:
        """Close so that what was written cannot look complete."""


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """How one door treats its visitors."""

    heartbeats: bool
    """Put comments into silent event streams: only where no edge behind us does."""
    fin_departs: bool
    """FIN before the answer is a departure (TLS, mcp tunnels); else perhaps a half-close."""


class VisitorConnection:
    """All requests of one visitor's connection."""

    def __init__(
        self,
        carrier: Carrier,
        outlet: Outlet,
        peer: Peer,
        settings: DoorSettings,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.loop = loop
        self.heartbeats = settings.heartbeats
        self._carrier = carrier
        self._outlet = outlet
        self._peer = peer
        self._fin_departs = settings.fin_departs
        self._reader = RequestReader(_LIMITS)
        self._waiting: deque[RequestEvent] = deque()
        self._exchange: Exchange | None = None
        self._answer: Answer | None = None
        self._request_done = True
        self._undrained = 0
        self._paused = False
        self._eof = False
        self._over = False
        self._lingers = False
        self._pumping = False
        self._active = loop.time()
        """When something last came, or an answer ended."""
        self._is_fresh = True
        """No request has come yet."""
        self._timer = loop.call_later(HEAD_SECONDS, self._tick)

    # What the transport tells.

    def receive_data(self, data: bytes) -> None:
        """Bytes from the visitor."""
        if self._over or self._lingers:
            return
        answer = self._answer
        if answer is not None or not self._reader.in_message:
            self._active = self.loop.time()  # but a head's time counts from its first byte
        if answer is not None and answer.is_upgraded:
            self._take(data)
            return
        self._waiting += self._reader.receive_data(data)
        self._pump()

    def receive_eof(self) -> None:
        """The visitor sends no more."""
        if self._over or self._eof:
            return
        self._eof = True
        answer, exchange = self._answer, self._exchange
        if answer is None or exchange is None:
            if self._waiting or self._reader.in_message:
                self._waiting += self._reader.receive_eof()
                self._pump()
            self._close_if_spent()
        elif answer.is_upgraded:
            exchange.end_received()
            self._close_if_spent()
        elif self._fin_departs or not self._request_done or _awaits_events(answer.head):
            self.lost()
            self._outlet.abort()

    def lost(self) -> None:
        """The connection is gone, or as good as. Idempotent."""
        if self._over:
            return
        self._end()
        if self._answer is not None:
            self._answer.visitor_gone()
        if self._exchange is not None:
            self._exchange.visitor_left("visitor-left")
        self._exchange = self._answer = None

    def writable(self) -> None:
        """The outlet has room again."""
        if self._exchange is not None:
            self._exchange.resume_writing()

    # What the answer in progress tells.

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow the one being answered."""
        return self._reader.keep_alive and not self._eof

    @property
    def room(self) -> int:
        """What the outlet takes now."""
        return self._outlet.room

    def write(self, data: bytes) -> None:
        """Bytes for the visitor."""
        if not self._over:
            self._outlet.write(data)

    def write_end(self) -> None:
        """The origin's bytes after an upgrade have ended."""
        if not self._over:
            self._outlet.write_end()
            self._close_if_spent()

    def abort(self) -> None:
        """The answer broke."""
        if not self._over:
            self._end()
            self._exchange = self._answer = None
            self._outlet.abort()

    def drained(self, count: int) -> None:
        """Request bytes have left for the origin."""
        self._undrained -= count
        self._adjust_reading()

    def upgraded(self) -> None:
        """101 was sent: what came meanwhile, and all that follows, is bytes."""
        rest = self._reader.take_rest()
        if rest:
            self._take(rest)

    def upgrade_refused(self) -> None:
        """An answer other than 101: requests go on."""
        self._waiting += self._reader.refuse_upgrade()

    def answer_over(self) -> None:
        """The answer is complete: the next request's turn, or the end."""
        answer = self._answer
        if self._over or answer is None or not answer.is_over:
            return
        if answer.is_upgraded:
            self._shut()
            return
        if not self._request_done:
            if answer.is_stopped:
                self._linger()
            return
        self._active = self.loop.time()
        closes, self._answer, self._exchange = answer.closes, None, None
        self._undrained = 0
        if closes:
            self._shut()
        else:
            self._pump()

    # Inside.

    def _pump(self) -> None:
        """Hand over events until an answer must be awaited. Events may end exchanges, and begin
        the next, within this very call."""
        if self._pumping:
            return
        self._pumping = True
        waiting = self._waiting
        while not self._over and not self._lingers:
            if not waiting:
                if self._exchange is None and self._reader.waiting:
                    waiting += self._reader.receive_data(b"")
                    continue
                break
            event = waiting[0]
            kind = type(event)
            if kind is RequestHead:
                if self._exchange is not None or self._answer is not None:
                    break
                waiting.popleft()
                self._begin(event)  # type: ignore[arg-type]
            elif kind is Malformed:
                if self._exchange is not None and self._request_done:
                    break  # the answer before it goes first
                waiting.popleft()
                self._refuse(event)  # type: ignore[arg-type]
            else:
                waiting.popleft()
                if kind is EndOfMessage:
                    self._end_request(event)  # type: ignore[arg-type]
                else:
                    self._take(event)  # type: ignore[arg-type]
        self._pumping = False
        self._adjust_reading()
        self._close_if_spent()

    def _begin(self, head: RequestHead) -> None:
        self._request_done = self._is_fresh = False
        answer = self._answer = Answer(self, head)
        exchange = self._carrier.open_http(answer, head, self._peer)
        if self._answer is answer:
            self._exchange = exchange

    def _take(self, data: bytes) -> None:
        exchange, answer = self._exchange, self._answer
        if answer is not None and answer.is_upgraded and exchange is None:
            return
        if exchange is not None and answer is not None and not answer.is_stopped:
            self._undrained += len(data)
            exchange.data_received(data)
            self._adjust_reading()

    def _end_request(self, end: EndOfMessage) -> None:
        self._request_done = True
        exchange, answer = self._exchange, self._answer
        if answer is None:
            return
        if exchange is not None and not answer.head.upgrade:
            if end.trailers:
                exchange.trailers_received(end.trailers)
            exchange.end_received()
        self.answer_over()

    def _refuse(self, malformed: Malformed) -> None:
        exchange, begun = self._exchange, self._answer
        self._exchange = self._answer = None
        if begun is not None:
            begun.visitor_gone()
        if exchange is not None:
            exchange.visitor_left(malformed.code)
        if begun is not None and begun.head_sent:
            self.abort()
            return
        head, body = render(answer_malformed(malformed))
        self._send_last(Answer(self, _NOBODYS_REQUEST), head, body)

    def _send_last(self, last: Answer, head: ResponseHead, body: bytes) -> None:
        self._answer = last
        self._request_done = False
        self._reader.receive_eof()
        last.send_head(head, body, end=True)
        last.stop("request-malformed")

    def _adjust_reading(self) -> None:
        if self._over:
            return
        full = self._undrained >= WINDOW or (
            self._exchange is not None and any(type(e) is RequestHead for e in self._waiting)
        )
        if full and not self._paused:
            self._paused = True
            self._outlet.pause_reading()
        elif self._paused and not full and self._undrained * 2 < WINDOW:
            self._paused = False
            self._active = self.loop.time()
            self._outlet.resume_reading()

    def _close_if_spent(self) -> None:
        answer = self._answer
        if self._over or not self._eof:
            return
        upgraded_over = answer is not None and answer.is_upgraded and answer.is_over
        if upgraded_over or (answer is None and not self._waiting):
            self._shut()

    def _linger(self) -> None:
        """The visitor still sends what nobody wants: let it read the answer, then close."""
        self._lingers = True
        self._outlet.write_end()
        self._timer.cancel()
        if self._eof:
            self._shut()
        else:
            self._timer = self.loop.call_later(LINGER_SECONDS, self._shut)

    def _shut(self) -> None:
        if not self._over:
            self._end()
            self._outlet.close()

    def _end(self) -> None:
        self._over = True
        self._timer.cancel()
        self._waiting.clear()

    def _tick(self) -> None:
        """Ask whether the visitor is late; the deadline depends on what is awaited of it."""
        now = self.loop.time()
        due = self._active + self._patience()
        if now < due:
            self._timer = self.loop.call_at(min(due, now + TICK_SECONDS), self._tick)
        elif self._answer is not None and self._request_done:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._tick)  # it waits for us
        elif self._answer is not None:
            self._active = now
            self._stalled()
        elif self._reader.in_message:
            head, body = render(answer("request-late"))
            self._send_last(Answer(self, _NOBODYS_REQUEST), head, body)
        else:
            self._shut()

    def _patience(self) -> float:
        if self._answer is not None:
            return STALL_SECONDS
        return HEAD_SECONDS if self._is_fresh or self._reader.in_message else IDLE_SECONDS

    def _stalled(self) -> None:
        if self._paused:  # we do not read: it cannot send
            self._timer = self.loop.call_later(STALL_SECONDS, self._tick)
        else:
            self.lost()
            self._outlet.abort()


_NOBODYS_REQUEST: Final = RequestHead(b"GET", b"/", b"nobody", [])
"""What an answer to bytes that are no request answers."""


def _awaits_events(head: RequestHead) -> bool:
    """Whether the visitor wants an event stream: then it has no reason to half-close."""
    return b"text/event-stream" in (lookup(head.headers, b"accept") or b"").lower()
