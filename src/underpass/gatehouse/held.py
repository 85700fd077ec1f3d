"""A request that waits for its gate's verdict: nothing of it reaches the origin before.

What the visitor sends meanwhile is kept, up to what the gate needs or, where it needs no body, to
what may come early anyway; then the visitor is held back. A verdict that takes too long, a body
that does not come, and a visitor who leaves each end the waiting. Once the gates have passed, the
request goes on as any other, with the very bytes that were judged.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from underpass.gatehouse.admission import Admitted, conclude
from underpass.gatehouse.beginning import begin_admitted
from underpass.gatehouse.exchange_http import MAX_EARLY_BYTES, HttpExchange
from underpass.gatehouse.feeder import Feeder
from underpass.gatehouse.house import House
from underpass.gatehouse.observed import note_passed
from underpass.gatehouse.own_answers import OwnAnswer, own_answer
from underpass.gatehouse.ports import Exchange, Peer, Visitor
from underpass.guard.outcomes import AWAY, TOO_LARGE, Deny, Later, NeedsBody, Outcome, Pass
from underpass.http.messages import NO_BODY, Headers, RequestHead, ResponseHead

BODY_SECONDS: Final = 30.0
# T15, slow bodies: webhooks are sent in one go.

_CONTINUE: Final = ResponseHead(100, b"Continue", [], NO_BODY)

log = logging.getLogger(__name__)


class HeldExchange:
    """Implements ``ports.Exchange``: waits, and then passes everything to the exchange proper."""

    def __init__(self, house: House, visitor: Visitor, head: RequestHead, peer: Peer) -> None:
        self._house = house
        self._visitor = visitor
        self._head = head
        self._peer = peer
        self._exchange: Exchange | None = None
        self._pending: NeedsBody | Later | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._credited = 0
        """Bytes for which the visitor may already send others."""
        self._trailers: Headers | None = None
        self._ended = head.body == NO_BODY and not head.upgrade
        self._over = False

    def begin(self, pending: NeedsBody | Later) -> None:
        """Wait for ``pending``. The visitor may be answered before this returns."""
        self._go_on(pending)

    # held_budget.Holder

    @property
    def size(self) -> int:
        """See ``Holder``."""
        return self._size

    def give_way(self) -> None:
        """See ``Holder``."""
        self._answer(own_answer("over-limit"))

    # ports.Exchange

    def data_received(self, data: bytes | memoryview) -> None:
        """A part of the body."""
        if self._exchange is not None:
            self._exchange.data_received(data)
            return
        if self._over:
            return
        if self._ended:
            # More than was, or will be, judged: no edge that counts would send it.
            self._break("body-length-wrong")
            return
        part = bytes(data)
        if not self._house.held.take(len(part), self._size):
            self._answer(own_answer("over-limit"))
            return
        self._parts.append(part)
        self._size += len(part)
        self._judge_size()

    def trailers_received(self, trailers: Headers) -> None:
        """Trailer fields."""
        if self._exchange is not None:
            self._exchange.trailers_received(trailers)
        else:
            self._trailers = trailers

    def end_received(self) -> None:
        """The request is complete."""
        if self._exchange is not None:
            self._exchange.end_received()
        elif not self._over:
            self._ended = True
            if isinstance(self._pending, NeedsBody):
                self._decide(self._pending)

    def visitor_left(self, code: str) -> None:
        """The visitor is gone: nobody needs the verdict."""
        if self._exchange is not None:
            self._exchange.visitor_left(code)
        elif not self._over:
            self._break(code)

    def answer_unwanted(self, code: str) -> None:
        """The visitor takes no answer."""
        if self._exchange is not None:
            self._exchange.answer_unwanted(code)
        else:
            self.visitor_left(code)

    def resume_writing(self) -> None:
        """There is room again."""
        if self._exchange is not None:
            self._exchange.resume_writing()

    # Inside

    def _go_on(self, outcome: Outcome) -> None:
        self._stop_waiting()
        if isinstance(outcome, NeedsBody):
            self._pending = outcome
            self._await_body(outcome)
        elif isinstance(outcome, Later):
            self._pending = outcome
            self._task = self._house.loop.create_task(self._wait(outcome), name="await a gate")
        else:
            concluded = conclude(self._house, self._head, self._peer, outcome)
            if isinstance(concluded, Admitted):
                self._admit(concluded)
            else:
                self._answer(concluded)

    def _await_body(self, wanted: NeedsBody) -> None:
        if self._head.body > wanted.limit:
            self._go_on(TOO_LARGE)
        elif self._ended or self._head.body == NO_BODY:
            self._decide(wanted)
        else:
            if self._head.expect_continue:
                # The origin, which would say it, is not to hear of the request yet.
                self._head = msgspec.structs.replace(self._head, expect_continue=False)
                self._visitor.send_informational(_CONTINUE)
            self._house.held.enter(self)
            self._timer = self._house.loop.call_later(
                BODY_SECONDS, lambda: self._answer(own_answer("request-late"))
            )
            self._judge_size()

    def _judge_size(self) -> None:
        wanted = self._pending
        if not isinstance(wanted, NeedsBody):
            if self._size > MAX_EARLY_BYTES:
                self._answer(own_answer("over-limit"))
            return
        if self._size > wanted.limit:
            self._go_on(TOO_LARGE)
            return
        fresh, self._credited = self._size - self._credited, self._size
        if fresh:
            self._visitor.drained(fresh)

    def _decide(self, wanted: NeedsBody) -> None:
        body = b"".join(self._parts)
        self._parts = [body] if body else []
        try:
            outcome = _understood(wanted.decide(body))
        except Exception:
            log.exception("a gate failed; its visitor is refused")
            outcome = AWAY
        self._go_on(outcome)

    async def _wait(self, later: Later) -> None:
        outcome: Outcome = AWAY
        try:
            async with asyncio.timeout(later.seconds):
                outcome = _understood(await later.wait())
        except TimeoutError:
            log.warning("a gate did not say in time whether a visitor may pass")
        except Exception:
            log.exception("a gate failed; its visitor is refused")
        self._task = None
        if not self._over:
            self._go_on(outcome)

    def _admit(self, admitted: Admitted) -> None:
        note_passed(self._visitor, admitted.strip, admitted.identity)
        parts, self._parts = self._parts, []
        feeder = Feeder(self._house, self._visitor, parts, self._credited)
        visitor = feeder if parts else self._visitor
        self._exchange = begin_admitted(self._house, visitor, self._head, admitted)
        feeder.begin(self._exchange, self._trailers, is_whole=self._ended)

    def _answer(self, answer: OwnAnswer) -> None:
        exchange = HttpExchange(self._house, self._visitor, self._head)
        self._end()
        exchange.begin_answer(answer)

    def _break(self, code: str) -> None:
        self._end()
        self._visitor.abort(code)
        self._visitor.stop(code)

    def _end(self) -> None:
        self._over = True
        self._stop_waiting()
        self._parts = []
        self._house.held.give(self._size)

    def _stop_waiting(self) -> None:
        self._house.held.leave(self)
        self._pending = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None and self._task is not asyncio.current_task(self._house.loop):
            self._task.cancel()
            self._task = None


def _understood(outcome: Outcome) -> Outcome:
    """``outcome``, which may come from a plug-in's gate."""
    if isinstance(outcome, (Pass, Deny, NeedsBody, Later)):
        return outcome
    raise TypeError(f"a gate has said {type(outcome).__name__}")
