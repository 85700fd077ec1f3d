"""Reaching the origin for a proof: a connect, or a request to the health path.

The connection that a probe of an HTTP origin makes is kept for the next visitor, so a proof costs
the origin nothing more than an early accept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from underpass.gatehouse.exchange_http import HttpExchange
from underpass.gatehouse.house import Dial, House
from underpass.gatehouse.origin.connection import OriginConnection
from underpass.gatehouse.own_answers import ERROR_FIELD
from underpass.gatehouse.proof import LayerAnswer
from underpass.gatehouse.rewrite import origin_host
from underpass.gatehouse.tls_sniff import TlsSniff
from underpass.http.messages import Headers, RequestHead, ResponseHead, lookup
from underpass.http.writer import request_bytes
from underpass.model.origin import Kind

PROBE_SECONDS: Final = 5.0
# Well within the validity of a proof; a service that needs longer for its health page is not well.


class OriginProbe:
    """One attempt; ``done`` is called once with what was found, never after ``cancel``."""

    def __init__(self, house: House, done: Callable[[LayerAnswer], None]) -> None:
        self._house = house
        self._done: Callable[[LayerAnswer], None] | None = done
        self._started = house.loop.time()
        self._dial: Dial | None = None
        self._exchange: HttpExchange | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Set out. ``done`` may be called before this returns."""
        house = self._house
        self._timer = house.loop.call_later(PROBE_SECONDS, self._expire)
        path = house.settings.health_path
        if path is None:
            if house.origin_is_plain or house.settings.kind is Kind.TCP:
                self._dial = house.pool.dial(self)
            else:
                sniff = TlsSniff(house, self._sniffed)
                self._dial = sniff
                sniff.begin()
            return
        head = RequestHead(
            b"GET", path.encode(), origin_host(house.settings.origin), [(b"Accept", b"*/*")]
        )
        visitor = _HealthVisitor(self._health_answered)
        self._exchange = HttpExchange(house, visitor, head, reported=False)
        self._exchange.begin(request_bytes(head), is_jsonrpc=False)

    def cancel(self) -> None:
        """Give up without an answer. Idempotent."""
        self._done = None
        if self._dial is not None:
            self._dial.cancel()
        if self._exchange is not None:
            self._exchange.visitor_left("probe-cancelled")
        if self._timer is not None:
            self._timer.cancel()

    def _answer(self, status: str, code: str = "", detail: str = "") -> None:
        done = self._done
        took = round((self._house.loop.time() - self._started) * 1000, 3)
        self._dial = None
        self.cancel()
        if done is not None:
            done(LayerAnswer(status, code, detail, took))

    def _sniffed(self, code: str) -> None:
        self._answer("failed" if code else "passed", code)

    def _expire(self) -> None:
        self._answer("failed", "origin-away", "no answer in time")

    def _health_answered(self, status: int, code: str) -> None:
        self._exchange = None
        if code or not status:
            self._answer("failed", code or "origin-away")
        elif status < 400:
            self._answer("passed", detail=f"health path answered {status}")
        else:
            self._answer("failed", "origin-unhealthy", f"health path answered {status}")

    # The plain connect (OriginUser).

    room = 1

    def origin_ready(self, connection: OriginConnection) -> None:
        """It accepts."""
        if self._house.settings.kind is Kind.TCP or self._done is None:
            connection.close()  # an end and no reset, which services write into their logs
        else:
            self._house.pool.give_back(connection)
        self._answer("passed")

    def origin_refused(self, code: str) -> None:
        """It does not."""
        self._house.origin_is_plain = False
        self._answer("failed", code)

    def origin_waits(self) -> None:
        """Never: the connection is given away at once."""

    def origin_data(self, data: memoryview) -> None:
        """Never: the connection is given away at once."""

    def origin_ended(self) -> None:
        """Never: the connection is given away at once."""

    def origin_lost(self, error: Exception | None) -> None:
        """Never: the connection is given away at once."""

    def origin_drained(self, count: int) -> None:
        """Never: nothing is written."""


class _HealthVisitor:
    """Takes the answer of the health path and forgets its body."""

    room = 64 * 1024

    def __init__(self, answered: Callable[[int, str], None]) -> None:
        self._answered = answered
        self._status = 0
        self._code = ""
        self._told = False

    def send_informational(self, head: ResponseHead) -> None:
        """Of no interest."""

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """The status is the answer; the rest of the body is awaited so that it is whole."""
        self._status = head.status
        self._code = (lookup(head.headers, ERROR_FIELD) or b"").decode("latin-1")
        if end:
            self._tell()

    def send_data(self, data: bytes) -> bool:
        """Forgotten."""
        return True

    def send_trailers(self, trailers: Headers) -> None:
        """Forgotten."""

    def send_end(self) -> None:
        """Whole."""
        self._tell()

    def abort(self, code: str) -> None:
        """Broken off."""
        self._code = code
        self._tell()

    def stop(self, code: str) -> None:
        """There is no body to stop."""

    def drained(self, count: int) -> None:
        """There is no body to drain."""

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._answered(self._status, self._code)
