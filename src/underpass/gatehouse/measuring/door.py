"""The straight way to the measuring origin, for comparison: a port on loopback, no gatehouse.

Whoever comes without a question that only the owner can ask is sent away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from underpass.gatehouse.house import House
from underpass.gatehouse.measuring.exchange import MeasuringExchange
from underpass.gatehouse.measuring.notes import Notes
from underpass.gatehouse.measuring.questions import Question
from underpass.gatehouse.own_answers import own_answer, render_own
from underpass.gatehouse.ports import Exchange, Peer, Visitor
from underpass.gatehouse.proof import PROOF_HEADER_LOWER, ProofRequest
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor, open_door
from underpass.gatehouse.refused import Refused
from underpass.http.messages import RequestHead, lookup
from underpass.model.origin import Kind


def open_measuring(
    house: House, notes: Notes, visitor: Visitor, head: RequestHead, asked: ProofRequest
) -> Exchange:
    """Begin one exchange with the measuring origin, or refuse one too many."""
    question = Question.parse(asked.measure)
    note = None if question is None else notes.begin(question, head.headers)
    if note is None:
        return _refuse(visitor, head)
    exchange = MeasuringExchange(house.loop, visitor, note, notes)
    exchange.begin()
    return exchange


@dataclass(frozen=True, slots=True)
class Measurement:
    """One that is under way."""

    notes: Notes
    port: int
    """Of loopback, where the measuring origin answers without a gatehouse before it."""


@asynccontextmanager
async def begin_measurement(house: House) -> AsyncIterator[Measurement | None]:
    """Open the measuring origin for as long as the context lasts; None: somebody else measures."""
    if house.measuring is not None:
        yield None
        return
    notes = house.measuring = Notes()
    door = SocketDoor(_Straight(house, notes), DoorSettings(heartbeats=False, fin_departs=True))
    try:
        server = await open_door(door)
        try:
            yield Measurement(notes, server.sockets[0].getsockname()[1])
        finally:
            server.close()
            door.close()
            # What was cut off leaves with the next turns of the loop.
            for _ in range(3):
                await asyncio.sleep(0)
    finally:
        house.measuring = None
        notes.close()


class _Straight:
    """Implements ``ports.Carrier`` for the owner's questions alone."""

    def __init__(self, house: House, notes: Notes) -> None:
        self._house = house
        self._notes = notes

    def open_http(self, visitor: Visitor, head: RequestHead, peer: Peer) -> Exchange:
        house = self._house
        value = lookup(head.headers, PROOF_HEADER_LOWER)
        asked = None if value is None else house.proofs.accept(value, house.wall_clock())
        if asked is None or not asked.measure:
            return _refuse(visitor, head)
        return open_measuring(house, self._notes, visitor, head, asked)

    def open_bytes(self, visitor: Visitor, peer: Peer) -> Exchange:
        return Refused()

    def open_reach(self, visitor: Visitor, peer: Peer, token: str) -> Exchange:
        return Refused()

    def open_tls(self, visitor: Visitor, peer: Peer) -> Exchange:
        return Refused()


def _refuse(visitor: Visitor, head: RequestHead) -> Exchange:
    answer, body = render_own(own_answer("over-limit"), Kind.HTTP, head, None)
    visitor.send_head(answer, body, end=True)
    visitor.stop("over-limit")
    return Refused()
