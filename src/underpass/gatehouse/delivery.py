"""Delivering one request as if a visitor from elsewhere had passed the gates, to see what he gets.

It goes the way of every visitor from the gates on, so the origin cannot tell it apart. It is
neither recorded nor metered, and does not count as a visitor's exchange.
"""

from __future__ import annotations

import asyncio
from typing import Final

from underpass.gatehouse.admission import Admitted, conclude
from underpass.gatehouse.exchange_http import HttpExchange
from underpass.gatehouse.house import House
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.unattended import UnattendedVisitor
from underpass.guard.outcomes import PASSED
from underpass.http.messages import RequestHead, ResponseHead

ELSEWHERE: Final = Peer("203.0.113.77", 40_077, secure=True)
"""From RFC 5737's addresses for examples: nobody has it, and it is nobody's own network."""


class DeliveredVisitor(UnattendedVisitor):
    """Keeps the status and the beginning of the body."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.status = 0
        self.body = bytearray()
        self._limit = limit

    @property
    def room(self) -> int:
        """Bytes that are wanted yet."""
        return max(self._limit - len(self.body), 0)

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """The status is what was asked for."""
        self.status = head.status
        if body:
            self.send_data(body)
        super().send_head(head, end=end)

    def send_data(self, data: bytes) -> bool:
        """Keep it, up to the limit."""
        self.body += data[: self.room]
        if not self.room:
            self.over.set()
        return self.room > 0


async def deliver(
    house: House, head: RequestHead, *, seconds: float, limit: int
) -> tuple[int, bytes]:
    """Status and beginning of the body that ``head``, which has none itself, is answered with; 0
    and b"" when no answer came within ``seconds``."""
    visitor = DeliveredVisitor(limit)
    admitted = conclude(house, head, ELSEWHERE, PASSED)
    exchange = HttpExchange(house, visitor, head, reported=False)
    if isinstance(admitted, Admitted):
        exchange.begin(admitted.request, is_jsonrpc=False)
    else:
        exchange.begin_answer(admitted)
    try:
        async with asyncio.timeout(seconds):
            await visitor.over.wait()
    except TimeoutError:
        return 0, b""
    finally:
        exchange.visitor_left("delivery-over")
    return visitor.status, bytes(visitor.body)
