"""Who may hold a name: the relay's decision about one authentic HELLO, over records.

Pure: it takes what the registry has stored, what lives in memory and the time, and answers with
what to do. Signature and shape have been verified before (``handshake.verify``); nothing here
changes anything. The caller serialises decisions of one name, makes a raised epoch durable
*before* it accepts, and carries the answer out in one step.

Order of checks (docs/wire.md): shape, key, revocation, lease, owner of the name; an epoch below
the stored one is ``superseded``; an unknown instance ``unknown-session``; an unknown lane
``unknown-lane``; a generation not above the last accepted ``stale-link``.

    epoch echoed     instance      in memory   answer
    0                new           any         NewInstance (AskHolder first when contended)
    0                past          any         superseded
    0                current       no          NewInstance at the stored epoch (nothing is raised)
    0 or stored      current       yes         Resume, NewLane, unknown-lane or stale-link
    stored           current       no          unknown-session
    stored           other         any         unknown-session
    below stored     any           any         superseded
    above stored     any           any         the counter is raised first, then unknown-session
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import (
    KeyRevoked,
    KeyUnknown,
    LeaseExpired,
    NameContended,
    NameNotYours,
    NameTaken,
    Superseded,
)
from underpass.relay.protocol.records import Hello, Refuse
from underpass.relay.protocol.refusals import (
    BadHello,
    StaleLink,
    TooManyLanes,
    TooManyNames,
    UnknownLane,
    UnknownSession,
    refusal,
)

CONTENTION_WINDOW: Final = 60.0
CONTENTION_LIMIT: Final = 3
"""More than three takeovers from living holders within the window: the newcomer is refused."""

HIGHEST_EPOCH: Final = 2**53
"""An echo above this is no honest counter: one raise a microsecond reaches it in 285 years."""


@dataclass(frozen=True, slots=True)
class KeyView:
    """What is stored about the key that signed the HELLO."""

    fingerprint: str
    revoked: bool = False
    names_owned: int = 0
    names_limit: int = 32


@dataclass(frozen=True, slots=True)
class NameView:
    """What is stored about the name that the HELLO asks for."""

    owner: str
    """Fingerprint of the key that owns the name."""
    epoch: int = 0
    instance: bytes = b""
    """The instance to which ``epoch`` was given."""
    past: frozenset[bytes] = frozenset()
    """Instances that held the name before, as far as they are remembered."""


class Holder(Enum):
    """What is known about the life of the instance that holds the name now."""

    UNASKED = "unasked"
    ALIVE = "alive"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class LiveView:
    """What lives in memory under the name: the session of one instance, and recent takeovers."""

    instance: bytes = b""
    """Empty: nothing lives in memory."""
    lanes: Mapping[bytes, int] = field(default_factory=dict)
    """The last accepted generation of each lane."""
    linked: bool = False
    """Whether any lane of the instance has a link at the moment."""
    takeovers: tuple[float, ...] = ()
    """When the name was taken from a holder that proved to be alive."""
    unsettled: int = 0
    """Takeovers whose old holder may still prove to be alive."""
    holder: Holder = Holder.UNASKED


@dataclass(frozen=True, slots=True)
class Bounds:
    """What this relay grants at most."""

    lease_seconds: float = 30 * 86400.0
    lanes: int = 8


@dataclass(frozen=True, slots=True)
class Resume:
    """Attach the link to the lane that is there."""

    epoch: int
    lease_end: float


@dataclass(frozen=True, slots=True)
class NewLane:
    """Make the lane in the session that is there, and attach the link."""

    epoch: int
    lease_end: float


@dataclass(frozen=True, slots=True)
class NewInstance:
    """Begin a session: store epoch and instance durably, end the old session, attach the link."""

    epoch: int
    lease_end: float
    claims: bool = False
    """The name is not stored yet: claim it for the key, create-if-absent."""
    raises: bool = True
    """False: a repeated HELLO of the current instance; epoch and instance stand as stored."""
    supersedes: bool = False
    """A session of an older instance is in memory: tell it, and whether it answers in 1 s."""


@dataclass(frozen=True, slots=True)
class AskHolder:
    """The name is contended: find out whether its holder is alive, then decide again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refuse the link."""

    error: UnderpassError
    raise_to: int = 0
    """Above 0: an authentic echo showed a lost counter; store it durably before refusing. The
    instance that is stored stays: the echoing one comes back as a new one."""
    retry_after: float = 0.0

    def record(self) -> Refuse:
        """The words for the connector."""
        return refusal(self.error, self.retry_after)


Decision = Resume | NewLane | NewInstance | AskHolder | Refusal


def decide(
    hello: Hello,
    fingerprint: str,
    key: KeyView | None,
    name: NameView | None,
    live: LiveView,
    now: float,
    bounds: Bounds = Bounds(),
) -> Decision:
    """What to do with an authentic HELLO; ``now`` is the wall clock, as leases are.

    ``fingerprint`` is that of ``hello.key``; ``key`` and ``name`` are None when not stored.
    """
    if hello.epoch > HIGHEST_EPOCH:
        return Refusal(BadHello("the epoch is out of range"))
    if key is None:
        return Refusal(KeyUnknown(hello.relay))
    if key.revoked:
        return Refusal(KeyRevoked(hello.relay))
    if not hello.terms.lease_end > now:
        return Refusal(LeaseExpired(hello.name))
    lease_end = min(hello.terms.lease_end, now + bounds.lease_seconds)
    if name is None:
        return _claim(hello, key, lease_end)
    if name.owner != fingerprint:
        # Whoever echoes an epoch has held the name once: it was given to another key since.
        error = NameNotYours if hello.epoch else NameTaken
        return Refusal(error(hello.name))
    return _place(hello, name, live, now, lease_end, bounds)


def _claim(hello: Hello, key: KeyView, lease_end: float) -> Decision:
    if key.names_owned >= key.names_limit:
        return Refusal(TooManyNames(key.names_owned, key.names_limit))
    if hello.epoch or not hello.fresh:
        # A lost database: the counter must not fall behind what the connector has seen.
        return Refusal(UnknownSession(hello.name), raise_to=hello.epoch)
    return NewInstance(1, lease_end, claims=True)


def _place(
    hello: Hello, name: NameView, live: LiveView, now: float, lease_end: float, bounds: Bounds
) -> Decision:
    if 0 < hello.epoch < name.epoch:
        return Refusal(Superseded(hello.name))
    if hello.epoch > name.epoch:
        return Refusal(UnknownSession(hello.name), raise_to=hello.epoch)
    current = hello.instance == name.instance
    in_memory = current and live.instance == hello.instance
    if in_memory:
        return _lane(hello, name, live, lease_end, bounds)
    if hello.epoch:
        return Refusal(UnknownSession(hello.name))
    if hello.instance in name.past and not current:
        return Refusal(Superseded(hello.name))
    if not hello.fresh:
        return Refusal(UnknownSession(hello.name))
    supersedes = bool(live.instance)
    if current:
        return NewInstance(name.epoch, lease_end, raises=False, supersedes=supersedes)
    contended = _contended(hello, live, now)
    return contended or NewInstance(name.epoch + 1, lease_end, supersedes=supersedes)


def _lane(
    hello: Hello, name: NameView, live: LiveView, lease_end: float, bounds: Bounds
) -> Decision:
    accepted = live.lanes.get(hello.lane)
    if accepted is not None:
        if hello.generation <= accepted:
            return Refusal(StaleLink(hello.name, hello.generation, accepted))
        return Resume(name.epoch, lease_end)
    if not hello.fresh:
        return Refusal(UnknownLane(hello.name))
    if len(live.lanes) >= bounds.lanes:
        return Refusal(TooManyLanes(hello.name, bounds.lanes))
    return NewLane(name.epoch, lease_end)


def _contended(hello: Hello, live: LiveView, now: float) -> Refusal | AskHolder | None:
    """Whether a new instance must wait for the holder's sign of life, or is refused for it.

    A takeover counts once its old holder has proved alive; those still open count too, but only
    towards asking. A holder without a link, or silent when asked, is replaced without limit.
    """
    if not live.instance or not live.linked or live.holder is Holder.SILENT:
        return None
    recent = [at for at in live.takeovers if now - at < CONTENTION_WINDOW]
    if len(recent) + live.unsettled < CONTENTION_LIMIT:
        return None
    if live.holder is Holder.UNASKED:
        return AskHolder()
    if len(recent) < CONTENTION_LIMIT:
        return None
    wait = CONTENTION_WINDOW - (now - recent[-CONTENTION_LIMIT])
    return Refusal(NameContended(hello.name), retry_after=wait)
