"""What happens to a tunnel, as nouns. One JSON line each; ``event`` is the line's word.

{"schema": "underpass/v1/tunnel", "event": "live", "tunnel": {…}, "verdict": {…}}
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Final

from underpass.model.status import TunnelStatus
from underpass.model.verdict import Layer, Verdict

SCHEMA: Final = "underpass/v1/tunnel"


@dataclass(frozen=True, slots=True)
class TunnelChange:
    """Base of the events. Fields other than verdicts become facts of the JSON line."""

    event: ClassVar[str] = ""
    at: float
    """Unix seconds."""

    def to_dict(self, status: TunnelStatus) -> dict[str, object]:
        """The JSON line for this event, with the tunnel as it is after it."""
        own = ((item.name, getattr(self, item.name)) for item in fields(self))
        facts = {name: value for name, value in own if not isinstance(value, Verdict)}
        facts = {
            name: str(fact) if isinstance(fact, Layer) else fact for name, fact in facts.items()
        }
        return {"schema": SCHEMA, "event": self.event, **facts, **status.to_dict()}


@dataclass(frozen=True, slots=True)
class TunnelOpened(TunnelChange):
    """An engine carries the tunnel; nothing is proved yet."""

    event = "opened"


@dataclass(frozen=True, slots=True)
class ProofPassed(TunnelChange):
    """A proof or a visitor went all the way and strangers are refused: the tunnel is live."""

    event = "live"
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ProofFailed(TunnelChange):
    """A layer is at fault."""

    event = "failing"
    layer: Layer
    code: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class LinkLost(TunnelChange):
    """The last link to the relay is gone; streams are held for the resume window."""

    event = "link-lost"
    reason: str


@dataclass(frozen=True, slots=True)
class LinkRestored(TunnelChange):
    """A successor link has taken over."""

    event = "link-restored"
    away_seconds: float


@dataclass(frozen=True, slots=True)
class AddressChanged(TunnelChange):
    """The public side gave another address than before; it is not proved yet."""

    event = "address-changed"
    address: str


@dataclass(frozen=True, slots=True)
class LeaseRenewed(TunnelChange):
    """The hard end was moved."""

    event = "lease-renewed"
    ends_at: float


@dataclass(frozen=True, slots=True)
class LeaseEnded(TunnelChange):
    """The hard end, or the idle limit, was reached."""

    event = "lease-ended"
    idle: bool


@dataclass(frozen=True, slots=True)
class InstanceSuperseded(TunnelChange):
    """A newer instance of the same name and key has taken over; this one stands down for good."""

    event = "superseded"


@dataclass(frozen=True, slots=True)
class QuotaWarning(TunnelChange):
    """A quota is used up to 80 %, or wholly."""

    event = "quota-warning"
    what: str
    """``bytes-per-month``, ``requests-per-minute``, …"""
    used: int
    limit: int
    whose: str
    """``own``, or the way whose vendor set it."""
    source: str
    """What the vendor says, and as of when; "" for one's own."""


@dataclass(frozen=True, slots=True)
class SignInWaiting(TunnelChange):
    """Somebody asks to be let in by an oauth gate; the owner decides (``underpass approve``)."""

    event = "sign-in"
    code: str
    """Its first half, to tell it from others: the browser shows all of it."""
    client: str
    """What the program calls itself."""
    answer_to: str


@dataclass(frozen=True, slots=True)
class TunnelClosed(TunnelChange):
    """The last event: nothing of the tunnel is left."""

    event = "closed"
    reason: str


EVENTS: Final[tuple[type[TunnelChange], ...]] = (
    TunnelOpened,
    ProofPassed,
    ProofFailed,
    LinkLost,
    LinkRestored,
    AddressChanged,
    LeaseRenewed,
    LeaseEnded,
    InstanceSuperseded,
    QuotaWarning,
    SignInWaiting,
    TunnelClosed,
)
