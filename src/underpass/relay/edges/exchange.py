"""One request of a visitor and its answer, between the visitor's connection and a stream.

The exchange owns its stream: it opens it (waiting a little for a connector if there is none),
passes the request on as it comes and the answer back as it comes, and sees to it that whoever is
gone is missed on the other side at once. It never builds anything from the request's target.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from underpass.http.answers import NOT_JSONRPC, Answer, answer, answer_malformed
from underpass.http.errors import BodyLengthWrong, HeadInvalid
from underpass.http.jsonrpc import IdScanner, carries_jsonrpc
from underpass.http.messages import (
    EndOfMessage,
    Headers,
    Malformed,
    RequestEvent,
    RequestHead,
    ResponseHead,
    decode_response,
    encode_trailers,
)
from underpass.model.errors import UnderpassError
from underpass.relay.edges.errors import ConnectorAway
from underpass.relay.edges.outgoing import outgoing_head
from underpass.relay.edges.own_answers import answer_bytes
from underpass.relay.edges.pace import BodyPace
from underpass.relay.edges.ports import EdgeEvent, Exposure, Lane, Stream
from underpass.relay.edges.reply import Reply
from underpass.relay.protocol.errors import LaneAway
from underpass.relay.protocol.frames import BLOCK_LIMIT

if TYPE_CHECKING:
    from underpass.relay.edges.visitor import VisitorConnection

_EARLY_BODY: Final = 16 * 1024
"""Body that is taken while no stream is there yet: many clients send head and body apart, and the
JSON-RPC id for our own answer stands in the body."""


_TRAILERS_TOO_LARGE: Final = Malformed(431, "head-too-large", "no lane would carry the trailers")


class Exchange:
    """See the module. Its stream's owner."""

    __slots__ = (
        "_answer_done",
        "_changed",
        "_connection",
        "_exposure",
        "_hold",
        "_over",
        "_owed",
        "_pace",
        "_parts",
        "_pressed",
        "_received",
        "_reply",
        "_request_sent",
        "_scanner",
        "_stream",
        "_trailers",
        "_unwanted",
        "head",
        "request_done",
    )

    def __init__(self, connection: VisitorConnection, head: RequestHead) -> None:
        self.head = head
        self.request_done = False
        """The whole request has come, and no more than the request."""
        self._connection = connection
        self._exposure: Exposure | None = None
        self._stream: Stream | None = None
        self._hold: asyncio.Task[None] | None = None
        self._over = False
        # the request
        self._parts: list[bytes] = []
        self._received = 0
        self._trailers = b""
        self._request_sent = False
        """The end of the request is with the stream."""
        self._pressed = False
        """The stream takes no more at the moment."""
        self._unwanted = False
        """Nobody takes the rest of the request."""
        self._scanner: IdScanner | None = None
        # the answer
        self._reply = Reply(head)
        self._changed = False
        """The protocol was changed: bytes both ways."""
        self._owed = 0
        """Bytes of answer that have not left this process."""
        self._answer_done = False
        self._pace: BodyPace | None = None

    # -- the request --------------------------------------------------------------------------

    def begin(self, events: list[RequestEvent]) -> None:
        """Find the tunnel and open a stream; ``events`` start with our head."""
        last = events[-1]
        self.request_done = last.__class__ is EndOfMessage
        connection = self._connection
        head = self.head
        exposure = connection.edge.find(connection, head)
        if exposure.__class__ is str:
            self._respond(answer(exposure))
            return
        self._exposure = exposure  # type: ignore[assignment]
        assert self._exposure is not None
        if self._exposure.kind == "mcp" and carries_jsonrpc(head):
            self._scanner = IdScanner()
        if len(events) > 1:
            self._take(events, 1)
        if self._over or self._answer_done:  # the body's framing is broken
            return
        lane = self._exposure.lane_nowait()
        if lane is not None:
            self._open(lane)
        else:
            self._hold = connection.edge.spawn(self._wait_for_lane(self._exposure))

    def receive(self, events: list[RequestEvent]) -> None:
        """Take what came of our request after its first part."""
        self._take(events, 0)

    def _take(self, events: list[RequestEvent], start: int) -> None:
        for event in events[start:]:
            kind = event.__class__
            if kind is bytes:
                self._body_received(event)  # type: ignore[arg-type]
            elif kind is EndOfMessage:
                self._request_ended(event.trailers)  # type: ignore[union-attr]
            elif kind is Malformed:
                self._malformed(event)  # type: ignore[arg-type]
                return

    def _request_ended(self, trailers: Headers) -> None:
        self.request_done = True
        if trailers:
            self._trailers = encode_trailers(trailers)
            if len(self._trailers) > BLOCK_LIMIT:
                self._malformed(_TRAILERS_TOO_LARGE)
                return
        if self._stream is not None and not self._unwanted:
            self._send_end()

    def _body_received(self, part: bytes) -> None:
        self._received += len(part)
        if self._scanner is not None:
            self._scanner.receive_data(part)
        if self._unwanted:
            return
        if self._stream is None:
            self._parts.append(part)
        elif not self._stream.send_data(part):
            self._pressed = True

    def _send_end(self) -> None:
        stream = self._stream
        if (
            stream is None
            or self._request_sent
            or (self.head.upgrade and not self._reply.has_begun)
        ):
            return  # after an upgrade, only the answer says whether the request ends here
        self._request_sent = True
        if self._trailers:
            stream.send_trailers(self._trailers)
        stream.send_end()

    @property
    def appetite(self) -> int:
        """Bytes that may be read from the visitor now."""
        most = self._connection.edge.limits.read_size
        if self.request_done or self._unwanted:
            return most
        if self._stream is None:
            return max(0, _EARLY_BODY - self._received)
        return 0 if self._pressed else min(most, self._stream.room)

    @property
    def fin_is_departure(self) -> bool:
        """Whether a visitor that sends FIN before its answer has left, rather than only ended
        its side (plain HTTP/1.1 allows that; asyncio's TLS cannot do it)."""
        kind = self._exposure.kind if self._exposure is not None else ""
        if self._connection.is_secure or self._is_websocket or kind == "mcp":
            return True
        return any(
            name.lower() == b"accept" and b"text/event-stream" in value.lower()
            for name, value in self.head.headers
        )

    # -- the stream ---------------------------------------------------------------------------

    async def _wait_for_lane(self, exposure: Exposure) -> None:
        try:
            lane = await exposure.lane_within(self._connection.edge.limits.hold_seconds)
        except ConnectorAway:
            self._hold = None
            exposure.note(EdgeEvent.AWAY)
            self._respond(answer("connector-away"))
            return
        self._hold = None
        if not self._over and not self._answer_done:
            self._open(lane)
            self._connection.update_reading()

    def _open(self, lane: Lane) -> None:
        connection = self._connection
        exposure, arrival, head = self._exposure, connection.arrival, self.head
        assert exposure is not None
        assert arrival is not None
        if not exposure.take_stream():
            exposure.note(EdgeEvent.REFUSED)
            self._respond(answer("over-limit"))
            return
        encoded = outgoing_head(head, arrival)
        if len(encoded) > BLOCK_LIMIT:  # our stamps made it so: no lane would carry it
            exposure.give_stream()
            exposure.note(EdgeEvent.REFUSED)
            self._respond(answer("head-too-large"))
            return
        whole = self.request_done and not self._trailers and not head.upgrade
        parts, self._parts = self._parts, []
        body = b"" if not whole or not parts else parts[0] if len(parts) == 1 else b"".join(parts)
        try:
            stream = lane.open(
                "http",
                peer=arrival.peer,
                secure=arrival.secure,
                head=encoded,
                body=body,
                end=whole,
                owner=self,
            )
        except UnderpassError as error:
            exposure.give_stream()
            exposure.note(EdgeEvent.REFUSED)
            away = isinstance(error, LaneAway)
            self._respond(answer("connector-away" if away else "over-limit"))
            return
        self._stream = stream
        self._request_sent = whole
        exposure.note(EdgeEvent.REQUEST)
        if whole:
            return
        for part in parts:
            stream.send_data(part)
        if self.request_done:
            self._send_end()
        elif not stream.send_data(b""):  # asks to be told when there is room
            self._pressed = True

    def resume_writing(self) -> None:
        """See ``StreamOwner``."""
        self._pressed = False
        self._connection.update_reading()

    def stopped(self, code: str) -> None:
        """See ``StreamOwner``."""
        self._unwanted = True
        self._pressed = False
        if not self._over:
            self._connection.update_reading()

    def aborted(self, code: str) -> None:
        """See ``StreamOwner``."""
        if self._over or self._answer_done:
            return
        found = answer(code)
        # Whatever the far end says: an absence is never a 4xx.
        self._break(found if found.status >= 500 else answer("unavailable"))

    # -- the answer ---------------------------------------------------------------------------

    def head_received(self, head: bytes) -> None:
        """See ``StreamOwner``."""
        if self._over or self._answer_done:
            return
        try:
            decoded = decode_response(head)
            if decoded.status >= 200:
                self._begin_answer(decoded)
            elif decoded.status == 101:
                self._change_protocol(decoded)
            else:
                raw = self._reply.inform(decoded)
                self._connection.write((raw,), len(raw))
        except (msgspec.DecodeError, HeadInvalid):
            self._break(answer("origin-malformed"))

    def _begin_answer(self, head: ResponseHead) -> None:
        raw = self._reply.begin(head, keep_alive=self._may_keep_alive)
        if self.head.upgrade and self.request_done:
            self._send_end()
        self._connection.write((raw,), len(raw))

    @property
    def _may_keep_alive(self) -> bool:
        connection = self._connection
        return self.request_done and connection.may_keep_alive and not connection.edge.draining

    def _change_protocol(self, head: ResponseHead) -> None:
        raw = self._reply.change(head)
        self._changed = True
        self.request_done = False
        self._connection.write((raw,), len(raw))
        early = self._connection.change_protocol()
        if early:
            self.bytes_received(early)
        else:
            self._connection.update_reading()

    def data_received(self, data: bytes | memoryview) -> None:
        """See ``StreamOwner``."""
        if self._over or self._answer_done:
            return
        part = bytes(data)  # transports may keep it for longer than this call; bytes are not copied
        try:
            buffers = self._reply.data(part)
        except (BodyLengthWrong, HeadInvalid):
            self._break(answer("origin-malformed"))
            return
        self._owed += len(part)
        self._connection.write(buffers, len(part))

    def trailers_received(self, trailers: bytes) -> None:
        """See ``StreamOwner``."""
        if self._over or self._answer_done:
            return
        try:
            self._reply.trail(trailers)
        except msgspec.DecodeError:
            self._break(answer("origin-malformed"))

    def end_received(self) -> None:
        """See ``StreamOwner``."""
        if self._over or self._answer_done:
            return
        try:
            buffers = self._reply.end()
        except (BodyLengthWrong, HeadInvalid):
            self._break(answer("origin-malformed"))
            return
        if buffers:
            self._connection.write(buffers, 1)
        self._end_answer()

    def _end_answer(self) -> None:
        self._answer_done = True
        self._connection.flush()
        if not self._connection.writing_paused:
            self.written()

    def written(self) -> None:
        """All that was written has left this process. Idempotent."""
        if self._owed and self._stream is not None:
            owed, self._owed = self._owed, 0
            self._stream.drained(owed)
        if not self._answer_done or self._over:
            return
        if self._changed:
            self._connection.bytes_over(close=self._request_sent or self._is_websocket)
            return
        self._over = True
        self._release()
        if not self.request_done and self._stream is not None:
            self._stream.abort("answered")
        self._connection.exchange_over(keep_alive=self._reply.keep_alive)

    def _respond(self, own: Answer) -> None:
        """Answer ourselves, before any head."""
        connection = self._connection
        self._unwanted = True
        self._parts.clear()
        self._reply.keep_alive = self._may_keep_alive and not own.closes
        raw = answer_bytes(
            own,
            method=self.head.method,
            http10=self.head.http10,
            keep_alive=self._reply.keep_alive,
            jsonrpc_id=self._scanner.id if self._scanner is not None else NOT_JSONRPC,
        )
        connection.write((raw,), len(raw))
        self._end_answer()

    def _break(self, own: Answer) -> None:
        """The tunnel's side is broken: answer, or if it is too late for that, break off."""
        if self._exposure is not None:
            self._exposure.note(EdgeEvent.BROKEN)
        self._give_up_stream("broken")
        self._respond_or_break_off(own)

    def _malformed(self, malformed: Malformed) -> None:
        """The visitor's request broke after its head."""
        self.request_done = False
        self._give_up_stream(malformed.code)
        self._respond_or_break_off(answer_malformed(malformed))

    def _respond_or_break_off(self, own: Answer) -> None:
        if not self._reply.has_begun:
            self._respond(own)
            return
        self._over = True
        self._release()
        self._connection.break_off(bare=self._reply.is_bare)

    # -- bytes after a change of protocol -----------------------------------------------------

    @property
    def _is_websocket(self) -> bool:
        return self.head.upgrade.lower() == b"websocket"

    def bytes_received(self, data: bytes) -> None:
        """Pass the visitor's bytes on."""
        assert self._stream is not None
        if not self._unwanted and not self._stream.send_data(data):
            self._pressed = True
        self._connection.update_reading()

    def half_close(self) -> bool:
        """The visitor sends no more bytes. True: keep the connection for what is still to come."""
        self._request_sent = True
        if self._stream is not None:
            self._stream.send_end()
        return not (self._answer_done or self._is_websocket or self._connection.is_secure)

    # -- ends ---------------------------------------------------------------------------------

    def visitor_left(self) -> None:
        """The visitor is gone: nobody wants the answer. Idempotent."""
        if self._over:
            return
        self._over = True
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.cancel()
        if self._exposure is not None and not self._answer_done:
            self._exposure.note(EdgeEvent.DEPARTED)
        self._give_up_stream("visitor-left")
        self._release()

    def _give_up_stream(self, code: str) -> None:
        stream = self._stream
        if stream is not None:
            if not self._request_sent:
                stream.abort(code)
            stream.stop(code)

    def _release(self) -> None:
        if self._stream is not None and self._exposure is not None:
            self._exposure.give_stream()
            self._exposure = None

    def tick(self, now: float, *, reading: bool) -> None:
        """Called about once a second; ``reading``: the visitor could have sent something."""
        connection, reply = self._connection, self._reply
        if self._answer_done:
            return
        if reply.has_begun:
            if not connection.writing_paused:
                comment = reply.comment(now, connection.edge.limits.heartbeat_seconds)
                connection.write(comment, len(comment))
        elif not self.request_done:
            if self.head.expect_continue and not reply.continued and not self._received:
                return  # it waits for us
            if self._pace is None:
                self._pace = BodyPace(connection.edge.limits)
            self._pace.received = self._received
            if self._pace.is_late(now, reading=reading):
                self._give_up_stream("request-late")
                self._respond(answer("request-late"))
