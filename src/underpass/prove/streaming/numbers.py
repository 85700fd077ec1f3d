"""Numbers of a measurement, and what they say about a way: pure.

Integers throughout (microseconds, bytes, counts), so that a certificate has one spelling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """How many values were spread, in microseconds."""

    count: int
    p50: int
    p99: int
    max: int


def spread(values: Sequence[int], *, less: int = 0) -> Spread:
    """Of nanoseconds, each ``less`` so many and never below nothing. There must be one."""
    ordered = sorted(max(0, value - less) for value in values)
    return Spread(
        len(ordered),
        at_percent(ordered, 50) // 1000,
        at_percent(ordered, 99) // 1000,
        ordered[-1] // 1000,
    )


def at_percent(ordered: Sequence[int], percent: int) -> int:
    """The smallest value that so many percent do not exceed (nearest rank)."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, rank - 1)]


def clumped(sent: Sequence[int], seen: Sequence[int], interval: int) -> int:
    """How many of a thousand events came on the heels of the one before, although they were sent
    apart: what a way that collects them does. All in nanoseconds."""
    if len(sent) < 2:
        return 0
    heels = sum(
        seen[at] - seen[at - 1] < interval // 5 and sent[at] - sent[at - 1] > interval // 2
        for at in range(1, len(sent))
    )
    return heels * 1000 // (len(sent) - 1)
