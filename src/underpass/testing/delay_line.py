"""What a bad path does to the bytes of one direction, decided without I/O.

A `Path` holds the conditions of one direction, shared by every connection that goes that way; a
`DelayLine` holds the bytes of one connection that are still under way. Latency is a true delay
line: what goes in together comes out together later, however much it is, so that latency never
throttles. Bandwidth is one bottleneck for all connections of the direction, first come, first
served. Nothing is ever lost or reordered: TCP does not lose bytes, it only keeps them waiting.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

SEGMENT = 1448
"""Payload of a full Ethernet TCP segment: the grain in which limited bandwidth is handed out."""

FLIGHT_LIMIT = 32 * 1024 * 1024
"""Bytes of one connection on their way at most; 1 Gbit/s with 250 ms fits."""


class Mark(enum.Enum):
    """What can travel besides bytes."""

    END = "end"
    """The sender has closed its direction (FIN)."""
    RESET = "reset"
    """The sender has gone (RST)."""


@dataclass(slots=True)
class Path:
    """The conditions of one direction. Set the fields at any time; bytes already under way keep
    the time they were given."""

    latency: float = 0.0
    """Seconds from one end to the other."""
    bandwidth: float | None = None
    """Bytes a second, for all connections together; None is no limit."""
    queue: int = 64 * 1024
    """Bytes that may wait at the bottleneck, or in a black hole, before reading stops."""
    black_hole: bool = False
    """While set nothing arrives; what was sent arrives when the hole is gone, as with TCP."""
    slice: int | None = None
    """Bytes in one write at most; each write in its own turn of the event loop."""
    cut_after: int | None = None
    """Bytes that still pass before the connection is reset; None is no cut."""
    passed: int = 0
    """Bytes that have arrived so far."""
    free_at: float = 0.0
    """When the bottleneck has sent all that was handed to it."""

    def departure(self, size: int, now: float) -> float:
        """When `size` bytes that reach the bottleneck now have left it."""
        leaves = max(now, self.free_at)
        if self.bandwidth is not None:
            leaves += size / self.bandwidth
            self.free_at = leaves
        return leaves

    def waiting(self, now: float) -> float:
        """Bytes that have not left the bottleneck yet."""
        return 0.0 if self.bandwidth is None else max(0.0, self.free_at - now) * self.bandwidth


class DelayLine:
    """The bytes and marks of one connection in one direction, each with the time it is due."""

    __slots__ = ("_last_due", "_line", "held", "opens_at", "path")

    def __init__(self, path: Path, opens_at: float = 0.0) -> None:
        self.path = path
        self.opens_at = opens_at
        """Nothing leaves before: the sender's connect takes a round trip."""
        self.held = 0
        """Bytes in the line."""
        self._line: deque[tuple[float, bytes | Mark]] = deque()
        self._last_due = 0.0

    def put(self, item: bytes | Mark, now: float) -> None:
        """Sends `item` off. Marks never overtake the bytes before them."""
        if isinstance(item, Mark):
            self._append(item, self.path.departure(0, now))
            return
        grain = len(item) if self.path.bandwidth is None else SEGMENT
        for start in range(0, len(item), grain):
            piece = item[start : start + grain]
            self.held += len(piece)
            self._append(piece, self.path.departure(len(piece), now))

    def pop_due(self, now: float) -> bytes | Mark | None:
        """The next item that has arrived, or None if none has."""
        if self.path.black_hole or not self._line or self._line[0][0] > now:
            return None
        item = self._line.popleft()[1]
        if isinstance(item, bytes):
            self.held -= len(item)
        return item

    def put_back(self, rest: bytes) -> None:
        """Returns the part of a popped item that was not used; it stays due."""
        self.held += len(rest)
        self._line.appendleft((0.0, rest))

    def next_deadline(self) -> float | None:
        """When `pop_due` will have something; None if that depends on somebody else."""
        return None if self.path.black_hole or not self._line else self._line[0][0]

    def is_full(self, now: float) -> bool:
        """Whether the sender has to wait, as it would when its TCP window is used up."""
        if self.path.black_hole and self.held >= self.path.queue:
            return True
        return self.path.waiting(now) >= self.path.queue or self.held >= FLIGHT_LIMIT

    def _append(self, item: bytes | Mark, departure: float) -> None:
        # A latency that was lowered meanwhile must not let later bytes overtake earlier ones.
        due = max(departure, self.opens_at) + self.path.latency
        self._last_due = max(self._last_due, due)
        self._line.append((self._last_due, item))
