"""What is noted of one exchange while it passes: counts, times, and the first bytes of both sides.

Kept as cheap as can be, since it runs with the traffic: nothing is parsed, decoded or searched
here. What becomes of it is ``development``'s subject.
"""

from __future__ import annotations

from underpass.http.messages import Headers, RequestHead, ResponseHead


class Side:
    """The bytes of one direction, of which the first ``room`` are kept."""

    __slots__ = ("cut", "parts", "room", "size", "times")

    def __init__(self, room: int) -> None:
        self.room = room
        """How many more bytes are kept."""
        self.size = 0
        self.cut = False
        self.parts: list[bytes] = []
        self.times: list[float] = []
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


class Tape:
    """One exchange. ``up`` is what the visitor sends, ``down`` what it gets."""

    __slots__ = (
        "address",
        "at",
        "begun",
        "code",
        "coding",
        "down",
        "down_ended",
        "due",
        "ended",
        "first",
        "gate",
        "id",
        "identity",
        "informed",
        "is_replay_of",
        "kind",
        "outcome",
        "request",
        "request_trailers",
        "response",
        "response_trailers",
        "strip",
        "up",
        "up_ended",
    )

    def __init__(
        self, number: int, kind: str, address: str, *, begun: float, at: float, room: int
    ) -> None:
        """``begun`` is of the loop's clock, ``at`` of the wall's."""
        self.id = number
        self.kind = kind
        self.address = address
        self.begun = begun
        self.at = at
        self.request: RequestHead | None = None
        self.response: ResponseHead | None = None
        self.request_trailers: Headers = []
        self.response_trailers: Headers = []
        self.up = Side(room)
        self.down = Side(room)
        self.first: float | None = None
        """When the answer began."""
        self.ended: float | None = None
        self.up_ended = False
        self.down_ended = False
        self.due = begun
        """When an exchange that goes on is written down next, on the loop's clock."""
        self.outcome = "open"
        self.code = ""
        self.coding = b""
        """The content coding of the answer."""
        self.gate = ""
        self.identity = ""
        self.strip: tuple[bytes, ...] = ()
        """Fields of the request that a gate takes away: the credential that passed."""
        self.is_replay_of = ""
        self.informed = 0
        """Bytes already told to the meter."""

    @property
    def size(self) -> int:
        """Bytes of both directions so far."""
        return self.up.size + self.down.size
