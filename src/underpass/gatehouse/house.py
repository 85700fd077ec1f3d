"""What all exchanges of one gatehouse share, and what its owner decided about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from underpass.gatehouse.arm import ProbeArm
from underpass.gatehouse.books import Books, ExchangeRecord
from underpass.gatehouse.endings import Endings
from underpass.gatehouse.held_budget import HeldBudget
from underpass.gatehouse.inner_app import InnerApp
from underpass.gatehouse.mcp.care import McpCare
from underpass.gatehouse.measuring.notes import Notes
from underpass.gatehouse.origin.pool import OriginPool
from underpass.gatehouse.proof import ProofChecker
from underpass.guard.gates import Guard
from underpass.http.cors import Cors
from underpass.model.origin import Kind, Origin
from underpass.observe.observer import Observer


@dataclass(frozen=True, slots=True)
class GatehouseSettings:
    """Decided before the tunnel opens."""

    origin: Origin
    kind: Kind
    name: str
    """The tunnel's name; part of every proof."""
    instance: str
    """This run of the connector; part of every proof."""
    proof_key: bytes = field(repr=False)
    """32 bytes that only this tunnel's own processes know."""
    host_header: str = "preserve"
    """``preserve`` the visitor's Host, or say the ``origin``'s own. On an mcp tunnel ``origin``
    also replaces an Origin field that our own allow-list has admitted."""
    cors: tuple[str, ...] = ()
    """Web origins whose preflights are answered here."""
    health_path: str | None = None
    """A path a proof asks for; None: a proof connects and no more."""
    tells_visitor: bool = False
    """The origin is told who passed the gate, in a field of ours."""
    peer: str = "machine"
    """From where an origin on loopback sees visitors come: from another address of this
    ``machine``, where it has one, or from ``loopback`` like its own programs."""


class Dial(Protocol):
    """A dial under way."""

    def cancel(self) -> object:
        """Give it up."""


@dataclass(slots=True)
class House:
    """Shared by all exchanges of one gatehouse, on one event loop."""

    settings: GatehouseSettings
    loop: asyncio.AbstractEventLoop
    guard: Guard
    pool: OriginPool
    books: Books
    arm: ProbeArm
    proofs: ProofChecker
    cors: Cors | None
    wall_clock: Callable[[], float]
    """Unix time, for proofs and for what lets visitors in until then."""
    on_exchange: Callable[[ExchangeRecord], None] | None
    public_hosts: frozenset[bytes]
    """Host values (lower case) under which this tunnel is public."""
    public_origins: frozenset[bytes]
    """Origin values (lower case) that its own pages and ``cors`` have."""
    ends_tls: bool = False
    """Visitors' TLS ends here (``--tls passthrough``), so Host is judged here, too."""
    mcp: McpCare | None = None
    """For mcp tunnels: what sets their answers right."""
    observer: Observer | None = None
    """Records and meters exchanges; None: nobody does."""
    origin_is_plain: bool = False
    """The origin has spoken HTTP (or at least no TLS) since it was last found away."""
    held: HeldBudget = field(default_factory=HeldBudget)
    """Bodies that gates have asked for."""
    measuring: Notes | None = None
    """Of the measurement that is under way."""
    inner: InnerApp | None = None
    """Pages of our own, beside the origin."""
    endings: Endings = field(init=False)
    """When what let visitors in ends."""

    def __post_init__(self) -> None:
        self.endings = Endings(self.loop, self.wall_clock)
