"""Passing a body that was held on to the exchange proper, no faster than the origin takes it."""

from __future__ import annotations

from typing import Final

from underpass.gatehouse.house import House
from underpass.gatehouse.ports import Exchange, Visitor
from underpass.http.messages import Headers, ResponseHead

IN_FLIGHT: Final = 64 * 1024
# As much as a visitor may have under way.


class Feeder:
    """A visitor's side that hands on what was held before, and keeps back the credit for it: the
    visitor was allowed to send as much again when it was taken."""

    def __init__(self, house: House, visitor: Visitor, parts: list[bytes], credited: int) -> None:
        self._house = house
        self._visitor = visitor
        self._body = memoryview(b"".join(parts))
        self._owed = credited
        self._exchange: Exchange | None = None
        self._trailers: Headers | None = None
        self._is_whole = False

    def begin(self, exchange: Exchange, trailers: Headers | None, *, is_whole: bool) -> None:
        """Hand on. ``is_whole``: nothing more will come from the visitor itself."""
        self._exchange, self._trailers, self._is_whole = exchange, trailers, is_whole
        self._feed(IN_FLIGHT if is_whole else len(self._body))

    def _feed(self, count: int) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        part, self._body = self._body[:count], self._body[count:]
        if part:
            self._house.held.give(len(part))
            exchange.data_received(part)
        if not self._body:
            self._exchange = None
            if self._trailers is not None:
                exchange.trailers_received(self._trailers)
            if self._is_whole:
                exchange.end_received()

    def drained(self, count: int) -> None:
        """The origin has taken ``count`` bytes: others may follow."""
        kept_back = min(count, self._owed)
        self._owed -= kept_back
        if count > kept_back:
            self._visitor.drained(count - kept_back)
        if self._exchange is not None:
            self._house.loop.call_soon(self._feed, count)

    def let_go(self) -> None:
        """The exchange is over: what is left is not wanted."""
        self._exchange = None
        self._house.held.give(len(self._body))
        self._body = memoryview(b"")

    # The rest of ports.Visitor, as it is.

    def send_informational(self, head: ResponseHead) -> None:
        """See ``Visitor``."""
        self._visitor.send_informational(head)

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """See ``Visitor``."""
        self._visitor.send_head(head, body, end=end)

    def send_data(self, data: bytes) -> bool:
        """See ``Visitor``."""
        return self._visitor.send_data(data)

    def send_trailers(self, trailers: Headers) -> None:
        """See ``Visitor``."""
        self._visitor.send_trailers(trailers)

    def send_end(self) -> None:
        """See ``Visitor``."""
        self._visitor.send_end()

    def abort(self, code: str) -> None:
        """See ``Visitor``."""
        self.let_go()
        self._visitor.abort(code)

    def stop(self, code: str) -> None:
        """See ``Visitor``."""
        self.let_go()
        self._visitor.stop(code)

    @property
    def room(self) -> int:
        """See ``Visitor``."""
        return self._visitor.room
