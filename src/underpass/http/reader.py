"""Strict reading of HTTP/1.1 and 1.0: bytes in, structured events out, no I/O.

One reader serves one direction of one connection. Events come in order: a head, parts of its body,
``EndOfMessage``; ``Malformed`` ends everything. Memory is bounded by ``Limits`` whatever arrives.
"""

from __future__ import annotations

from typing import Final

from underpass.http.chunks import ChunkReader
from underpass.http.head import HeadCollector, Limits, Refusal
from underpass.http.messages import (
    EndOfMessage,
    Malformed,
    RequestEvent,
    RequestHead,
    ResponseEvent,
    ResponseHead,
)
from underpass.http.request_head import parse_request_head
from underpass.http.response_head import Delimiter, parse_response_head

__all__ = [
    "EndOfMessage",
    "Limits",
    "Malformed",
    "RequestEvent",
    "RequestHead",
    "RequestReader",
    "ResponseEvent",
    "ResponseHead",
    "ResponseReader",
]

DEFAULT_LIMITS: Final = Limits()

_HEAD: Final = 0
_SIZED: Final = 1
_CHUNKED: Final = 2
_TO_EOF: Final = 3
_CHANGING: Final = 4
_OVER: Final = 5


class RequestReader:
    """Reads the requests of one visitor's connection.

    Pipelined requests give several heads in one call; the caller queues them and pauses reading
    (or sets ``Limits.pipeline``). After a request with ``upgrade`` nothing more is parsed: once
    it has ended, the caller takes the rest as bytes (101) or calls ``refuse_upgrade``.
    """

    __slots__ = (
        "_changing",
        "_chunks",
        "_ended",
        "_heads",
        "_held",
        "_left",
        "_limits",
        "_step",
        "keep_alive",
    )

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._heads = HeadCollector(limits, skip_blank=True)
        self._step = _HEAD
        self._left = 0
        self._chunks: ChunkReader | None = None
        self._changing = False
        self._ended = False
        self._held = b""
        self.keep_alive = True
        """After a head: whether the connection may carry another request. When False, bytes
        after that request's end are ignored."""

    @property
    def in_message(self) -> bool:
        """Whether a message has begun that is not over (a silent peer is then late, not idle)."""
        if self._step == _HEAD:
            return not self._heads.is_empty
        return self._step in (_SIZED, _CHUNKED)

    @property
    def waiting(self) -> bool:
        """Whether ``Limits.pipeline`` held bytes back: ``receive_data(b"")`` goes on with them."""
        return self._step == _HEAD and bool(self._held)

    def receive_data(self, data: bytes) -> list[RequestEvent]:
        """Take bytes from the visitor. After ``Malformed`` everything is ignored."""
        events: list[RequestEvent] = []
        if self._held and self._step == _HEAD:
            data = self._held + data
            self._held = b""
        try:
            self._read(data, events)
        except Refusal as refusal:
            self._fail(refusal.malformed, events)
        if self._ended:
            events += self.receive_eof()
        return events

    def receive_eof(self) -> list[RequestEvent]:
        """The visitor sends no more: ``Malformed`` if a message was cut off, else nothing. Bytes
        that are held back are still read, as if the end came after them."""
        self._ended = True
        if self._step == _CHANGING or self.waiting:
            return []
        cut_off = self.in_message
        self._step = _OVER
        self.keep_alive = False
        if cut_off:
            return [Malformed(400, "request-incomplete", "the connection ended within a message")]
        return []

    def take_rest(self) -> bytes:
        """The bytes that came after a request to upgrade; the reader's work is done."""
        rest, self._held = self._held, b""
        self._step = _OVER
        return rest

    def refuse_upgrade(self) -> list[RequestEvent]:
        """The answer was not 101: go on with plain requests. May be called before the request's
        body has ended. Answers what was held back."""
        self._changing = False
        if self._step != _CHANGING:
            return []
        self._step = _HEAD if self.keep_alive else _OVER
        return self.receive_data(b"")

    def _read(self, data: bytes, events: list[RequestEvent]) -> None:
        at = 0
        heads = 0
        most = self._limits.pipeline
        while at < len(data):
            if self._step == _HEAD:
                if heads == most:
                    self._held = data[at:]
                    return
                found = self._heads.collect(data, at)
                if found is None:
                    return
                raw, at, data = found
                head, self.keep_alive = parse_request_head(raw, self._limits)
                heads += 1
                events.append(head)
                self._changing = bool(head.upgrade)
                if head.body == 0:
                    self._end(events, EndOfMessage([]))
                elif head.body > 0:
                    self._left = head.body
                    self._step = _SIZED
                else:
                    self._chunks = ChunkReader(self._limits)
                    self._step = _CHUNKED
            elif self._step == _SIZED:
                part = data[at : at + self._left]
                at += len(part)
                self._left -= len(part)
                events.append(part)
                if not self._left:
                    self._end(events, EndOfMessage([]))
            elif self._step == _CHUNKED:
                assert self._chunks is not None
                at = _read_chunks(self._chunks, data, at, events)
                if self._chunks.done:
                    self._end(events, EndOfMessage(self._chunks.trailers))
            elif self._step == _CHANGING:
                if len(self._held) > self._limits.held_bytes:
                    raise Refusal(400, "upgrade-impatient", "too many bytes before the answer")
                self._held += data[at:]
                return
            else:
                return

    def _end(self, events: list[RequestEvent], end: EndOfMessage) -> None:
        events.append(end)
        self._chunks = None
        if self._changing:
            self._step = _CHANGING
        else:
            self._step = _HEAD if self.keep_alive else _OVER

    def _fail(self, malformed: Malformed, events: list[RequestEvent]) -> None:
        self._step = _OVER
        self._chunks = None
        self._held = b""
        self.keep_alive = False
        events.append(malformed)


