"""When a tunnel must end: the lease's hard end, and the idle limit.

Pure. ``now`` is a clock that nobody can set and that goes on while the machine sleeps (boot
time): a wall clock that jumps forty days ends no lease, and a laptop that slept through the end
finds the lease ended. Only where an end is granted are the two clocks laid side by side.
"""

from __future__ import annotations

from enum import StrEnum


class LeaseEnd(StrEnum):
    """Why a tunnel's time is over."""

    EXPIRED = "lease ended"
    IDLE = "idle limit reached"


class LeaseClock:
    """The time one tunnel has left."""

    def __init__(self, *, ends_at: float, idle_seconds: int | None, now: float, unix: float):
        """``ends_at`` is in unix seconds, as granted; ``unix`` is the same moment as ``now``."""
        self._idle_seconds = idle_seconds
        self._visited = now
        self.renewed(ends_at, now=now, unix=unix)

    def renewed(self, ends_at: float, *, now: float, unix: float) -> None:
        """A new hard end was granted."""
        self.ends_at = ends_at
        """The hard end, unix seconds, as granted."""
        self._end = now + (ends_at - unix)

    def visited(self, now: float) -> None:
        """A visitor's exchange ended; proofs and refused strangers do not count."""
        self._visited = now

    def left(self, now: float) -> float:
        """Seconds until the hard end; not above zero when it is reached."""
        return self._end - now

    def ended(self, now: float, *, has_visitors: bool = False) -> LeaseEnd | None:
        """Why the tunnel must close at ``now``; None: it may stay.

        With a visitor inside it is not idle, however quiet that one is.
        """
        if now >= self._end:
            return LeaseEnd.EXPIRED
        if has_visitors:
            self._visited = now
        idle_at = self._idle_at()
        return LeaseEnd.IDLE if idle_at is not None and now >= idle_at else None

    def next_deadline(self) -> float:
        """When to ask again."""
        idle_at = self._idle_at()
        return self._end if idle_at is None else min(self._end, idle_at)

    def _idle_at(self) -> float | None:
        return None if self._idle_seconds is None else self._visited + self._idle_seconds
