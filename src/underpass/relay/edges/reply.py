"""The answer on its way to the visitor: encoded heads and parts in, bytes to write out.

Pure: knows how an answer is framed for this one request, that it is one answer and a whole one,
and where in an event stream a comment may stand. Raises ``HeadInvalid`` or ``BodyLengthWrong`` when
the far end breaks the rules; the reply cannot be completed then.
"""

from __future__ import annotations

from underpass.http.body import BodyFraming, Buffers, CloseDelimitedBody
from underpass.http.errors import HeadInvalid
from underpass.http.messages import Headers, RequestHead, ResponseHead, decode_trailers
from underpass.http.sse import COMMENT, EventBoundary, may_comment
from underpass.http.writer import response_bytes, response_framing


class Reply:
    """The answer to one request."""

    __slots__ = (
        "_boundary",
        "_framing",
        "_quiet_since",
        "_request",
        "_trailers",
        "continued",
        "keep_alive",
    )

    def __init__(self, request: RequestHead) -> None:
        self._request = request
        self._framing: BodyFraming | None = None
        self._trailers: Headers | None = None
        self._boundary: EventBoundary | None = None
        self._quiet_since = 0.0
        self.keep_alive = False
        """Whether the visitor was told that its connection goes on."""
        self.continued = False
        """Whether the visitor was told to send its body."""

    @property
    def has_begun(self) -> bool:
        """The final head is written: it is too late for another answer."""
        return self._framing is not None

    @property
    def is_bare(self) -> bool:
        """Nothing but the end of the connection ends this answer."""
        return self._framing is not None and self._framing.closes

    def inform(self, head: ResponseHead) -> bytes:
        """An informational head, or nothing if this visitor must not see it."""
        if self.has_begun:
            raise HeadInvalid("it comes after the final one")
        if self._request.http10 or (head.status == 100 and not self._request.expect_continue):
            return b""
        self.continued = self.continued or head.status == 100
        return response_bytes(head, method=self._request.method)

    def begin(self, head: ResponseHead, *, keep_alive: bool) -> bytes:
        """The final head. ``keep_alive``: the connection could go on."""
        if self.has_begun:
            raise HeadInvalid("it is the second one")
        request = self._request
        method, http10 = request.method, request.http10
        framing = response_framing(head, method=method, http10=http10)
        keep_alive = keep_alive and not framing.closes
        raw = response_bytes(head, method=method, http10=http10, keep_alive=keep_alive)
        self._framing = framing
        self.keep_alive = keep_alive
        if may_comment(head) and method != b"HEAD":
            self._boundary = EventBoundary()
        return raw

    def change(self, head: ResponseHead) -> bytes:
        """A 101: from now on there are only bytes."""
        if self.has_begun or not self._request.upgrade:
            raise HeadInvalid("it changes the protocol unasked")
        raw = response_bytes(head, method=self._request.method)
        self._framing = CloseDelimitedBody()
        return raw

    def data(self, part: bytes) -> Buffers:
        """A part of the body."""
        if self._framing is None:
            raise HeadInvalid("there is none")
        if self._boundary is not None:
            self._boundary.receive_data(part)
            self._quiet_since = 0.0
        return self._framing.data(part)

    def trail(self, trailers: bytes) -> None:
        """Trailers, still encoded, to be written with the end; raises ``msgspec.DecodeError``."""
        self._trailers = decode_trailers(trailers)

    def end(self) -> Buffers:
        """The end of the body."""
        if self._framing is None:
            raise HeadInvalid("there is none")
        return self._framing.end(self._trailers)

    def comment(self, now: float, after: float) -> Buffers:
        """A comment line, if this is an event stream that has been silent for ``after`` seconds
        and stands between two events; else nothing. To be asked about once a second."""
        boundary = self._boundary
        if boundary is None or self._framing is None:
            return ()
        if not self._quiet_since:
            self._quiet_since = now
        if now - self._quiet_since < after or not boundary.is_between_events:
            return ()
        self._quiet_since = now
        return self._framing.data(COMMENT)
