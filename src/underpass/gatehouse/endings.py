"""When what let visitors in ends while their exchanges still run: then they end, too.

One timer for all exchanges of a gatehouse. An exchange whose admission has no end is not known
here, and one that ends by itself is forgotten at once, up to an empty entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

from underpass.guard.holds import Hold

ENDED: Final = "admission-ended"
"""Why an exchange was ended: the time of what let its visitor in is over."""
REVOKED: Final = "admission-revoked"
"""Why an exchange was ended: what let its visitor in was taken back."""
REASONS: Final = frozenset({ENDED, REVOKED})

LOOK_SECONDS: Final = 30.0
"""The wall clock is looked at this often at least: timers stand still while the machine sleeps."""

MOST_SPENT: Final = 64
"""Entries of exchanges that are over which may stay among those of others that run."""


class Endable(Protocol):
    """An exchange that can be ended from outside."""

    def admission_over(self, code: str) -> None:
        """End now, for ``code``; what was sent must not look complete. Idempotent."""


class Ending:
    """One exchange and what it hangs on."""

    __slots__ = ("_among", "_holds", "exchange", "until")

    def __init__(
        self, among: Endings, exchange: Endable, until: float, holds: tuple[Hold, ...]
    ) -> None:
        self._among = among
        self._holds = holds
        self.until = until
        self.exchange: Endable | None = exchange
        """None once it is over."""
        for hold in holds:
            hold.watch(self._revoked)

    def over(self) -> None:
        """The exchange has ended. Idempotent."""
        if self.take() is not None:
            self._among.spent()

    def take(self) -> Endable | None:
        """The exchange, if it still runs, which hangs on nothing from now on."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            for hold in self._holds:
                hold.unwatch(self._revoked)
        return exchange

    def __lt__(self, other: Ending) -> bool:
        return self.until < other.until

    def _revoked(self) -> None:
        exchange = self.take()
        if exchange is not None:
            self._among.spent()
            self._among.end(exchange, REVOKED)


class Endings:
    """The endings of one gatehouse's exchanges, on its event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wall_clock: Callable[[], float]) -> None:
        self._loop = loop
        self._wall_clock = wall_clock
        self._queue: list[Ending] = []
        """A heap, the earliest first; with some that are over."""
        self._spent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = 0.0

    def enter(self, exchange: Endable, until: float, holds: tuple[Hold, ...]) -> Ending:
        """Have ``exchange`` ended at ``until`` (Unix seconds), or when one of ``holds`` is cut. It
        says ``over`` when it ends before."""
        ending = Ending(self, exchange, until, holds)
        heappush(self._queue, ending)
        if self._timer is None or until < self._looks_at:
            self._look_later()
        return ending

    def spent(self) -> None:
        """One more of the entries is over."""
        self._spent += 1
        if self._spent > MOST_SPENT and 2 * self._spent > len(self._queue):
            self._queue = [each for each in self._queue if each.exchange is not None]
            heapify(self._queue)
            self._spent = 0

    def end(self, exchange: Endable, code: str) -> None:
        """End ``exchange`` in a turn of its own: whoever took back what it hangs on is not to meet
        what comes of it."""
        self._loop.call_soon(exchange.admission_over, code)

    def close(self) -> None:
        """Look at nothing any more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()

    def __len__(self) -> int:
        """How many entries there are, empty ones too."""
        return len(self._queue)

    def _look(self) -> None:
        self._timer = None
        now = self._wall_clock()
        while self._queue and (self._queue[0].exchange is None or self._queue[0].until <= now):
            exchange = heappop(self._queue).take()
            if exchange is None:
                self._spent -= 1
            else:
                self.end(exchange, ENDED)
        if self._queue:
            self._look_later()

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now = self._wall_clock()
        wait = min(LOOK_SECONDS, max(0.0, self._queue[0].until - now))
        self._looks_at = now + wait
        self._timer = self._loop.call_later(wait, self._look)
