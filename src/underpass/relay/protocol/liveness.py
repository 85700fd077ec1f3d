"""Is a link alive? Any byte received counts; silence is asked about, and in the end believed.

After 3 s of silence a PING goes out; 1.5 s later the link is *late* (a connector dials its
successor beside it), and 9 s after the last byte it is *dead*, inside the 10 s that WIRE.md allows.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

SILENCE: Final = 3.0
LATE: Final = SILENCE + 1.5
DEAD: Final = 9.0


class Doubt(Enum):
    """What silence calls for now."""

    PING = "ping"
    LATE = "late"
    DEAD = "dead"


class Liveness:
    """Silence on one link."""

    __slots__ = ("_asked", "last")

    def __init__(self, now: float) -> None:
        self.last = now
        """When the last byte came."""
        self._asked = 0

    def heard(self, now: float) -> None:
        """A byte came."""
        self.last = now
        self._asked = 0

    def suspect(self, now: float) -> None:
        """The machine slept or the network changed: ask at once, whatever was heard before."""
        self.last = min(self.last, now - SILENCE)
        self._asked = 0

    def next_deadline(self) -> float:
        """When ``tick`` has something to say, if nothing is heard until then."""
        return self.last + (SILENCE, LATE, DEAD)[self._asked]

    def tick(self, now: float) -> Doubt | None:
        """The strongest doubt that is due, each once a silence."""
        last = self.last  # compared as in next_deadline, so that both round alike
        if now >= last + DEAD:
            return Doubt.DEAD
        if now >= last + LATE and self._asked < 2:
            self._asked = 2
            return Doubt.LATE
        if now >= last + SILENCE and self._asked < 1:
            self._asked = 1
            return Doubt.PING
        return None
