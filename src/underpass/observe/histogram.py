"""Latencies in buckets that are fixed for good, so that histograms of any age and process add up.

The upper bounds are powers of two of a microsecond, from 256 µs to 134 s: an index is one
``bit_length``, and a quantile is right to a factor of two at worst.
"""

from __future__ import annotations

from typing import Final

_FIRST_BITS: Final = 8
_LAST_BITS: Final = 27
BUCKETS: Final = _LAST_BITS - _FIRST_BITS + 2
"""The last one has no upper bound."""

BOUNDS: Final = tuple((1 << bits) / 1e6 for bits in range(_FIRST_BITS, _LAST_BITS + 1))
"""Seconds: the upper bounds of all buckets but the last."""


def bucket_of(seconds: float) -> int:
    """Which bucket counts what lasted so long."""
    bits = int(seconds * 1e6).bit_length() if seconds > 0 else 0
    if bits <= _FIRST_BITS:
        return 0
    return BUCKETS - 1 if bits > _LAST_BITS else bits - _FIRST_BITS


class Histogram:
    """How often what lasted how long."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.total = 0.0
        """Seconds, summed."""

    def add(self, seconds: float) -> None:
        """One more. Negative durations (a clock that was set) count as none."""
        self.counts[bucket_of(seconds)] += 1
        self.total += seconds

    def merge(self, other: Histogram) -> None:
        """All of ``other``, too."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """Seconds below which ``share`` of all lay: the bound of the bucket in which that one is.
        None when there were none; what lay above all bounds counts as the last bound."""
        count = self.count
        if not count:
            return None
        wanted, seen = share * count, 0
        for number, bound in zip(self.counts, BOUNDS, strict=False):
            seen += number
            if seen >= wanted:
                return bound
        return BOUNDS[-1]
