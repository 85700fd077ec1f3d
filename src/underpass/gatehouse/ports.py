"""The two faces of the gatehouse: what it is given (a visitor), what it gives (an exchange).

Whoever carries traffic (a lane's stream, an HTTP reader behind a foreign engine) hands each
visitor's exchange to ``Gatehouse.open_http`` or ``Gatehouse.open_bytes`` and gets an ``Exchange``
back at once. Everything here is synchronous and never blocks; back-pressure is by ``room`` and
``drained``, not by waiting. All calls happen on the gatehouse's event loop.
"""

from __future__ import annotations

from typing import Protocol

from underpass.guard.peer import Peer
from underpass.http.messages import Headers, RequestHead, ResponseHead

__all__ = ["Carrier", "Exchange", "Peer", "Visitor"]


class Visitor(Protocol):
    """The visitor's side of one exchange: where the gatehouse sends answers.

    For byte streams (tcp, reach, after an accepted upgrade) only ``send_data``, ``send_end``,
    ``abort``, ``stop`` and ``drained`` are used. Every call after ``send_end`` or ``abort`` is
    ignored.
    """

    def send_informational(self, head: ResponseHead) -> None:
        """Pass a 1xx head on at once."""

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        """Send the one response head; with ``end``, ``body`` is the whole body."""

    def send_data(self, data: bytes) -> bool:
        """Send a part of the body, at once. False: send no more until ``resume_writing``."""

    def send_trailers(self, trailers: Headers) -> None:
        """Send trailer fields; ``send_end`` follows."""

    def send_end(self) -> None:
        """The answer is complete (for bytes: FIN)."""

    def abort(self, code: str) -> None:
        """Break the answer off so that it cannot look complete. Idempotent."""

    def stop(self, code: str) -> None:
        """Take no more of the request; the answer is not touched. Idempotent."""

    def drained(self, count: int) -> None:
        """``count`` bytes of request body have left this process: the visitor may send more."""

    @property
    def room(self) -> int:
        """Bytes of answer that can be taken now; 0: wait for ``resume_writing``."""


class Exchange(Protocol):
    """The gatehouse's side of one exchange: where the visitor's message goes."""

    def data_received(self, data: bytes | memoryview) -> None:
        """A part of the request body, valid only during the call."""

    def trailers_received(self, trailers: Headers) -> None:
        """Trailer fields of the request; ``end_received`` follows."""

    def end_received(self) -> None:
        """The request is complete (for bytes: FIN)."""

    def visitor_left(self, code: str) -> None:
        """The visitor is gone, or its request broke: cancel at the origin within a second."""

    def answer_unwanted(self, code: str) -> None:
        """The visitor takes no more of the answer but may still send. HTTP treats it as left."""

    def resume_writing(self) -> None:
        """``room`` is above zero again after a ``send_data`` that returned False."""


class Carrier(Protocol):
    """Takes visitors: implemented by the gatehouse, called by whoever carries the traffic."""

    def open_http(self, visitor: Visitor, head: RequestHead, peer: Peer) -> Exchange:
        """Begin one HTTP exchange."""

    def open_bytes(self, visitor: Visitor, peer: Peer) -> Exchange:
        """Begin one byte stream to a tcp origin (an ``ip`` gate or ``--public`` guards it)."""

    def open_reach(self, visitor: Visitor, peer: Peer, token: str) -> Exchange:
        """Begin one byte stream whose visitor showed ``token``; refused with ``abort``."""

    def open_tls(self, visitor: Visitor, peer: Peer) -> Exchange:
        """Begin one visitor's own TLS connection (``--tls passthrough``), ended here."""
