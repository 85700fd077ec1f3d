"""The sending half of a lane: what was sent and may be asked for again, and whose turn it is.

Frames handed to a link stay in the log until the peer acknowledges them; a new link first repeats
the log from the peer's offset, then goes on with new frames. New frames are chosen by deficit
round-robin with a list of new streams served first, once, for one quantum (as in RFC 8290,
FQ-CoDel, which shows why a stream that empties there must pass through the other list).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from underpass.relay.protocol.frames import ALONE, HEADER, HEADER_SIZE, JOIN_LIMIT, QUANTUM
from underpass.relay.protocol.pacing import Pacing
from underpass.relay.protocol.stream import Buffer, Stream

LEAST_QUANTUM: Final = 1536
"""What a turn is worth at the least: about a packet, and most small answers whole."""
OVERDRAFT: Final = 16 * 1024
"""Control may exceed the room in flight by this much: credit must not wait behind data."""

_pack = HEADER.pack


class Outbox:
    """Log, resend, pacing and turns of one direction."""

    __slots__ = (
        "_log",
        "_new",
        "_old",
        "_resend",
        "_tail",
        "acked",
        "handed",
        "logged",
        "pacing",
        "sent",
    )

    def __init__(self) -> None:
        self.sent = 0
        """Offset after the last frame put into the sequence."""
        self.acked = 0
        """Offset before which the peer holds everything."""
        self.handed = 0
        """Offset up to which the present link was given the sequence."""
        self.logged = 0
        """Bytes in the log."""
        self.pacing: Pacing | None = None
        """Of the present link; None without one."""
        self._log: deque[tuple[int, list[Buffer]]] = deque()
        self._resend: deque[tuple[int, list[Buffer]]] = deque()
        self._tail = False
        self._new: deque[Stream] = deque()
        self._old: deque[Stream] = deque()

    # -- log ----------------------------------------------------------------------------------

    def attach(self, offset: int, now: float) -> None:
        """A new link: the peer holds everything before ``offset``."""
        self.acknowledge(offset, None)
        self.handed = offset
        self.pacing = Pacing(now, offset)
        self._resend = deque()
        self._tail = False
        for end, buffers in self._log:
            start = end - sum(map(len, buffers))
            self._tail |= start < offset
            self._resend.append(
                (end, buffers if start >= offset else _tail(buffers, offset - start))
            )

    def detach(self) -> None:
        """The link is gone."""
        self.pacing = None
        self._resend.clear()

    def acknowledge(self, offset: int, now: float | None) -> int:
        """Drop what the peer holds; returns how many bytes of the log that frees."""
        log = self._log
        start = end = self.sent - self.logged
        while log and log[0][0] <= offset:
            end = log.popleft()[0]
        freed = end - start
        self.logged -= freed
        if offset > self.acked:
            self.acked = offset
        if now is not None and self.pacing is not None:
            self.pacing.acked(offset, now)
        return freed

    def append(self, buffers: list[Buffer], size: int) -> None:
        """Put one frame, ``size`` bytes with its header, at the end of the sequence."""
        self.sent += size
        self.logged += size
        self.handed = self.sent
        self._log.append((self.sent, buffers))

    @property
    def room(self) -> int:
        """Bytes that may be handed to the link now."""
        return 0 if self.pacing is None else self.pacing.window - (self.handed - self.acked)

    def put_at_once(
        self, kind: int, stream: int, payload: Buffer, size: int
    ) -> list[Buffer] | None:
        """Put a frame at the end of the sequence outside of any turn, if nobody waits, nothing has
        to be repeated and there is room in flight. Returns its buffers, or None."""
        pacing = self.pacing
        end = self.sent + HEADER_SIZE + size
        if (
            pacing is None
            or self._new
            or self._old
            or self._resend
            or end - self.acked > pacing.window
        ):
            return None
        head = _pack(kind << 24 | size, stream)
        # joining copies: cheaper than one more buffer to write
        buffers: list[Buffer] = [head + payload] if size <= JOIN_LIMIT else [head, payload]
        self.logged += HEADER_SIZE + size
        self.sent = self.handed = end
        self._log.append((end, buffers))
        return buffers

    @property
    def resending(self) -> bool:
        """Whether a part of the log has still to be repeated on this link."""
        return bool(self._resend)

    def finish_frame(self, out: list[Buffer]) -> None:
        """Append the rest of the frame in which the last link died, whatever the room is.

        Link frames stand only between lane frames, so nothing can be said before it; if both ends
        waited for acknowledgements here, neither could give one.
        """
        if self._tail:
            self._tail = False
            self.handed, buffers = self._resend.popleft()
            out.extend(buffers)

    def repeat(self, out: list[Buffer]) -> None:
        """Append what the room allows of the log's repetition."""
        resend = self._resend
        room = self.room
        while resend and room > 0:
            end, buffers = resend.popleft()
            out.extend(buffers)
            room -= end - self.handed
            self.handed = end

    # -- turns --------------------------------------------------------------------------------

    def activate(self, stream: Stream) -> None:
        """The stream has something to send: it goes first, for one quantum."""
        if not stream.active:
            stream.active = True
            stream.deficit = QUANTUM
            self._new.append(stream)

    @property
    def waiting(self) -> bool:
        """Whether any stream stands in the ring."""
        return bool(self._new or self._old)

    def take_turns(self, room: int, out: list[Buffer], done: list[Stream]) -> int:
        """Cut frames of the streams in turn until ``room`` payload bytes are spent or nothing is
        left. Finished streams are added to ``done``. Returns the payload bytes spent."""
        new, old = self._new, self._old
        spent = 0
        while (new or old) and spent < room:
            ring = new if new else old
            stream = ring[0]
            if not stream.sendable:
                ring.popleft()
                if ring is new and not stream.send_done:
                    old.append(stream)
                else:
                    stream.active = False
                continue
            # One new stream gets a whole turn; many at once are a round of their own.
            streams = len(new) + len(old)
            quantum = QUANTUM if ring is new and len(new) == 1 else self._quantum(streams)
            if stream.deficit <= 0:
                ring.popleft()
                stream.deficit += quantum
                old.append(stream)
                continue
            alone = streams == 1
            if stream.deficit > quantum:
                stream.deficit = quantum
            limit = min(ALONE if alone else stream.deficit, room - spent)
            frame: list[Buffer] = []
            size = stream.cut(limit, frame)
            if size < 0:
                ring.popleft()
                stream.active = False
                continue
            spent += size
            stream.deficit = QUANTUM if alone else stream.deficit - max(size, 1)
            out.extend(frame)
            total = 0
            for buffer in frame:
                total += len(buffer)
            self.append(frame, total)
            if stream.send_done:
                ring.popleft()
                stream.active = False
                done.append(stream)
            elif alone and ring is new:
                old.append(new.popleft())  # it had its first quantum: whoever comes goes before
        return spent

    def _quantum(self, streams: int) -> int:
        """What a turn is worth now, for one of so many ``streams``.

        At most what the rules say, and no more than lets a round fit into the bytes in flight: a
        small answer beside many streams waits for a round, and on a slow path a round of whole
        quanta takes many seconds.
        """
        if self.pacing is None:
            return QUANTUM
        return max(min(self.pacing.window // streams, QUANTUM), LEAST_QUANTUM)


def _tail(buffers: list[Buffer], skip: int) -> list[Buffer]:
    rest: list[Buffer] = []
    for buffer in buffers:
        if skip >= len(buffer):
            skip -= len(buffer)
            continue
        rest.append(memoryview(buffer)[skip:] if skip else buffer)
        skip = 0
    return rest
