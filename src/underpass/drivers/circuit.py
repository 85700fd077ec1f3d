"""When to stop restarting a program that ends again and again: pure, ``now`` is an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_ENDS: Final = 5
WITHIN_SECONDS: Final = 60.0
# F41 of the fault list: the circuit opens after five ends in sixty seconds.


class Circuit:
    """Counts the ends that waiting does not cure."""

    def __init__(self, ends: int = MAX_ENDS, seconds: float = WITHIN_SECONDS) -> None:
        self.ends = ends
        self.seconds = seconds
        self._times: deque[float] = deque(maxlen=ends)

    def ended(self, now: float) -> bool:
        """The program ended at ``now``: whether the circuit is open, and it stays down."""
        self._times.append(now)
        return len(self._times) == self.ends and now - self._times[0] <= self.seconds
