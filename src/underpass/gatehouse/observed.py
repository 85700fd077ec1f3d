"""A visitor whose exchange is observed: both faces of it, with a tape between them.

Stands outside everything that changes a message on its way, so it sees what the visitor sent and
what the visitor got. Without an observer none is made, and nothing here runs.
"""

from __future__ import annotations

from typing import Final

from underpass.gatehouse.endings import REASONS
from underpass.gatehouse.ports import Exchange, Visitor
from underpass.http.messages import NO_BODY, Headers, RequestHead, ResponseHead
from underpass.observe.meter import INFORM_BYTES
from underpass.observe.observer import Observer
from underpass.observe.redaction import is_event_stream
from underpass.observe.tape import Side, Tape

_DENIALS: Final = ("gate-", "token-refused")
# Codes by which a visitor learns that it was not let in.

_PROVER: Final = b"underpass-prover"
_SHOWS_NOTHING: Final = frozenset({b"user-agent", b"accept", b"accept-encoding", b"connection"})


class Observed:
    """Implements ``ports.Visitor`` towards the exchange and ``ports.Exchange`` towards the carrier.

    ``exchange`` is set as soon as there is one; the visitor may be answered before.
    """

    __slots__ = ("_clock", "_observer", "_tape", "_visitor", "exchange")

    def __init__(self, observer: Observer, visitor: Visitor, tape: Tape) -> None:
        self._observer = observer
        self._visitor = visitor
        self._tape = tape
        self._clock = observer.clock
        self.exchange: Exchange | None = None

    # What the gatehouse knows besides.

    def passed(self, strip: tuple[bytes, ...], identity: str) -> None:
        """The gates have let the visitor in, by what stands in the fields ``strip``."""
        self._tape.strip = strip
        self._tape.identity = identity

    def denied(self, gate: str) -> None:
        """A gate has refused the visitor."""
        self._tape.outcome = "denied"
        self._tape.gate = gate

    def forget(self) -> None:
        """It was a proof: it is not metered, and not recorded."""
        self._observer.forget(self._tape)
        self._tape.ended = self._clock()

    # ports.Visitor

    @property
    def room(self) -> int:
        """Bytes of answer that can be taken now."""
        return self._visitor.room

    def send_informational(self, head: ResponseHead) -> None:
        """Pass a 1xx head on."""
        self._visitor.send_informational(head)

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """Pass the head on, and perhaps the whole answer."""
        tape = self._tape
        if tape.ended is not None:  # a proof: nothing is noted of it
            self._visitor.send_head(head, body, end=end)
            return
        tape.response = head
        tape.status = status = head.status
        tape.first = now = self._clock()
        if status == 101:
            self._upgraded()
        elif not end or len(body) > tape.room:
            self._look_at(head)
        if body:
            tape.take_down(body, now)
        self._visitor.send_head(head, body, end=end)
        if end and tape.ended is None:
            tape.down_ended = True
            tape.ended = now
            self._let_go()
            self._observer.ended(tape)

    def send_data(self, data: bytes) -> bool:
        """Pass a part of the answer on."""
        tape = self._tape
        if data and tape.ended is None:
            down = tape.down
            if down.cut:
                down.size += len(data)
            else:
                if tape.first is None:
                    tape.first = self._clock()
                tape.take_down(data, self._clock())
            if tape.size - tape.informed > INFORM_BYTES:
                self._observer.inform(tape)
        return self._visitor.send_data(data)

    def stop(self, code: str) -> None:
        """Take no more of the request."""
        self._visitor.stop(code)
        if code in REASONS:  # a WebSocket that was closed by a frame of ours is not complete
            self._break(code)

    def drained(self, count: int) -> None:
        """The visitor may send ``count`` bytes more."""
        self._visitor.drained(count)

    def send_trailers(self, trailers: Headers) -> None:
        """Pass trailer fields on."""
        self._tape.response_trailers = trailers
        self._visitor.send_trailers(trailers)

    def send_end(self) -> None:
        """The answer is complete."""
        self._visitor.send_end()
        self._tape.down_ended = True
        self._end_if_over()

    def abort(self, code: str) -> None:
        """The answer breaks off."""
        self._visitor.abort(code)
        self._break(code)

    # ports.Exchange

    def data_received(self, data: bytes | memoryview) -> None:
        """A part of what the visitor sends."""
        tape = self._tape
        if tape.ended is None:
            up = tape.up
            if up.cut:
                up.size += len(data)
            else:
                tape.take_up(data, self._clock())
            if tape.size - tape.informed > INFORM_BYTES:
                self._observer.inform(tape)
        if self.exchange is not None:
            self.exchange.data_received(data)

    def trailers_received(self, trailers: Headers) -> None:
        """Trailer fields of the request."""
        self._tape.request_trailers = trailers
        if self.exchange is not None:
            self.exchange.trailers_received(trailers)

    def end_received(self) -> None:
        """The visitor's side is complete."""
        if self.exchange is not None:
            self.exchange.end_received()
        tape = self._tape
        tape.up_ended = True
        if tape.down_ended and tape.ended is None:
            self._end_if_over()

    def visitor_left(self, code: str) -> None:
        """The visitor is gone."""
        if self.exchange is not None:
            self.exchange.visitor_left(code)
        self._break(code)

    def answer_unwanted(self, code: str) -> None:
        """The visitor takes no more of the answer."""
        if self.exchange is not None:
            self.exchange.answer_unwanted(code)
        if self._is_stream:
            self._tape.down_ended = True
            self._end_if_over()

    def resume_writing(self) -> None:
        """There is room again."""
        if self.exchange is not None:
            self.exchange.resume_writing()

    # Inside

    @property
    def _is_stream(self) -> bool:
        """Whether both sides end by themselves."""
        return self._tape.kind in ("tcp", "reach", "websocket", "upgrade")

    def _look_at(self, head: ResponseHead) -> None:
        """See whether there is more to keep. An answer that is here whole, and small, is looked
        at when there is time."""
        if is_event_stream(head):
            self._tape.kind = "events"
            self._observer.widen(self._tape)

    def _upgraded(self) -> None:
        tape = self._tape
        request = tape.request
        asked = b"" if request is None else request.upgrade.lower()
        tape.kind = "websocket" if asked == b"websocket" else "upgrade"
        self._observer.widen(tape)

    def _end_if_over(self) -> None:
        if self._tape.up_ended or not self._is_stream:
            self._finish(self._clock())

    def _finish(self, now: float) -> None:
        tape = self._tape
        if tape.ended is not None:
            return
        tape.ended = now
        self._let_go()
        self._observer.ended(tape)

    def _break(self, code: str) -> None:
        tape = self._tape
        if tape.ended is not None:
            return
        tape.ended = self._clock()
        tape.code = code
        if tape.outcome == "open":
            tape.outcome = "denied" if code.startswith(_DENIALS) else "broken"
        self._let_go()
        self._observer.ended(tape)

    def _let_go(self) -> None:
        """Carrier, visitor and exchange hold one another: what was recorded, and the exchange that
        hears no more, are given free now and not when somebody looks for cycles."""
        tape = self._tape
        if tape.up_ended or tape.request is None or tape.request.body == NO_BODY:
            self.exchange = None
        self._tape = _OVER


