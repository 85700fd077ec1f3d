"""What the gatehouse counts: plain numbers, kept where they change, shown frozen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Books:
    """The running numbers of one gatehouse. Changed by its parts, read by ``statistics``."""

    http_exchanges: int = 0
    byte_exchanges: int = 0
    open_http: int = 0
    open_bytes: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    denied: int = 0
    proofs: int = 0
    origin_failures: int = 0
    dialled: int = 0
    reused: int = 0
    connections: int = 0


@dataclass(frozen=True, slots=True)
class GatehouseStatistics:
    """Numbers for people and for the inspector."""

    http_exchanges: int
    """HTTP exchanges begun, proofs not counted."""
    byte_exchanges: int
    """Byte streams begun (tcp and reach)."""
    open_http: int
    open_bytes: int
    bytes_up: int
    """Body and stream bytes written to the origin."""
    bytes_down: int
    """Body and stream bytes taken from the origin."""
    denied: int
    """Exchanges that a gate refused."""
    proofs: int
    """Valid proofs answered."""
    origin_failures: int
    """Exchanges that the origin refused, or broke off."""
    dialled: int
    """Connections made to the origin."""
    reused: int
    """Exchanges that took a kept connection."""
    connections: int
    """Connections to the origin now open."""
    idle: int
    """Of those, kept for the next exchange."""


@dataclass(frozen=True, slots=True)
class ExchangeRecord:
    """One exchange that ended; times are the loop's clock."""

    started: float
    first_byte: float | None
    """When the origin's first answer byte was passed on; None if it never answered."""
    completed: float | None
    """When the answer was complete; None if it broke off."""
    status: int
    """HTTP status sent to the visitor; 0 for byte streams and when none was sent."""
    code: str
    """"" when the origin answered in full, else the code of our own answer or of the break."""
