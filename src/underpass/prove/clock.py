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
    """Three times and a timer."""

    def monotonic(self) -> float:
        """Seconds that never go back and stand still while the machine sleeps."""

    def boot(self) -> float:
        """Seconds that never go back and go on while the machine sleeps."""

    def unix(self) -> float:
        """Seconds since 1970, as far as this machine's setting can be believed."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` on the running loop once ``monotonic`` has reached ``when``."""


class SystemClock:
    """This machine's clock."""

    def monotonic(self) -> float:
        """See ``Clock``."""
        return time.monotonic()

    def boot(self) -> float:
        """See ``Clock``."""
        # macOS counts its sleep in CLOCK_MONOTONIC, Linux in CLOCK_BOOTTIME.
        if sys.platform == "linux":
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def unix(self) -> float:
        """See ``Clock``."""
        return time.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """See ``Clock``."""
        delay = max(0.0, when - time.monotonic())
        return asyncio.get_running_loop().call_later(delay, callback)
