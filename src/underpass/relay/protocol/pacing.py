"""How many bytes may be on their way: delivery rate and round trip, measured from ACKs.

The bound keeps queues short where the path is slow, so that a small request need not wait behind
seconds of somebody's bulk, and stays out of the way where the path is fast. The estimate follows
BBR's delivery-rate samples (draft-cheng-iccrg-delivery-rate-estimation): a sample taken while we
had nothing to send may raise the rate but never lower it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

LEAST_WINDOW: Final = 32 * 1024
UNMEASURED_WINDOW: Final = 48 * 1024
"""What a new or long idle link takes before anything is known: the first two flights of TCP's slow
start (10 and 20 packets). The rules allow 128 KiB, but a connector's two lanes start at the same
time, and on 1 Mbit/s their first bytes alone would then fill two seconds."""
HEADROOM: Final = 0.3
"""Seconds of delivery allowed in flight beyond the smallest round trip (WIRE.md)."""
RATE_SPAN: Final = 2.0
"""Seconds a rate is believed; the larger of this span's and the last span's counts."""
RTT_SPAN: Final = 30.0
"""Seconds after which an idle link's round trip replaces a smaller one. A busy link's never does:
it holds the queue that our own bytes stand in, and a window grown by it would lengthen that queue
with every span."""
SAMPLES: Final = 64
"""Flights remembered at once; more are merged into the newest."""


class Pacing:
    """Delivery rate and smallest round trip of one link."""

    __slots__ = (
        "_delivered",
        "_delivered_at",
        "_flights",
        "_rate_before",
        "_rate_now",
        "_rate_since",
        "_rtt_since",
        "limited",
        "rtt",
        "window",
    )

    def __init__(self, now: float, offset: int) -> None:
        self._flights: deque[tuple[int, float, int, float, bool]] = deque()
        self._delivered = offset
        self._delivered_at = now
        self._rate_now = 0.0
        self._rate_before = 0.0
        self._rate_since = now
        self._rtt_since = now
        self.rtt: float | None = None
        """Smallest round trip, seconds; None until measured."""
        self.window = UNMEASURED_WINDOW
        """Bytes that may be handed to the link and not yet acknowledged."""
        self.limited = False
        """Whether the window (not a lack of data) stopped the last send."""

    def sent(self, offset: int, now: float, *, idle: bool) -> None:
        """Everything before ``offset`` was handed over; ``idle``: nothing was in flight before."""
        if idle:
            if now - self._delivered_at > RATE_SPAN:  # who knows what the path is like now
                self._rate_now = self._rate_before = 0.0
                self.window = min(self.window, UNMEASURED_WINDOW)
            self._delivered_at = now
        flights = self._flights
        if len(flights) >= SAMPLES:
            _, at, delivered, delivered_at, limited = flights.pop()
            flights.append((offset, at, delivered, delivered_at, limited))
            return
        flights.append((offset, now, self._delivered, self._delivered_at, self.limited))

    def acked(self, offset: int, now: float) -> None:
        """The peer holds everything before ``offset``."""
        flights = self._flights
        newest = None
        while flights and flights[0][0] <= offset:
            newest = flights.popleft()
        if newest is None and flights and offset > self._delivered:
            # A part of a large flight. Its whole would be measured with its own time on the path,
            # and on a slow one the window would stay too large for as long.
            newest = flights[0]
        self._delivered = offset
        self._delivered_at = now
        if newest is None:
            return
        _, at, delivered, delivered_at, limited = newest
        self.round_trip(now - at, now, idle=False)
        span = now - min(at, delivered_at)
        if span > 0:
            self._rate((offset - delivered) / span, now, limited)

    def round_trip(self, seconds: float, now: float, *, idle: bool) -> None:
        """A round trip was measured; ``idle``: by PONG, with nothing of ours in flight."""
        outdated = idle and now - self._rtt_since > RTT_SPAN
        if self.rtt is None or seconds <= self.rtt or outdated:
            self.rtt = seconds
            self._rtt_since = now

    def _rate(self, rate: float, now: float, limited: bool) -> None:
        if limited and now - self._rate_since > RATE_SPAN:
            self._rate_before, self._rate_now, self._rate_since = self._rate_now, 0.0, now
        if rate > self._rate_now:
            self._rate_now = rate
        best = max(self._rate_now, self._rate_before)
        measured = int(best * ((self.rtt or 0.0) + HEADROOM))
        if limited or measured > self.window:
            self.window = max(measured, LEAST_WINDOW)
