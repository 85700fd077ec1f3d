"""What a driver must offer, what the engines it makes must, and the abilities both may have.

A driver is our code for one engine: it looks what is here, plans a tunnel before anything is
started, reads the engine's own words, and makes an ``Engine``. An engine carries one tunnel: it
opens the public door, hands every visitor to the ``Carrier`` it was given (the gatehouse), says how
its link is, and leaves nothing when closed. Everything else is a protocol of one method that a
driver or an engine may also satisfy; whoever needs it asks with ``isinstance``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import socket

    from underpass.drivers.observations import Observation
    from underpass.drivers.plans import Detection, ForeignTunnel, Plan, Site
    from underpass.gatehouse.ports import Carrier
    from underpass.model.errors import UnderpassError
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
    public_url: str = ""
    """Where visitors come from now on, when that may have changed with the link; "" otherwise."""
    error: UnderpassError | None = None
    """What to raise for an end that the code alone does not explain."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What an engine got from its public side."""

    public_url: str
    """Where visitors come; empty for a tunnel that is reached only by ``underpass reach``."""
    name: str
    """The tunnel's name as granted, also when it was asked for without one."""
    lease_end: float
    """The end the public side enforces, unix seconds; never later than asked."""


class Driver(Protocol):
    """Our code for one engine. Made without arguments, cheap to make, holds no state."""

    @property
    def name(self) -> str:
        """The engine's word in specs and output: ``relay``, ``ngrok``, …"""

    async def detect(self, site: Site) -> Detection:
        """Look what is here: program, version, sign-in. Never raises for what is not."""

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """How a tunnel would be carried. Pure: the same arguments give the same plan.

        Raises ``EngineCannot`` for what the engine cannot support, a gate above all,
        ``EngineOptionInvalid``, and ``EngineMissing`` when ``site.detection`` says so. Called with
        a closed ``site.door`` to be looked at, and again with the open one before the start.
        """

    def read(self, line: str) -> Observation | None:
        """What one line of the engine's own output says. Pure; None: nothing that matters."""

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """The engine that carries out ``plan(spec, site)``; nothing is started yet."""

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """Tunnels of this engine on this machine that we did not open."""


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


class Reach(Protocol):
    """A service that a far host can reach, made local. The opposite of an engine."""

    @property
    def port(self) -> int:
        """The service's port, by which its kind may be guessed; 0 for none."""

    @property
    def service(self) -> str:
        """What is certain to answer, whatever the port; "" for what is not."""

    @property
    def fault(self) -> str:
        """Why the far host could not connect to it, when it last said so; "" otherwise."""

    @property
    def address(self) -> tuple[str, int]:
        """Where local programs connect, once it is open."""

    async def open(self, host: str, port: int) -> None:
        """Listen at ``host`` and ``port`` (0: any) and connect.

        Raises ``OSError`` for the local address, or an ``UnderpassError``; close it then, too.
        """

    def observe(self, listener: Callable[[LinkView], None]) -> None:
        """Call ``listener`` with every change of the link."""

    def redial(self, why: str) -> None:
        """Connect anew. Returns at once."""

    async def close(self) -> None:
        """End it and every connection. Idempotent."""


@runtime_checkable
class MakesReach(Protocol):
    """A driver whose engine can also make a far host's service local."""

    def make_reach(self, target: str, site: Site) -> Reach:
        """The way to ``target``, as the far host names it; nothing is started yet.

        Raises ``EngineOptionInvalid``.
        """


@runtime_checkable
class WritesFragments(Protocol):
    """A driver that can say in its engine's own configuration what a reach does."""

    async def write_fragment(self, target: str, site: Site, port: int) -> str:
        """That configuration; ``port`` is the local one, 0 for the usual. Nothing is written.

        Raises ``EngineOptionInvalid``.
        """


@runtime_checkable
class DialsPublic(Protocol):
    """An engine whose public address means something only at its far end."""

    async def dial_public(self) -> socket.socket:
        """A connection made at the far end to the public address, as a visitor there makes it.

        The socket does not block. Raises ``OSError``.
        """


@runtime_checkable
class Redials(Protocol):
    """An engine that can give up its link and make a new one."""

    def redial(self, why: str) -> None:
        """Proofs say that the link is dead although it looks alive. Returns at once."""


@runtime_checkable
class ShowsChanges(Protocol):
    """A driver whose engine changes things at its vendor besides running a program."""

    async def changes(self, spec: TunnelSpec, site: Site) -> tuple[str, ...]:
        """What opening this tunnel now would change there, a line each; nothing is changed.

        Raises what ``plan`` does, and an ``UnderpassError`` when the vendor cannot be asked.
        """


@runtime_checkable
class GuardsOutside(Protocol):
    """An engine whose vendor can put a gate of its own in front, once the tunnel is proved.

    It stands besides our gates, never in their place.
    """

    async def guard(self) -> bool:
        """Put it there, where that was asked for; returns whether there is one now.

        Called after the first proof, not before: behind a login a broken tunnel looks like a
        closed door. Raises an ``UnderpassError``.
        """

    def passing_fields(self) -> list[tuple[bytes, bytes]]:
        """What a program shows to pass that gate; proofs do from then on."""


@runtime_checkable
class ReadsPages(Protocol):
    """An engine whose vendor's edge answers visitors itself when it cannot bring them here."""

    def read_page(self, status: int, fields: Mapping[str, str], body: str) -> str:
        """What such an answer means and what helps, in our words; "" for what is none of its own.

        Names of ``fields`` are in lower case; of ``body`` perhaps only the beginning is there.
        Pure.
        """


@dataclass(frozen=True, slots=True)
class Counters:
    """What an engine itself counted since it was opened."""

    connections: int = 0
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@runtime_checkable
class Counts(Protocol):
    """An engine that keeps books of its own."""

    async def counters(self) -> Counters:
        """Its numbers now. Raises an ``UnderpassError`` when it does not answer."""


@runtime_checkable
class KeepsNames(Protocol):
    """A driver whose engine can give a tunnel the same address again."""

    def keeps_name(self, spec: TunnelSpec, site: Site) -> bool:
        """Whether it would, for this tunnel with these options."""


@runtime_checkable
class KnowsItsWay(Protocol):
    """A driver that knows which of the ways that ``decide`` weighs a tunnel takes, and so whose
    quotas bind it."""

    def way(self, spec: TunnelSpec, site: Site) -> str:
        """The way's id; "" where no quotas of a vendor are known to bind."""


@runtime_checkable
class HasOwnGates(Protocol):
    """A driver whose engine can refuse visitors at its own edge, before our gatehouse does."""

    def own_gates(self) -> frozenset[str]:
        """Kinds of gates that it can keep besides ours."""
