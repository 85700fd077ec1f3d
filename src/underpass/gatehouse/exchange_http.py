"""One visitor's HTTP exchange and its connection to the origin.

Structured parts go in and bytes come out to the origin; its bytes come back as parts, at once and
unbuffered. A request is written to one connection, once: when that fails before an answer's head,
the visitor gets 503; after it, the answer is broken off so that it cannot look complete. What the
visitor may do was decided before (``admission``); what our own answers say stands in
``http.answers``.
"""

from __future__ import annotations

from typing import Final

from underpass.gatehouse.books import ExchangeRecord
from underpass.gatehouse.endings import Ending
from underpass.gatehouse.exchange_bytes import ByteExchange
from underpass.gatehouse.house import Dial, House
from underpass.gatehouse.observed import note_denied
from underpass.gatehouse.origin.connection import OriginConnection
from underpass.gatehouse.own_answers import OwnAnswer, own_answer, render_own
from underpass.gatehouse.ports import Peer, Visitor
from underpass.gatehouse.tls_sniff import SPEAKS_TLS, TlsSniff
from underpass.http.body import BodyFraming
from underpass.http.errors import BodyLengthWrong, HeadInvalid
from underpass.http.fields import strip_ours
from underpass.http.messages import (
    NO_BODY,
    EndOfMessage,
    Headers,
    Malformed,
    RequestHead,
    ResponseHead,
)
from underpass.http.reader import ResponseReader
from underpass.http.writer import request_framing

MAX_EARLY_BYTES: Final = 1024 * 1024
# What may come before the origin answers the dial. A lane's credit is smaller; a local door's
# window may be passed by a read or two of uvloop's (256,000 bytes each).

JSONRPC_BYTES: Final = 64 * 1024
# How much of a JSON-RPC body is looked at for its id (DESIGN.md, Answers).

_TLS_ALERT: Final = b"\x15\x03"
# A TLS record of type alert: what a TLS server answers to a plain request.


