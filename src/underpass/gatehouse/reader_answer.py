"""The visitor's side of one exchange on a connection of our own: answers become bytes at once.

Used where no relay edge stands between: behind a foreign engine, and where the visitor's TLS ends
here. So this is also the one place that keeps silent event streams alive there (DESIGN.md).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from underpass.http.body import BodyFraming, Buffers
from underpass.http.errors import BodyLengthWrong, HeadInvalid
from underpass.http.messages import Headers, RequestHead, ResponseHead
from underpass.http.sse import AFTER_SILENCE, COMMENT, EventBoundary, may_comment
from underpass.http.writer import response_bytes, response_framing

if TYPE_CHECKING:
    from underpass.gatehouse.reader import VisitorConnection


class Answer:
    """Implements ``ports.Visitor`` for one request of a ``VisitorConnection``."""

    __slots__ = (
        "_boundary",
        "_connection",
        "_framing",
        "_last_sent",
        "_timer",
        "closes",
        "head",
        "head_sent",
        "is_over",
        "is_stopped",
        "is_upgraded",
    )

    def __init__(self, connection: VisitorConnection, head: RequestHead) -> None:
        self._connection = connection
        self._framing: BodyFraming | None = None
        self._boundary: EventBoundary | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_sent = 0.0
        self.head = head
        """The request that this answers."""
        self.head_sent = False
        self.is_over = False
        """Complete, or broken off."""
        self.is_stopped = False
        """The rest of the request is not wanted."""
        self.is_upgraded = False
        """101 was sent: bytes follow."""
        self.closes = False
        """Only the end of the connection ends this answer."""

    def send_informational(self, head: ResponseHead) -> None:
        """Pass a 1xx head on at once."""
        if not self.is_over and not self.head.http10:
            self._connection.write(response_bytes(head, method=self.head.method))

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """Write the head, and with ``end`` the whole answer in one write."""
        if self.is_over:
            return
        method, http10 = self.head.method, self.head.http10
        connection = self._connection
        try:
            framing = response_framing(head, method=method, http10=http10)
            self.closes = framing.closes or not connection.keep_alive
            data = response_bytes(head, method=method, http10=http10, keep_alive=not self.closes)
            buffers: Buffers = [data, *framing.data(body)] if body else [data]
            if end:
                buffers = [*buffers, *framing.end()]
        except (HeadInvalid, BodyLengthWrong):
            self.abort("origin-malformed")
            return
        self.head_sent = True
        self._framing = framing
        connection.write(b"".join(buffers))
        if head.status == 101:
            self.is_upgraded = True
            connection.upgraded()
        elif self.head.upgrade:
            connection.upgrade_refused()
        if end:
            self._finish()
        elif connection.heartbeats and may_comment(head):
            self._boundary = EventBoundary()
            self._last_sent = connection.loop.time()
            self._timer = connection.loop.call_later(AFTER_SILENCE, self._keep_alive)

    def send_data(self, data: bytes) -> bool:
        """Write a part of the body at once."""
        connection = self._connection
        if self.is_over or not data:
            return connection.room > 0
        if self.is_upgraded:
            connection.write(data)
            return connection.room > 0
        assert self._framing is not None
        try:
            buffers = self._framing.data(data)
        except BodyLengthWrong:
            self.abort("origin-malformed")
            return True
        connection.write(buffers[0] if len(buffers) == 1 else b"".join(buffers))  # type: ignore[arg-type]
        if self._boundary is not None:
            self._boundary.receive_data(data)
            self._last_sent = connection.loop.time()
        return connection.room > 0

    def send_trailers(self, trailers: Headers) -> None:
        """Write the end with trailers, where the framing can carry them."""
        if not self.is_over:
            self._end(trailers)

    def send_end(self) -> None:
        """The answer is complete."""
        if self.is_over:
            return
        if self.is_upgraded:
            self.is_over = True
            self._connection.write_end()
            return
        self._end(None)

    def abort(self, code: str) -> None:
        """Break the connection, so that the answer cannot look complete."""
        if not self.is_over:
            self._stop_timer()
            self.is_over = True
            self._connection.abort()

    def stop(self, code: str) -> None:
        """Take no more of the request."""
        self.is_stopped = True
        if self.is_over:
            self._connection.answer_over()

    def drained(self, count: int) -> None:
        """The visitor may send ``count`` bytes more."""
        self._connection.drained(count)

    @property
    def room(self) -> int:
        """What the connection takes now."""
        return self._connection.room

    def visitor_gone(self) -> None:
        """Nothing can be written any more."""
        self._stop_timer()
        self.is_over = True

    def _end(self, trailers: Headers | None) -> None:
        assert self._framing is not None
        try:
            end = self._framing.end(trailers)
        except (BodyLengthWrong, HeadInvalid):
            self.abort("origin-malformed")
            return
        if end:
            self._connection.write(b"".join(end))
        self._finish()

    def _finish(self) -> None:
        self._stop_timer()
        self.is_over = True
        self._connection.answer_over()

    def _keep_alive(self) -> None:
        """Put a comment into a silent event stream, between two events only."""
        loop = self._connection.loop
        assert self._boundary is not None
        assert self._framing is not None
        due = self._last_sent + AFTER_SILENCE
        if loop.time() >= due:
            if self._boundary.is_between_events and self._connection.room > 0:
                self._connection.write(b"".join(self._framing.data(COMMENT)))
            self._last_sent = loop.time()
            due = self._last_sent + AFTER_SILENCE
        self._timer = loop.call_at(due, self._keep_alive)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
