"""Reading the answers of one connection: which bytes are heads, body, rest."""

from __future__ import annotations

from typing import Final

from underpass.http.chunks import ChunkReader
from underpass.http.head import HeadCollector, Limits, Refusal
from underpass.http.messages import EndOfMessage, Malformed, ResponseEvent, ResponseHead
from underpass.http.response_head import Delimiter, parse_response_head

_DEFAULT: Final = Limits()

_HEAD: Final = 0
_SIZED: Final = 1
_CHUNKED: Final = 2
_TO_EOF: Final = 3
_CHANGING: Final = 4
_OVER: Final = 5


class ResponseReader:
    """Reads the answer to one request (call ``start`` for the next one on the connection).

    Informational heads come as ``ResponseHead`` events without an end. After 101 the reader stops
    and ``take_rest`` gives the bytes that follow.
    """

    __slots__ = ("_chunks", "_heads", "_held", "_left", "_limits", "_method", "_step", "keep_alive")

    def __init__(self, method: bytes = b"GET", limits: Limits = _DEFAULT) -> None:
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
                at = self._chunks.receive_data(data, at, events)
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