class HttpExchange:
    """Both faces of one HTTP exchange: ``ports.Exchange`` and ``OriginUser``."""

    __slots__ = (
        "_bytes",
        "_connection",
        "_dial",
        "_early",
        "_early_end",
        "_first_byte",
        "_first_turn",
        "_framing",
        "_head",
        "_head_sent",
        "_house",
        "_noted",
        "_out",
        "_over",
        "_owed",
        "_reader",
        "_report",
        "_request_over",
        "_started",
        "_status",
        "_undrained",
        "_visitor",
        "ending",
    )

    def __init__(
        self, house: House, visitor: Visitor, head: RequestHead, *, reported: bool = True
    ) -> None:
        self._house = house
        self._visitor = visitor
        self._head = head
        self._started = house.loop.time()
        self._first_byte: float | None = None
        self._status = 0
        self._connection: OriginConnection | None = None
        self._dial: Dial | None = None
        self._bytes: ByteExchange | None = None
        self._out: list[bytes] = []
        """What waits for a connection, or for the end of the loop's turn."""
        self._owed = 0
        """Body bytes in ``_out``."""
        self._undrained = 0
        self._framing: BodyFraming | None = None
        self._noted: list[bytes] | None = None
        """The beginning of a JSON-RPC body, until the answer's head."""
        self._early = bytearray()
        self._early_end = False
        self._report = house.on_exchange if reported else None
        self._first_turn = True
        self._request_over = head.body == NO_BODY
        self._head_sent = False
        self._over = False
        self.ending: Ending | None = None
        """Of what let the visitor in, if it has one."""
        house.books.open_http += 1

    # How an exchange begins: one of these two.

    def begin(self, request: bytes, *, is_jsonrpc: bool) -> None:
        """Send ``request`` (the head as the origin shall see it) on a kept or a new connection."""
        house = self._house
        head = self._head
        self._out.append(request)
        if head.body != NO_BODY:
            self._framing = request_framing(head)
            if is_jsonrpc:
                self._noted = []
        connection = house.pool.take_nowait(self)
        if connection is None:
            self._dial = house.pool.dial(self)
        else:
            self.origin_ready(connection)

    def begin_answer(self, answer: OwnAnswer) -> None:
        """Answer ourselves; the origin hears nothing."""
        if answer.gate is not None:
            note_denied(self._visitor, answer.gate)
        self._answer(answer)

    # Endable

    def admission_over(self, code: str) -> None:
        """See ``Endable``."""
        if self._bytes is not None:
            self._bytes.admission_over(code)
        elif self._head_sent or self._over:
            self._break(code)
        else:
            if self._dial is not None:
                self._dial.cancel()
            self._answer(own_answer(code))

    # The visitor's side (ports.Exchange).

    def data_received(self, data: bytes | memoryview) -> None:
        if self._bytes is not None:
            self._bytes.data_received(data)
            return
        if self._over:
            return
        framing = self._framing
        if framing is None:
            self._hold_for_upgrade(data)
            return
        if self._request_over:
            # Behind the last chunk the origin would take it for the next request.
            self._break("body-length-wrong")
            return
        part = bytes(data)
        size = len(part)
        try:
            buffers = framing.data(part)
        except BodyLengthWrong:
            self._break("body-length-wrong")
            return
        if self._noted is not None:
            self._note(part)
        self._undrained += size
        self._owed += size
        self._out += buffers  # type: ignore[arg-type]  # bytes in, bytes out
        if self._connection is None:
            if self._owed > MAX_EARLY_BYTES:
                self._break("over-limit")
        elif not self._first_turn:
            self._flush()

    def trailers_received(self, trailers: Headers) -> None:
        """They end here: the gates have judged the head, and servers take trailers for fields of
        it (uvicorn with httptools), or even of somebody's next request (aiohttp 3.14). A recipient
        may discard them (RFC 9110 6.5.1)."""

    def end_received(self) -> None:
        if self._bytes is not None:
            self._bytes.end_received()
            return
        if self._over or self._request_over:
            self._early_end = bool(self._head.upgrade)
            return
        assert self._framing is not None
        try:
            self._out += self._framing.end()  # type: ignore[arg-type]
        except (BodyLengthWrong, HeadInvalid) as error:
            self._break(error.code)
            return
        self._request_over = True
        if self._connection is not None:
            self._flush()

    def visitor_left(self, code: str) -> None:
        if self._bytes is not None:
            self._bytes.visitor_left(code)
        else:
            self._break(code)

    def answer_unwanted(self, code: str) -> None:
        if self._bytes is not None:
            self._bytes.answer_unwanted(code)
        else:
            self._break(code)

    def resume_writing(self) -> None:
        if self._bytes is not None:
            self._bytes.resume_writing()
        elif self._connection is not None:
            self._connection.resume()

    # The origin's side (OriginUser).

    @property
    def room(self) -> int:
        return self._visitor.room

    def origin_ready(self, connection: OriginConnection) -> None:
        self._dial = None
        if self._over:
            connection.abort()
            return
        self._connection = connection
        reader = connection.reader
        if reader is None:
            reader = connection.reader = ResponseReader(self._head.method)
        else:
            reader.start(self._head.method)
        self._reader = reader
        if self._request_over or self._head.expect_continue or self._owed:
            self._flush()
        else:
            # The body's first part is most likely in the visitor's next call: one write for both.
            self._house.loop.call_soon(self._end_first_turn)

    def origin_refused(self, code: str) -> None:
        if not self._over:
            self._dial = None
            self._house.origin_is_plain = False
            self._house.books.origin_failures += 1
            self._answer(own_answer(code))

    def origin_waits(self) -> None:
        connection = self._connection
        if connection is not None and self._visitor.send_data(b""):
            connection.resume()

    def origin_data(self, data: memoryview) -> None:
        received = bytes(data)
        head: ResponseHead | None = None
        body = b""
        end: EndOfMessage | None = None
        for event in self._reader.receive_data(received):
            kind = type(event)
            if kind is bytes:
                body = event if not body else body + event  # type: ignore[assignment,operator]
            elif kind is ResponseHead:
                if event.status < 200:  # type: ignore[union-attr]
                    if not self._informational(event):  # type: ignore[arg-type]
                        return
                else:
                    head = event  # type: ignore[assignment]
            elif kind is EndOfMessage:
                end = event  # type: ignore[assignment]
            else:
                self._malformed(event, received, head, body)  # type: ignore[arg-type]
                return
        self._pass_on(head, body, end)

    def origin_ended(self) -> None:
        for event in self._reader.receive_eof():
            if type(event) is EndOfMessage:
                self._pass_on(None, b"", event)
            else:
                self.origin_lost(None)

    def origin_lost(self, error: Exception | None) -> None:
        if self._over:
            return
        self._house.books.origin_failures += 1
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        if self._head_sent:
            self._break("origin-broke")
        elif self._house.origin_is_plain:
            self._answer(own_answer("origin-away"))
        else:
            # It has never spoken HTTP to us: perhaps it wants TLS. The request is not sent again.
            sniff = TlsSniff(self._house, self._sniffed)
            self._dial = sniff
            sniff.begin_hello()

    def _sniffed(self, code: str) -> None:
        self._dial = None
        self._answer(own_answer(code or "origin-away"))

    def origin_drained(self, count: int) -> None:
        self._undrained -= count
        self._visitor.drained(count)

    # Towards the origin.

    def _end_first_turn(self) -> None:
        if self._connection is not None and self._first_turn and not self._over:
            self._flush()

    def _flush(self) -> None:
        assert self._connection is not None
        self._first_turn = False
        out, owed = self._out, self._owed
        if not out:
            return
        self._out = []
        self._owed = 0
        self._house.books.bytes_up += owed
        self._connection.write(out[0] if len(out) == 1 else b"".join(out), owed)

    def _note(self, part: bytes) -> None:
        assert self._noted is not None
        if sum(map(len, self._noted)) < JSONRPC_BYTES:
            self._noted.append(part[:JSONRPC_BYTES])

    def _hold_for_upgrade(self, data: bytes | memoryview) -> None:
        self._early += data
        if not self._head.upgrade or len(self._early) > MAX_EARLY_BYTES:
            self._break("body-length-wrong")

    # Towards the visitor.

    def _informational(self, head: ResponseHead) -> bool:
        """Pass a 1xx head on; False when the exchange has become one of bytes, or has broken."""
        if head.status == 101:
            self._change_protocols(head)
            return False
        if not self._head.http10:
            self._visitor.send_informational(head)
        return not self._over

    def _change_protocols(self, head: ResponseHead) -> None:
        connection, house = self._connection, self._house
        assert connection is not None
        if not self._head.upgrade:
            self._malformed(Malformed(502, "origin-malformed", "101 unasked"), b"", None, b"")
            return
        self._visitor.send_head(self._dressed(_spoken_by_origin(head)))
        self._bytes = ByteExchange(house, self._visitor, Peer(""))
        self._over = True
        house.books.open_http -= 1
        rest = self._reader.take_rest()
        connection.reader = None
        is_websocket = self._head.upgrade.lower() == b"websocket"
        self._bytes.begin_upgraded(
            connection, self._started, rest, ending=self.ending, is_websocket=is_websocket
        )
        if self._early:
            self._bytes.data_received(bytes(self._early))
        if self._early_end:
            self._bytes.end_received()

    def _pass_on(self, head: ResponseHead | None, body: bytes, end: EndOfMessage | None) -> None:
        visitor = self._visitor
        if body:
            self._house.books.bytes_down += len(body)
        if head is not None:
            self._head_sent = True
            self._noted = None
            self._status = head.status
            self._house.origin_is_plain = True
            self._first_byte = self._house.loop.time()
            head = self._dressed(_spoken_by_origin(head))
            if end is not None and not end.trailers:
                self._release()
                visitor.send_head(head, body, end=True)
                self._finish()
                return
            visitor.send_head(head)
        if body and not visitor.send_data(body) and not self._over and end is None:
            assert self._connection is not None
            self._connection.pause()
        if end is not None and not self._over:
            self._release()
            if end.trailers:
                visitor.send_trailers(end.trailers)
            visitor.send_end()
            self._finish()

    def _dressed(self, head: ResponseHead) -> ResponseHead:
        """The head with the fields that the gates and ``--cors`` add."""
        house = self._house
        added = house.guard.answer_headers
        if not added and house.cors is None:
            return head
        headers = head.headers + added
        if house.cors is not None:
            headers = house.cors.answer_headers(self._head, headers)
        return ResponseHead(head.status, head.reason, headers, head.body, head.upgrade)

    def _malformed(
        self, event: Malformed, received: bytes, head: ResponseHead | None, body: bytes
    ) -> None:
        self._house.books.origin_failures += 1
        if self._head_sent or head is not None:
            self._break(event.code)
        elif received.startswith(_TLS_ALERT):
            self._answer(own_answer(SPEAKS_TLS))
        else:
            self._answer(own_answer(event.code))

    # How an exchange ends.

    def _answer(self, answer: OwnAnswer) -> None:
        """Send an answer of our own and end. The origin's connection, if any, is closed."""
        head, body = render_own(answer, self._house.settings.kind, self._head, self._noted)
        self._status = head.status
        if self._connection is not None:
            self._connection.abort()
        if answer.head is None:
            head = self._dressed(head)
        self._visitor.send_head(head, body, end=True)
        if not self._request_over or self._undrained:
            self._visitor.stop(answer.answer.code)
        self._close(answer.answer.code, self._house.loop.time())

    @property
    def _is_request_whole(self) -> bool:
        return self._request_over and not self._undrained

    def _release(self) -> None:
        """The answer is complete: keep the connection if it can carry another exchange. Done
        before the visitor hears the end, whose next request may then have it."""
        connection, self._connection = self._connection, None
        assert connection is not None
        if not self._is_request_whole:
            connection.abort()
        elif self._reader.keep_alive:
            self._house.pool.give_back(connection)
        else:
            connection.close()

    def _finish(self) -> None:
        if self._over:
            return
        if not self._is_request_whole:
            self._visitor.stop("answer-complete")
        self._close("", self._house.loop.time())

    def _break(self, code: str) -> None:
        """End both directions at once so that neither side can think it complete. Idempotent."""
        if self._over:
            return
        if self._connection is not None:
            self._connection.abort()
        if self._dial is not None:
            self._dial.cancel()
        self._close(code, None)
        self._visitor.abort(code)
        self._visitor.stop(code)

    def _close(self, code: str, completed: float | None) -> None:
        house = self._house
        self._over = True
        self._connection = None
        self._dial = None
        self._noted = None
        self._out = []
        if self.ending is not None:
            self.ending.over()
        house.books.open_http -= 1
        if self._report is not None:
            self._report(
                ExchangeRecord(self._started, self._first_byte, completed, self._status, code)
            )


def _spoken_by_origin(head: ResponseHead) -> ResponseHead:
    headers = strip_ours(head.headers)
    if headers is head.headers:
        return head
    return ResponseHead(head.status, head.reason, headers, head.body, head.upgrade)
