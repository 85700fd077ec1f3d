"""The hard end of every lease, kept by the relay whether or not its connector is there.

At the end new requests are refused; exchanges in flight have 30 s more, then they are cut. The
book is pure; the clock drives it. Both are filled from the registry at start, so that a restart
extends nothing.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

CUT_AFTER: Final = 30.0
"""Seconds that exchanges in flight may go on after the end."""

LONGEST_SLEEP: Final = 1.0
"""Leases end by the wall clock, which may be set while we sleep: look at it each second."""


class Phase(Enum):
    """What is due."""

    ENDED = "ended"
    """Refuse new requests."""
    CUT = "cut"
    """Break off what still runs."""


@dataclass(frozen=True, slots=True)
class Due:
    """A name's lease has come to ``phase``."""

    name: str
    phase: Phase


class LeaseBook:
    """Which lease ends when. Every name has at most one entry; each phase is due once."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._phases: dict[str, Phase] = {}
        self._heap: list[tuple[float, str]] = []

    def set(self, name: str, ends_at: float) -> None:
        """The lease of ``name`` ends at ``ends_at``, whatever was said before."""
        if self._ends.get(name) == ends_at:
            return
        self._ends[name] = ends_at
        self._phases[name] = Phase.ENDED
        self._push(ends_at, name)

    def forget(self, name: str) -> None:
        """Nothing is due for ``name`` any more. Idempotent."""
        self._ends.pop(name, None)
        self._phases.pop(name, None)

    def due(self, now: float) -> list[Due]:
        """What has become due, in order; a phase that is returned is not due again."""
        found: list[Due] = []
        while self._heap and self._heap[0][0] <= now:
            at, name = heapq.heappop(self._heap)
            if self._next(name) != at:
                continue  # renewed or forgotten since
            phase = self._phases[name]
            found.append(Due(name, phase))
            if phase is Phase.ENDED:
                self._phases[name] = Phase.CUT
                self._push(at + CUT_AFTER, name)
            else:
                self.forget(name)
        return found

    def next_deadline(self) -> float | None:
        """When ``due`` has something next, or None."""
        while self._heap and self._next(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._ends)

    def _next(self, name: str) -> float | None:
        end = self._ends.get(name)
        if end is None:
            return None
        return end if self._phases[name] is Phase.ENDED else end + CUT_AFTER

    def _push(self, at: float, name: str) -> None:
        heapq.heappush(self._heap, (at, name))
        if len(self._heap) > 64 + 4 * len(self._ends):
            # Renewals leave dead entries behind: a thousand of them must not stay for a month.
            live = {(self._next(each), each) for each in self._ends}
            self._heap = [entry for entry in self._heap if entry in live]
            heapq.heapify(self._heap)


class LeaseClock:
    """Calls ``act`` for everything that becomes due. Runs from the first ``set`` to ``close``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float],
        act: Callable[[Due], None],
    ) -> None:
        self._loop = loop
        self._now = now
        self._act = act
        self._book = LeaseBook()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def set(self, name: str, ends_at: float) -> None:
        """See ``LeaseBook.set``."""
        self._book.set(name, ends_at)
        self._sleep()

    def forget(self, name: str) -> None:
        """See ``LeaseBook.forget``."""
        self._book.forget(name)

    def close(self) -> None:
        """Stop. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __len__(self) -> int:
        return len(self._book)

    def _wake(self) -> None:
        self._timer = None
        for due in self._book.due(self._now()):
            self._act(due)
        self._sleep()

    def _sleep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._book.next_deadline()
        if deadline is not None and not self._closed:
            wait = min(max(0.0, deadline - self._now()), LONGEST_SLEEP)
            self._timer = self._loop.call_later(wait, self._wake)
