"""Sending a recorded request to the origin once more, as the owner: past the gates, through
everything else.

The origin learns of it by a field that visitors cannot send (``strip_claims``). The answer goes
nowhere but onto a tape, and is recorded and metered like any other.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from underpass.gatehouse.admission import Admitted, conclude
from underpass.gatehouse.beginning import begin_admitted
from underpass.gatehouse.exchange_http import HttpExchange
from underpass.gatehouse.house import House
from underpass.gatehouse.observed import Observed
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.unattended import UnattendedVisitor
from underpass.guard.outcomes import PASSED
from underpass.http.messages import RequestHead
from underpass.observe.observer import Observer
from underpass.observe.tape import Tape

REPLAY_FIELD: Final = b"Underpass-Replay"
"""Says to the origin which recorded request this is once more."""

OWNER: Final = "owner"


async def replay(
    house: House, observer: Observer, head: RequestHead, body: bytes, *, of: str, seconds: float
) -> Tape:
    """Send ``head`` and ``body`` and wait for the answer's end, at most ``seconds``; an answer that
    goes on longer is broken off then. ``of`` is the id of the first exchange."""
    visitor = UnattendedVisitor()
    tape = observer.begin("http", "")
    tape.request = head
    tape.is_replay_of = of
    observed = Observed(observer, visitor, tape)
    observed.passed((), OWNER)
    house.books.http_exchanges += 1
    verdict = conclude(house, head, Peer(""), PASSED)
    if not isinstance(verdict, Admitted):
        exchange = HttpExchange(house, observed, head)
        exchange.begin_answer(verdict)
        return tape
    mark = b"%b: %b\r\n\r\n" % (REPLAY_FIELD, of.encode("ascii"))
    marked = replace(verdict, request=verdict.request.removesuffix(b"\r\n") + mark)
    observed.exchange = begin_admitted(house, observed, head, marked)
    try:
        async with asyncio.timeout(seconds):
            if body and tape.ended is None:
                observed.data_received(body)
            if head.body:
                observed.end_received()
            await visitor.over.wait()
    except TimeoutError:
        pass
    finally:
        if tape.ended is None:
            observed.visitor_left("replay-over")
    return tape
