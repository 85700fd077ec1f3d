"""What the front doors need from whoever keeps names, lanes and links: their ports.

The edges know visitors, sockets and HTTP; they do not know keys, leases, registries or links. Who
does (the relay's server) implements ``Directory``, ``Exposure`` and ``LinkAcceptor``. ``Lane``,
``Stream`` and ``StreamOwner`` name the part of the lane protocol that an edge uses; the lane of
``relay/protocol`` satisfies them. Everything is called on the edge's event loop; only what is
``async`` may wait.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Protocol, TypeAlias

Peer: TypeAlias = tuple[str, int]
"""A visitor's address in text and its port."""


class EdgeEvent(StrEnum):
    """What an edge counts; a metric's label, so no value may ever hold a visitor's words."""

    REQUEST = "request"
    """An HTTP request was passed to the tunnel."""
    CONNECTION = "connection"
    """A byte stream (tcp, tls, reach) was passed to the tunnel."""
    AWAY = "away"
    """Nobody was there to take a visitor within the hold time."""
    REFUSED = "refused"
    """The edge itself refused a visitor: limits, addresses, ambiguity."""
    BROKEN = "broken"
    """The tunnel's side broke an exchange off."""
    DEPARTED = "departed"
    """The visitor left before its exchange was complete."""


class StreamOwner(Protocol):
    """Who gets what the far end of a stream says. No call may raise."""

    def head_received(self, head: bytes) -> None:
        """One encoded head: informational ones first, then the final one."""

    def data_received(self, data: bytes | memoryview) -> None:
        """A part of the body, valid only during the call; owed to ``Stream.drained``."""

    def trailers_received(self, trailers: bytes) -> None:
        """Encoded trailer fields; ``end_received`` follows."""

    def end_received(self) -> None:
        """The far end's direction is complete."""

    def aborted(self, code: str) -> None:
        """The far end's direction broke, or the lane was lost: nothing more comes."""

    def stopped(self, code: str) -> None:
        """The far end reads no more: nothing more need be sent."""

    def resume_writing(self) -> None:
        """``room`` is above zero again."""


class Stream(Protocol):
    """One visitor's exchange inside a lane, seen from the edge that opened it."""

    owner: StreamOwner

    @property
    def room(self) -> int:
        """Bytes that may be sent now; 0: wait for ``StreamOwner.resume_writing``."""

    def send_data(self, data: bytes) -> bool:
        """Send at once. False: send no more until ``StreamOwner.resume_writing``."""

    def send_trailers(self, trailers: bytes) -> None:
        """Send encoded trailer fields; ``send_end`` follows."""

    def send_end(self) -> None:
        """This direction is complete."""

    def abort(self, code: str) -> object:
        """Break this direction off; what is queued is dropped. Idempotent."""

    def stop(self, code: str) -> None:
        """Read no more; the far end need not send. Idempotent."""

    def drained(self, count: int) -> None:
        """``count`` received bytes have left this process: the far end may send more."""


class Lane(Protocol):
    """An attached lane on which streams can be opened."""

    @property
    def attached(self) -> bool:
        """A link carries this lane now."""

    def open(
        self,
        kind: str,
        *,
        peer: Peer,
        secure: bool,
        head: bytes | None = None,
        body: bytes = b"",
        end: bool = False,
        token: str = "",
        owner: StreamOwner,
    ) -> Stream:
        """Open a stream; raises an ``UnderpassError`` when a limit forbids it.

        Calls back into ``owner`` only after it has returned.
        """


class Exposure(Protocol):
    """One live tunnel as the public side knows it."""

    @property
    def name(self) -> str:
        """The tunnel's name."""

    @property
    def kind(self) -> str:
        """``http``, ``mcp`` or ``tcp``."""

    @property
    def tls(self) -> str:
        """``terminate`` or ``passthrough``."""

    @property
    def exposure(self) -> str:
        """For tcp: ``gated`` (reach only) or ``open`` (a public port)."""

    @property
    def allow(self) -> tuple[str, ...]:
        """CIDRs that visitors whose HTTP is read here must come from; empty: from anywhere."""

    @property
    def public_url(self) -> str:
        """Where visitors come, or empty."""

    def lane_nowait(self) -> Lane | None:
        """The attached lane with the least queued, or None."""

    async def lane_within(self, seconds: float) -> Lane:
        """The same, waited for; raises ``ConnectorAway`` after ``seconds``."""

    def take_stream(self) -> bool:
        """Count one more stream against the key's limit; False: the limit is reached."""

    def give_stream(self) -> None:
        """Return what one successful ``take_stream`` took."""

    def note(self, event: EdgeEvent) -> None:
        """Count an event for the metrics."""


class Directory(Protocol):
    """Which tunnel a visitor means."""

    @property
    def relay_host(self) -> str:
        """The relay's own host, lower-case, without a port."""

    def find(self, host: str) -> Exposure | None:
        """The tunnel behind a host (lower-case, no port). Unknown, closed and expired: None."""

    def find_port(self, port: int) -> Exposure | None:
        """The tunnel that owns a port of its own (tcp, or http on loopback). Else None."""

    def find_name(self, name: str) -> Exposure | None:
        """The tunnel of this name, as a reach client says it. Else None."""


class LinkAcceptor(Protocol):
    """Takes the transports of connectors."""

    def accept_link(self, transport: asyncio.Transport, data: bytes, certificate: bytes) -> None:
        """Own ``transport`` from now on (``set_protocol`` first); ``data`` was already read, and
        begins after the magic of a plain link.

        ``certificate`` is the SHA-256 of the leaf that was served, empty on a plain link. Over
        WebSocket the transport carries the same bytes in binary messages.
        """
