"""Who is merely slow, and who is too slow: two judges that are asked about once a second. Pure."""

from __future__ import annotations

from underpass.relay.edges.limits import EdgeLimits


class BodyPace:
    """Whether a request body still comes fast enough while we are willing to read it."""

    __slots__ = ("_asked", "_limits", "_seconds", "received")

    def __init__(self, limits: EdgeLimits) -> None:
        self._limits = limits
        self._seconds = 0.0
        self._asked = 0.0
        self.received = 0
        """Bytes of body so far."""

    def is_late(self, now: float, *, reading: bool) -> bool:
        """Only time in which the visitor could have sent something (``reading``) counts."""
        if self._asked and reading:
            self._seconds += now - self._asked
        self._asked = now
        due = (self._seconds - self._limits.body_grace_seconds) * self._limits.body_min_rate
        return self.received < due


class StallWatch:
    """Whether a visitor takes anything at all of what was written to it."""

    __slots__ = ("_last", "_limit", "_since")

    def __init__(self, limits: EdgeLimits) -> None:
        self._limit = limits.write_stall_seconds
        self._last = -1
        self._since = 0.0

    def is_stalled(self, now: float, waiting: int) -> bool:
        """``waiting`` bytes are written and not yet taken; any change is a sign of life."""
        if waiting != self._last:
            self._last = waiting
            self._since = now
        return now - self._since >= self._limit
