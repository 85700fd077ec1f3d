"""How long to wait before trying again: full jitter under a cap that grows with the outage.

Pure: the time and the jitter are arguments. A delay is drawn evenly from nothing to a bound; the
bound doubles with every try and is capped at one second during the first minute of an outage, so
that a short one ends quickly, and at fifteen seconds after that (the wire's rules for redialling).
"""

from __future__ import annotations

from typing import Final

FIRST_BOUND: Final = 0.1
# 0.1 s: a relay that restarts is back within a few hundred milliseconds; the first tries meet it.

EARLY_CAP: Final = 1.0
LATE_CAP: Final = 15.0
EARLY: Final = 60.0
"""Seconds of an outage during which the early cap holds."""


class Backoff:
    """The tries of one outage after another. ``recovered`` ends an outage."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._bound = FIRST_BOUND

    @property
    def is_trying(self) -> bool:
        """Whether an outage is going on: at least one try failed since the last success."""
        return self._began is not None

    def failed(self, now: float, jitter: float) -> float:
        """A try failed at ``now``: seconds to wait before the next one.

        ``jitter`` is a fresh random number, 0 ≤ jitter < 1.
        """
        if self._began is None:
            self._began = now
        cap = EARLY_CAP if now - self._began < EARLY else LATE_CAP
        bound = min(self._bound, cap)
        self._bound = min(self._bound * 2, LATE_CAP if cap == LATE_CAP else EARLY_CAP)
        return jitter * bound

    def recovered(self) -> None:
        """A try succeeded: the next outage begins with short waits again. Idempotent."""
        self._began = None
        self._bound = FIRST_BOUND
