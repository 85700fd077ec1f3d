"""What is noted of one exchange while it passes: counts, times, and the first bytes of both sides.

Kept as cheap as can be, since it runs with the traffic: nothing is parsed, decoded or searched
here. What becomes of it is ``development``'s subject.
"""

from __future__ import annotations

from typing import Final

import msgspec

from underpass.http.messages import Headers, RequestHead, ResponseHead
from underpass.observe.redaction import Answered, Asked


class Side(msgspec.Struct, gc=False, eq=False):
    """The bytes of one direction, of which the first ``room`` are kept."""

    room: int
    """How many more bytes are kept."""
    size: int = 0
    cut: bool = False
    parts: list[bytes] = []
    times: list[float] = []
    """When each of ``parts`` came, on the loop's clock."""

    def take(self, data: bytes | memoryview, now: float) -> None:
        """The next bytes of this direction."""
        size = len(data)
        self.size += size
        room = self.room
        if size <= room:
            self.room = room - size
            self.parts.append(bytes(data))
            self.times.append(now)
        elif room > 0:
            self.room = 0
            self.cut = True
            self.parts.append(bytes(data[:room]))
            self.times.append(now)
        else:
            self.cut = True

    def widen(self, room: int) -> None:
        """Keep so many bytes more than were asked for at first, unless some were lost already."""
        if not self.cut:
            self.room += room


NOTHING: Final = Side(0)
"""A direction in which nothing has come: most requests have no body. Not to be changed."""


class Tape(msgspec.Struct, gc=False, eq=False):
    """One exchange. It knows nobody who knows it, so nobody has to look for cycles."""

    id: int
    """0 until it is written down."""
    kind: str
    address: str
    begun: float
    """On the loop's clock."""
    at: float
    """On the wall's."""
    up: Side
    """What the visitor sends; ``NOTHING`` at first."""
    down: Side
    """What it gets; ``NOTHING`` at first."""
    room: int = 0
    """How much is kept of a direction in which something comes."""
    request: RequestHead | None = None
    response: ResponseHead | None = None
    asked: Asked | None = None
    """What is kept of ``request``, once it was looked through."""
    answered: Answered | None = None
    """The same of ``response``."""
    status: int = 0
    request_trailers: Headers | None = None
    response_trailers: Headers | None = None
    first: float | None = None
    """When the answer began."""
    ended: float | None = None
    up_ended: bool = False
    down_ended: bool = False
    due: float = 0.0
    """When an exchange that goes on is written down next, on the loop's clock."""
    outcome: str = "open"
    """``open`` also of one that has ended by itself: ``development`` tells what that amounts to."""
    code: str = ""
    """Of a break."""
    gate: str = ""
    identity: str = ""
    strip: tuple[bytes, ...] = ()
    """Fields of the request that a gate takes away: the credential that passed."""
    is_replay_of: str = ""
    is_written: bool = False
    """It was written down while it lasted."""
    informed: int = 0
    """Bytes already told to the meter."""

    def take_up(self, data: bytes | memoryview, now: float) -> None:
        """The next bytes from the visitor."""
        if self.up is NOTHING:
            self.up = Side(self.room)
        self.up.take(data, now)

    def take_down(self, data: bytes, now: float) -> None:
        """The next bytes for the visitor."""
        size = len(data)
        if self.down is not NOTHING:
            self.down.take(data, now)
        elif size <= self.room:
            self.down = Side(self.room - size, size, False, [data], [now])
        else:
            self.down = Side(self.room)
            self.down.take(data, now)

    def widen(self, room: int) -> None:
        """Keep so many bytes more of both directions."""
        self.room += room
        for side in (self.up, self.down):
            if side is not NOTHING:
                side.widen(room)

    @property
    def size(self) -> int:
        """Bytes of both directions so far."""
        return self.up.size + self.down.size
