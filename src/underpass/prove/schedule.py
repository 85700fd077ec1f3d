"""When to prove: pure, it takes the time and returns what is due and when to ask again.

Two actions: the *live* probe (a nonce through the public door to the origin and back) and the
*closed* check (a request without credentials must be refused). A visitor's completed exchange
counts as a live proof, so a busy tunnel is not probed; it says nothing about strangers, so the
closed check keeps its own interval however busy the tunnel is. Doubt (a link lost or regained, a
refusing origin) makes the live probe due at once. A vendor's quota stretches everything so that
proofs take at most a twentieth of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from underpass.drivers.base import Quota

LIVE_INTERVAL: Final = 15.0
"""Seconds of silence after which the live probe is due."""

CLOSED_INTERVAL: Final = 60.0
"""Seconds between closed checks."""

PROBE_SECONDS: Final = 10.0
"""What one probe or check may take. The relay holds a request for 5 s while the link is lost, so
that what is named then is the link and not a missing answer."""

RETRIES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Waits after one failed probe, two, three…: a tunnel that comes back is seen to do so."""

MIN_GAP: Final = 0.5
# 0.5 s between the starts of two live probes: doubts may come with every visitor of a sick origin.

QUOTA_SHARE: Final = 0.05
"""The part of a vendor's quota that proofs may use."""

QUOTA_BURST: Final = 20
# 20: an opening and one whole ladder of retries for both actions, without waiting for the quota.


class Action(StrEnum):
    """What the prober can be asked to do."""

    LIVE = "live"
    CLOSED = "closed"


class Schedule:
    """When the two actions are due for one tunnel. Both are due at once at the beginning."""

    def __init__(self, now: float, *, quota: Quota | None = None, closed: bool = True) -> None:
        """``closed`` is false for a ``--public`` tunnel: nothing there refuses strangers."""
        self._allowance = None if quota is None else Allowance(quota, now)
        stretch = 1.0
        if self._allowance is not None:
            wanted = 1 / LIVE_INTERVAL + (1 / CLOSED_INTERVAL if closed else 0.0)
            stretch = max(1.0, wanted / self._allowance.rate)
        self.live_interval = LIVE_INTERVAL * stretch
        """Seconds of silence after which the live probe is due, stretched by the quota."""
        self.closed_interval = CLOSED_INTERVAL * stretch
        """Seconds between closed checks, stretched by the quota."""
        self._running: set[Action] = set()
        self._live = _Due(now, self.live_interval)
        self._closed = _Due(now, self.closed_interval) if closed else None
        self._exchange = float("-inf")
        self._doubted = True
        self._doubted_again = False
        self._live_began = float("-inf")

    @property
    def checks_closed(self) -> bool:
        """Whether there is a closed check at all."""
        return self._closed is not None

    def exchange_completed(self, now: float) -> None:
        """A visitor's exchange went through the public door to the origin and back.

        While the tunnel is well this postpones the next live probe; while it is not, it brings
        the probe forward, since something seems to work again. Cheap: called for every exchange.
        """
        self._exchange = now
        if self._live.failures and Action.LIVE not in self._running:
            self.doubt(now)

    def doubt(self, now: float) -> None:
        """Something happened that may have changed the answer: prove as soon as allowed.

        During a running live probe another one follows it, since the running one may have begun
        before whatever happened.
        """
        if Action.LIVE in self._running:
            self._doubted_again = True
        else:
            self._doubted = True
            self._live.at = max(now, self._live_began + MIN_GAP)

    def tick(self, now: float) -> tuple[Action, ...]:
        """The actions to start now; each counts as running until ``finished``."""
        due = [action for action, at in self._deadlines() if at <= now]
        started = []
        for action in due:
            if self._allowance is not None and not self._allowance.take(now):
                break
            started.append(action)
            self._running.add(action)
            if action is Action.LIVE:
                self._live_began = now
                self._doubted = False
        return tuple(started)

    def finished(self, action: Action, *, ok: bool, now: float) -> None:
        """A started action ended; ``ok``: it proved what it should prove."""
        self._running.discard(action)
        if action is Action.CLOSED:
            if self._closed is not None:
                self._closed.finished(ok, now)
            return
        recovered = ok and self._live.failures > 0
        self._live.finished(ok, now)
        if self._doubted_again:
            self._doubted_again = False
            self.doubt(now)
        if recovered and self._closed is not None and self._closed.failures:
            self._closed.at = now

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to start; None while everything is running."""
        times = [at for _, at in self._deadlines()]
        if not times:
            return None
        if self._allowance is None:
            return min(times)
        return max(min(times), self._allowance.free_at)

    def _deadlines(self) -> list[tuple[Action, float]]:
        deadlines = []
        if Action.LIVE not in self._running:
            at = self._live.at
            if not self._doubted and not self._live.failures:
                at = max(at, self._exchange + self.live_interval)
            deadlines.append((Action.LIVE, at))
        if self._closed is not None and Action.CLOSED not in self._running:
            deadlines.append((Action.CLOSED, self._closed.at))
        return deadlines


class _Due:
    """When one action is due: an interval after a success, a growing wait after failures."""

    def __init__(self, at: float, interval: float) -> None:
        self.at = at
        self.failures = 0
        self._interval = interval

    def finished(self, ok: bool, now: float) -> None:
        if ok:
            self.failures = 0
            self.at = now + self._interval
        else:
            self.at = now + min(RETRIES[min(self.failures, len(RETRIES) - 1)], self._interval)
            self.failures += 1


class Allowance:
    """A token bucket that, over any window of the quota, gives at most its share.

    What the bucket can hold and what flows into it during one window add up to the share.
    """

    def __init__(self, quota: Quota, now: float) -> None:
        """Raises ValueError for a quota whose share is not more than one action."""
        share = quota.requests * QUOTA_SHARE
        if share <= 1:
            raise ValueError(f"a quota of {quota.requests} requests is too small to prove within")
        self._size = min(float(QUOTA_BURST), max(1.0, share / 2))
        self.rate = (share - self._size) / quota.seconds
        """Actions a second in the long run."""
        self._level = self._size
        self._at = now

    def take(self, now: float) -> bool:
        """Use one action's worth, if there is one."""
        self._level = min(self._size, self._level + (now - self._at) * self.rate)
        self._at = now
        # The tolerance pays for rounding: a deadline computed from the rate must be met by it.
        if self._level < 1 - 1e-9:
            return False
        self._level -= 1
        return True

    @property
    def free_at(self) -> float:
        """When ``take`` will give one."""
        return self._at + max(0.0, 1 - self._level) / self.rate
