"""Reading the requests of one connection: which bytes are head, body, rest."""

from __future__ import annotations

from typing import Final

from underpass.http.chunks import ChunkReader
from underpass.http.head import HeadCollector, Limits, Refusal
from underpass.http.messages import EndOfMessage, Malformed, RequestEvent
from underpass.http.request_head import parse_request_head

_DEFAULT: Final = Limits()

_HEAD: Final = 0
_SIZED: Final = 1
_CHUNKED: Final = 2
_CHANGING: Final = 3
_OVER: Final = 4


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

    def __init__(self, limits: Limits = _DEFAULT) -> None:
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
                at = self._chunks.receive_data(data, at, events)
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