class ResponseReader:
    """Reads the answer to one request (call ``start`` for the next one on the connection).

    Informational heads come as ``ResponseHead`` events without an end. After 101 the reader stops
    and ``take_rest`` gives the bytes that follow.
    """

    __slots__ = ("_chunks", "_heads", "_held", "_left", "_limits", "_method", "_step", "keep_alive")

    def __init__(self, method: bytes = b"GET", limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._heads = HeadCollector(limits, skip_blank=False)
        self._chunks: ChunkReader | None = None
        self._held = b""
        self._left = 0
        self.start(method)

    def start(self, method: bytes) -> None:
        """Expect the answer to a ``method`` request; only after the one before has ended with
        ``keep_alive`` still True."""
        self._method = method
        self._step = _HEAD
        self.keep_alive = False
        """After ``EndOfMessage``: whether the connection may carry another request. Read it when
        the connection is taken again, not before: bytes that belong to no answer make it False."""

    @property
    def in_message(self) -> bool:
        """Whether an answer is awaited or has begun and is not over."""
        return self._step < _CHANGING

    def receive_data(self, data: bytes) -> list[ResponseEvent]:
        """Take bytes from the origin. Bytes after the answer's end are ignored and cost the
        connection its reuse."""
        events: list[ResponseEvent] = []
        try:
            self._read(data, events)
        except Refusal as refusal:
            reason = refusal.malformed.reason
            self._fail(Malformed(502, "origin-malformed", reason), events)
        return events

    def receive_eof(self) -> list[ResponseEvent]:
        """The origin sends no more: ends a body that only the close could end."""
        events: list[ResponseEvent] = []
        if self._step == _TO_EOF:
            self._step = _OVER
            events.append(EndOfMessage([]))
        elif self._step < _CHANGING:
            reason = "the connection ended within an answer"
            self._fail(Malformed(502, "origin-incomplete", reason), events)
        self.keep_alive = False
        return events

    def take_rest(self) -> bytes:
        """The bytes that came after 101; the reader's work is done."""
        rest, self._held = self._held, b""
        self._step = _OVER
        return rest

    def _read(self, data: bytes, events: list[ResponseEvent]) -> None:
        at = 0
        while at < len(data):
            if self._step == _HEAD:
                found = self._heads.collect(data, at)
                if found is None:
                    return
                raw, at, data = found
                head, delimiter, self.keep_alive = parse_response_head(raw, self._method)
                events.append(head)
                if head.status == 101:
                    self._step = _CHANGING
                    self.keep_alive = False
                elif head.status >= 200:
                    self._begin_body(head, delimiter, events)
            elif self._step == _SIZED:
                part = data[at : at + self._left]
                at += len(part)
                self._left -= len(part)
                events.append(part)
                if not self._left:
                    self._end(events, EndOfMessage([]))
            elif self._step == _CHUNKED:
                assert self._chunks is not None
                at = _read_chunks(self._chunks, data, at, events)
                if self._chunks.done:
                    self._end(events, EndOfMessage(self._chunks.trailers))
            elif self._step == _TO_EOF:
                events.append(data[at:])
                return
            elif self._step == _CHANGING:
                if len(self._held) > self._limits.held_bytes:
                    raise Refusal(502, "origin-malformed", "too many bytes after 101")
                self._held += data[at:]
                return
            else:
                self.keep_alive = False
                return

    def _begin_body(self, head: ResponseHead, delimiter: int, events: list[ResponseEvent]) -> None:
        if delimiter == Delimiter.NONE:
            self._end(events, EndOfMessage([]))
        elif delimiter == Delimiter.LENGTH:
            self._left = head.body
            self._step = _SIZED
        elif delimiter == Delimiter.CHUNKED:
            self._chunks = ChunkReader(self._limits)
            self._step = _CHUNKED
        else:
            self._step = _TO_EOF

    def _end(self, events: list[ResponseEvent], end: EndOfMessage) -> None:
        events.append(end)
        self._chunks = None
        self._step = _OVER

    def _fail(self, malformed: Malformed, events: list[ResponseEvent]) -> None:
        self._step = _OVER
        self._chunks = None
        self._held = b""
        self.keep_alive = False
        events.append(malformed)


def _read_chunks(
    chunks: ChunkReader, data: bytes, at: int, events: list[RequestEvent] | list[ResponseEvent]
) -> int:
    """Read on in a chunked body; what one call brings becomes one part."""
    parts: list[bytes] = []
    try:
        return chunks.receive_data(data, at, parts)
    finally:
        if parts:
            events.append(parts[0] if len(parts) == 1 else b"".join(parts))
