"""The clock of the shells that prove and supervise. Tests put their own in its place."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """One call to come."""

    def cancel(self) -> object:
        """Do not make it. Idempotent."""


class Clock(Protocol):
    """Two times and a timer."""

    def now(self) -> float:
        """Seconds that nobody can set, and that go on while the machine sleeps: a proof from
        before the lid was closed is old, and so is a lease."""

    def unix(self) -> float:
        """Seconds since 1970, as far as this machine's setting can be believed."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` on the running loop once ``now`` has reached ``when``.

        While the machine sleeps the wait stands still: the call comes late by as much.
        """


class SystemClock:
    """This machine's clock."""

    def now(self) -> float:
        """See ``Clock``."""
        # Linux counts its sleep in CLOCK_BOOTTIME, macOS in CLOCK_MONOTONIC.
        if sys.platform == "linux":
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def unix(self) -> float:
        """See ``Clock``."""
        return time.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """See ``Clock``."""
        delay = max(0.0, when - self.now())
        return asyncio.get_running_loop().call_later(delay, callback)
