"""What a driver must offer: the engine protocol, and the abilities an engine may have besides.

An engine carries one tunnel: it opens the public door, hands every visitor to the ``Carrier`` it
was given (the gatehouse), says how its link is, and leaves nothing when closed. Everything else
is a protocol of one method that an engine may also satisfy; whoever needs it asks with
``isinstance``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from underpass.gatehouse.ports import Carrier
    from underpass.model.spec import TunnelSpec


class LinkPhase(StrEnum):
    """How the way between an engine's two ends is, as the engine itself sees it."""

    DIALLING = "dialling"
    """Never attached so far; it is being tried."""
    ATTACHED = "attached"
    """At least one link carries traffic."""
    LOST = "lost"
    """It was attached and is not any more; the engine redials by itself."""
    ENDED = "ended"
    """Over for good: superseded, revoked, expired. The engine does not come back by itself."""


@dataclass(frozen=True, slots=True)
class LinkView:
    """The state of an engine's link at one moment."""

    phase: LinkPhase
    code: str = ""
    """Why, when it is not attached: a stable code (``relay-unreachable``, ``superseded``, …)."""
    detail: str = ""
    """The same for people, without a secret."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What an engine got from its public side."""

    public_url: str
    """Where visitors come; empty for a tunnel that is reached only by ``underpass reach``."""
    name: str
    """The tunnel's name as granted, also when it was asked for without one."""
    lease_end: float
    """The end the public side enforces, unix seconds; never later than asked."""


class Engine(Protocol):
    """Carries one tunnel. All calls and all callbacks happen on one event loop."""

    @property
    def name(self) -> str:
        """The engine's word in specs and output: ``relay``, ``ngrok``, …"""

    async def open(self, carrier: Carrier, spec: TunnelSpec) -> Opened:
        """Open the public door; visitors may come before this returns.

        Raises an ``UnderpassError``; a retryable one means that the same call may succeed later.
        After an error nothing is left open. Called at most once at a time; may be called again
        after an error.
        """

    def observe(self, listener: Callable[[LinkView], None]) -> LinkView:
        """Call ``listener`` with every change from now on; returns the present view.

        The listener is called from the event loop, never from inside this call, and must not
        raise. Allowed before ``open``.
        """

    async def renew(self, lease_end: float) -> float:
        """Move the lease's end (unix seconds); returns the end the public side granted."""

    async def close(self) -> None:
        """Close the public door and every connection, and tell the other side. Idempotent."""


class ByteWire(Protocol):
    """One byte stream dialled for a proof, from outside through the public side."""

    async def send(self, data: bytes) -> None:
        """Send all of it."""

    async def receive(self) -> bytes:
        """The next bytes, or ``b""`` after FIN."""

    async def close(self) -> None:
        """Let go of it, without waiting for the other side. Idempotent."""


@runtime_checkable
class DialsReach(Protocol):
    """An engine whose gated tcp tunnels can be dialled as ``underpass reach`` does."""

    async def dial_reach(self, token: str) -> ByteWire:
        """Reach the tunnel from outside, showing ``token``.

        Raises an ``UnderpassError`` (kind ``Refused`` when the gatehouse refused the token) or
        ``OSError``.
        """


@dataclass(frozen=True, slots=True)
class Quota:
    """What a vendor lets through before it throttles or charges."""

    requests: int
    seconds: float
    """The window that ``requests`` counts in."""


@runtime_checkable
class HasQuota(Protocol):
    """An engine whose vendor counts requests."""

    @property
    def quota(self) -> Quota | None:
        """The quota, or None where there is none worth sparing."""