def _over() -> Tape:
    """What stands in for the tape of an exchange that is over: nothing is noted on it."""
    tape = Tape(0, "http", "", 0.0, 0.0, Side(0, cut=True), Side(0, cut=True))
    tape.ended = 0.0
    return tape


_OVER: Final = _over()


def note_passed(visitor: Visitor, strip: tuple[bytes, ...], identity: str) -> None:
    """Say of a visitor, if it is observed, that the gates have let it in."""
    if type(visitor) is Observed:
        visitor.passed(strip, identity)


def note_denied(visitor: Visitor, gate: str) -> None:
    """Say of a visitor, if it is observed, that a gate has refused it."""
    if type(visitor) is Observed:
        visitor.denied(gate)


def note_proof(visitor: Visitor) -> None:
    """Say of a visitor, if it is observed, that it was a prover."""
    if type(visitor) is Observed:
        visitor.forget()


def is_strangers_proof(head: RequestHead) -> bool:
    """Whether a request that was refused may be the prover's, which comes as a stranger: one that
    says so and shows nothing at all, so that there is nothing to learn from it."""
    if head.method != b"GET" or head.body != NO_BODY or head.upgrade or b"?" in head.target:
        return False
    named = False
    for name, value in head.headers:
        lower = name.lower()
        if lower not in _SHOWS_NOTHING:
            return False
        named = named or (lower == b"user-agent" and value == _PROVER)
    return named
