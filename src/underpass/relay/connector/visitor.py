"""A lane's stream as the gatehouse's visitor: hands each exchange over, both ways."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from underpass.gatehouse.ports import Carrier, Exchange, Peer
from underpass.http.messages import (
    Headers,
    ResponseHead,
    decode_request,
    decode_trailers,
    encode_head,
    encode_trailers,
)
from underpass.relay.links.owner import StreamOwner
from underpass.relay.protocol.stream import Stream

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handover:
    """Gives every stream that the relay opens to the gatehouse."""

    carrier: Carrier

    def opened(self, stream: Stream) -> StreamOwner:
        """The owner of a new stream; the gatehouse hears of it at once, or with its head."""
        visitor = StreamVisitor(stream, self.carrier)
        begin = _BEGIN.get(stream.kind)
        if begin is not None:
            visitor.exchange = begin(self.carrier, visitor)
        elif stream.kind != "http":
            stream.abort("unknown-stream-kind")
            stream.stop("unknown-stream-kind")
        return visitor


class StreamVisitor:
    """Both faces of one stream: ``Visitor`` to the gatehouse, ``StreamOwner`` to the lane."""

    __slots__ = ("_carrier", "drained", "exchange", "send_data", "stream")

    def __init__(self, stream: Stream, carrier: Carrier) -> None:
        self.stream = stream
        self.exchange: Exchange | None = None
        self._carrier = carrier
        # Two calls that every part of a body takes mean the same on both faces.
        self.send_data = stream.send_data
        self.drained = stream.drained

    @property
    def peer(self) -> Peer:
        """Who calls, as our own edge saw it."""
        address, port = self.stream.peer
        return Peer(address, port, self.stream.secure)

    # -- from the lane ------------------------------------------------------------------------

    def head_received(self, head: bytes) -> None:
        """The request begins."""
        if self.exchange is not None:
            self._broken("a second head")
            return
        try:
            request = decode_request(head)
        except msgspec.DecodeError:
            self._broken("a head that is no record")
            return
        self.exchange = self._carrier.open_http(self, request, self.peer)

    def data_received(self, data: bytes | memoryview) -> None:
        """A part of the body."""
        if self.exchange is None:
            self._broken("a body without a head")
        else:
            self.exchange.data_received(data)

    def trailers_received(self, trailers: bytes) -> None:
        """The trailer block."""
        if self.exchange is None:
            self._broken("trailers without a head")
            return
        try:
            fields = decode_trailers(trailers)
        except msgspec.DecodeError:
            self._broken("trailers that are no record")
            return
        self.exchange.trailers_received(fields)

    def end_received(self) -> None:
        """The request is complete."""
        if self.exchange is not None:
            self.exchange.end_received()
        else:
            self._broken("an end without a head")

    def aborted(self, code: str) -> None:
        """The visitor is gone, or the lane is."""
        if self.exchange is not None:
            self.exchange.visitor_left(code)
        self.stream.abort(code)

    def stopped(self, code: str) -> None:
        """The visitor takes no more of the answer."""
        if self.exchange is not None:
            self.exchange.answer_unwanted(code)

    def resume_writing(self) -> None:
        """There is room again."""
        if self.exchange is not None:
            self.exchange.resume_writing()

    def _broken(self, what: str) -> None:
        # our own edge never does this: the relay is not to be believed (DESIGN.md, gatehouse)
        logger.warning("stream refused: the relay sent %s", what)
        if self.exchange is not None:
            self.exchange.visitor_left("protocol-violation")
        self.abort("protocol-violation")
        self.stop("protocol-violation")

    # -- from the gatehouse -------------------------------------------------------------------

    def send_informational(self, head: ResponseHead) -> None:
        """Pass a 1xx head on at once."""
        self.stream.send_informational(encode_head(head))

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """Send the one response head; with ``end``, ``body`` is the whole body."""
        self.stream.send_head(encode_head(head), body, end)

    def send_trailers(self, trailers: Headers) -> None:
        """Send trailer fields."""
        self.stream.send_trailers(encode_trailers(trailers))

    def send_end(self) -> None:
        """The answer is complete."""
        self.stream.send_end()

    def abort(self, code: str) -> None:
        """Break the answer off."""
        self.stream.abort(code)

    def stop(self, code: str) -> None:
        """Take no more of the request."""
        self.stream.stop(code)

    @property
    def room(self) -> int:
        """Bytes of answer that can be taken now."""
        return self.stream.room


_BEGIN: dict[str, Callable[[Carrier, StreamVisitor], Exchange]] = {
    "tcp": lambda carrier, visitor: carrier.open_bytes(visitor, visitor.peer),
    "tls": lambda carrier, visitor: carrier.open_tls(visitor, visitor.peer),
    "reach": lambda carrier, visitor: carrier.open_reach(
        visitor, visitor.peer, visitor.stream.token
    ),
}
