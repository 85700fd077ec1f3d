"""muxado as ngrok's agents speak it: frames to events and back. Pure, the server's side.

A frame is eight bytes, big-endian, and a body: length (24 bits), type and flags (4 each), then the
stream's id. Streams of the client have odd ids. A stream may have 256 KiB on its way in each
direction; what was consumed is given back with WNDINC.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

RST, DATA, WNDINC, GOAWAY = 0, 1, 2, 3
FIN, SYN = 1, 2
WINDOW = 256 * 1024
MAX_FRAME = 1 << 20
CANCELLED = 6


@dataclass(slots=True)
class MuxStream:
    """What both sides may still send on one stream."""

    id: int
    room: int = WINDOW
    """Bytes that we may send."""
    announced: bool = True
    """Whether the other side has heard of it."""
    sent_end: bool = False
    got_end: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """The client opened a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes on a stream; ``end`` says that no more come."""

    stream: int
    content: bytes
    end: bool


@dataclass(frozen=True, slots=True)
class Room:
    """We may send more on a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Reset:
    """A stream was broken off."""

    stream: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The client leaves."""


Event = Opened | Data | Room | Reset | GoneAway


class MuxError(Exception):
    """What came is no muxado."""


@dataclass(slots=True)
class Mux:
    """One session's books."""

    streams: dict[int, MuxStream] = field(default_factory=dict)
    _next: int = 2
    _rest: bytearray = field(default_factory=bytearray)

    def receive_data(self, data: bytes) -> list[Event]:
        """What ``data`` completes. Raises ``MuxError``."""
        self._rest += data
        events: list[Event] = []
        at = 0
        while len(self._rest) - at >= 8:
            first, stream = struct.unpack_from(">II", self._rest, at)
            length, kind, flags = first >> 8, (first >> 4) & 15, first & 15
            if length > MAX_FRAME or kind > GOAWAY:
                raise MuxError(f"a frame of type {kind} with {length} bytes")
            if len(self._rest) - at < 8 + length:
                break
            body = bytes(self._rest[at + 8 : at + 8 + length])
            at += 8 + length
            events += self._receive(kind, flags, stream & 0x7FFFFFFF, body)
        del self._rest[:at]
        return events

    def open(self) -> int:
        """A new stream of ours; the client hears of it with the first bytes."""
        stream, self._next = self._next, self._next + 2
        self.streams[stream] = MuxStream(stream, announced=False)
        return stream

    def send_data(self, stream: int, content: bytes, *, end: bool = False) -> bytes:
        """A frame with ``content``, which fits into the stream's room."""
        state = self.streams[stream]
        state.room -= len(content)
        flags = (FIN if end else 0) | (0 if state.announced else SYN)
        state.announced, state.sent_end = True, end
        self._forget_ended(state)
        return _frame(DATA, flags, stream, content)

    def give_back(self, stream: int, count: int) -> bytes:
        """Tell that ``count`` bytes were consumed."""
        return _frame(WNDINC, 0, stream, struct.pack(">I", count))

    def reset(self, stream: int) -> bytes:
        """Break a stream off."""
        self.streams.pop(stream, None)
        return _frame(RST, 0, stream, struct.pack(">I", CANCELLED))

    def go_away(self) -> bytes:
        """Say that we leave."""
        return _frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0))

    def _receive(self, kind: int, flags: int, stream: int, body: bytes) -> list[Event]:
        state = self.streams.get(stream)
        if kind == GOAWAY:
            return [GoneAway()]
        if kind == DATA:
            events: list[Event] = []
            if flags & SYN:
                state = self.streams[stream] = MuxStream(stream)
                events.append(Opened(stream))
            if state is None:
                return []
            events.append(Data(stream, body, bool(flags & FIN)))
            if flags & FIN:
                state.got_end = True
                self._forget_ended(state)
            return events
        if state is None:
            return []
        if kind == WNDINC and len(body) == 4:
            state.room += int.from_bytes(body, "big")
            return [Room(stream)]
        del self.streams[stream]
        return [Reset(stream)]

    def _forget_ended(self, state: MuxStream) -> None:
        if state.sent_end and state.got_end:
            self.streams.pop(state.id, None)


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">II", len(body) << 8 | kind << 4 | flags, stream) + body
