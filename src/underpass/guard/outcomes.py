"""What a gate can say about one request: at once, once it has the body, or after a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from underpass.guard.holds import Hold
from underpass.http.messages import Headers

LATER_SECONDS: Final = 10.0
"""How long a verdict may be waited for unless the gate says otherwise."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The visitor may go on, with these changes to the head."""

    strip: tuple[bytes, ...] = ()
    """Fields to remove, in lower case: the credential that passed."""
    target: bytes | None = None
    """The target that the origin shall see instead."""
    identity: str = ""
    """Who it is, as far as the gate knows, in a form that may be shown and counted by: the gate's
    kind, a colon and a name; "" where gates tell nobody apart."""
    until: float = inf
    """When what let the visitor in ends, in Unix seconds: what still runs under it ends then."""
    holds: tuple[Hold, ...] = ()
    """What may be taken back before: what runs under any of them ends at once then."""

    def is_over(self, wall_clock: Callable[[], float]) -> bool:
        """Whether nothing may begin by this pass any more."""
        return (self.until != inf and wall_clock() >= self.until) or (
            bool(self.holds) and any(hold.is_cut for hold in self.holds)
        )


@dataclass(frozen=True, slots=True)
class Deny:
    """The visitor is refused."""

    status: int
    """401 or 403, as the gate's scheme demands; 400 for a path that two could read differently,
    413 for a body too large to be judged, 503 when nobody can say now."""
    code: str
    """For ``Underpass-Error``; the same whatever was wrong with the credential."""
    challenge: Headers = field(default_factory=list)
    """``WWW-Authenticate``, where the scheme has one."""
    gate: str = field(default="", compare=False)
    """The kind of the gate that refused, for the owner's eyes only; "" where it is not known."""


@dataclass(frozen=True, slots=True)
class NeedsBody:
    """The verdict depends on the body: hold the request, and call ``decide`` with all of it.

    Said only to a visitor who has shown something worth it: a body is held in memory.
    """

    limit: int
    """Bytes; a longer body is refused with 413 and never judged."""
    decide: Callable[[bytes], Outcome]
    """Called once, with exactly the bytes that the origin would get."""


@dataclass(frozen=True, slots=True)
class Later:
    """The verdict must be waited for. ``wait`` is called once, in a task that is cancelled when
    the visitor leaves; an exception counts as ``Deny(503, "gate-away")``."""

    wait: Callable[[], Awaitable[Outcome]]
    seconds: float = LATER_SECONDS
    """After so long nobody can say: 503."""


Outcome = Pass | Deny | NeedsBody | Later

PASSED: Final = Pass()
REFUSED: Final = Deny(403, "gate-refused")
AWAY: Final = Deny(503, "gate-away")
TOO_LARGE: Final = Deny(413, "body-too-large")
