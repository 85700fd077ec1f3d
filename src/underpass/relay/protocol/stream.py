"""One visitor's exchange inside a lane: what waits to be sent, and who owes whom credit.

Two directions, each with an end of its own. Sending: a queue of blocks and data, cut into frames
when the lane's turn, the peer's credit and the room in flight allow. Receiving: credit given and
not yet used (``outstanding``), bytes handed to the owner and not yet drained (``undrained``), and
the window both should fill. Control that waits (credit to give, a reset to say) is kept here,
merged, so that it can never overflow.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from underpass.relay.protocol.budget import EASY, LANE_RESERVE, SMALL_CREDIT, WINDOW_LIMIT
from underpass.relay.protocol.frames import (
    ABORT,
    BLOCK_LIMIT,
    DATA,
    END,
    FIN,
    FULL,
    FULL_LIMIT,
    HEAD,
    MORE,
    QUANTUM,
    STOP,
    TRAILERS,
    U32,
    credit_frame,
    header,
    reset_frame,
)

if TYPE_CHECKING:
    from underpass.relay.protocol.lane import Lane

Buffer = bytes | memoryview

RESUME_AT = 16 * 1024
"""Room worth waking a paused sender for, while it still has something queued."""
LARGEST_ROOM = 256 * 1024
GROW_WITHIN = 0.1
"""A window drained within this many seconds (or three round trips) was too small: it doubles."""


class Stream:
    """One stream of a lane. Made by ``Lane.open`` and by the peer's OPEN; never reused."""

    __slots__ = (
        "_abort",
        "_block",
        "_drained",
        "_grow_since",
        "_queue",
        "_stop",
        "active",
        "credit",
        "deficit",
        "discarding",
        "grant",
        "id",
        "kind",
        "lane",
        "outstanding",
        "owner",
        "paused",
        "peer",
        "queued",
        "receive_done",
        "secure",
        "send_done",
        "send_ended",
        "token",
        "undrained",
        "urgent",
        "window",
    )

    def __init__(
        self,
        lane: Lane,
        number: int,
        *,
        kind: str,
        peer: tuple[str, int],
        secure: bool,
        token: str,
        credit: int,
        granted: int,
        now: float,
    ) -> None:
        self.lane = lane
        self.id = number
        self.kind = kind
        """``http``, ``tcp``, ``tls`` or ``reach``."""
        self.peer = peer
        """The visitor's address and port, as the edge saw it."""
        self.secure = secure
        self.token = token
        self.owner: Any = None
        """Whoever gets this stream's events; set by the shell, never read here."""
        # sending
        self._queue: deque[tuple[int, Buffer, Buffer]] = deque()
        self.queued = 0
        """Payload bytes in the queue."""
        self.credit = credit
        """Bytes the peer still takes."""
        self.send_ended = False
        """``send_end`` or ``abort`` was called: nothing more may be queued."""
        self.send_done = False
        """The last frame of our direction is in the sequence."""
        self.paused = False
        self.active = False
        self.deficit = 0
        self._abort: str | None = None
        self._stop: str | None = None
        self.grant = 0
        self.urgent = False
        # receiving
        self.outstanding = granted
        self.undrained = 0
        self.window = granted
        self.receive_done = False
        self.discarding = False
        self._block: bytearray | None = None
        self._drained = 0
        self._grow_since = now

    # -- sending, for owners ------------------------------------------------------------------

    def send_head(self, head: bytes, body: Buffer = b"", end: bool = False) -> None:
        """Queue the (final) head, and with ``end`` a whole body: one frame if it is small.

        A head or trailer block over ``BLOCK_LIMIT`` would cost the lane; it aborts the stream.
        """
        if self._is_over(head):
            return
        size = len(head) + len(body)
        if end and size <= FULL_LIMIT:
            self.send_ended = True
            if size <= self.credit and not self._queue:
                whole = b"".join((U32.pack(len(head)), head, body))
                if self.lane.send_at_once(self, FULL, whole):
                    self.credit -= size
                    self._sent_last()
                    return
            self._put(FULL, head, body, size)
            return
        self._put(HEAD, head, b"", len(head))
        if body:
            self._put(DATA, body, b"", len(body))
        if end:
            self.send_end()

    def send_informational(self, head: bytes) -> None:
        """Queue a 1xx head."""
        if not self._is_over(head):
            self._put(HEAD, head, b"", len(head))

    def send_data(self, data: Buffer) -> bool:
        """Queue body bytes; they must not change afterwards. False: pause until ``Writable``."""
        if self.send_ended:
            return True
        size = len(data)
        if (
            0 < size <= QUANTUM
            and size <= self.credit
            and not self._queue
            and self.lane.send_at_once(self, DATA, data)
        ):
            self.credit = credit = self.credit - size
            if credit and self.lane.buffered < LANE_RESERVE:
                return True  # what ``room`` would say, without asking everybody
        elif size:
            self._put(DATA, data, b"", size)
        if self.room > 0:
            return True
        if not self.paused:
            self.paused = True
            self.lane.waiting[self.id] = self
        return False

    def send_trailers(self, trailers: bytes) -> None:
        """Queue the encoded trailer block; ``send_end`` must follow."""
        if not self._is_over(trailers):
            self._put(TRAILERS, trailers, b"", len(trailers))

    def send_end(self) -> None:
        """Our direction is complete."""
        if not self.send_ended:
            self.send_ended = True
            if not self._queue and self.lane.send_at_once(self, FIN, b""):
                self._sent_last()
            else:
                self._put(FIN, b"", b"", 0)

    def abort(self, code: str) -> bool:
        """Break our direction off: what is queued is dropped, the peer is told. Idempotent;
        returns whether anything was left to break off."""
        if self.send_done or self._abort is not None:
            return False
        self.send_ended = True
        self._drop_queue()
        self._abort = code
        self.lane.urge(self)
        return True

    def stop(self, code: str) -> None:
        """Read no more: what still comes is dropped, the peer is told. Idempotent."""
        if not self.discarding:
            # what is thrown away on arrival pins no memory: none of it counts any more
            self.discarding = True
            self.grant = 0
            self.lane.budget.used -= self.undrained + self.outstanding
            self.undrained = 0
            if not self.receive_done:
                self._stop = code
                self.lane.urge(self)

    def drained(self, count: int) -> None:
        """``count`` received body bytes have left this process: the peer may send more."""
        undrained = self.undrained
        if count > undrained:
            count = undrained
        if not count:
            return
        self.undrained = undrained = undrained - count
        window, outstanding = self.window, self.outstanding
        self._drained += count
        if outstanding and (window - outstanding - undrained) * 4 < window > self._drained:
            self.lane.budget.used -= count  # nothing to grant yet: the common case
        else:
            self._drained -= count
            self.credit_back(count)

    @property
    def room(self) -> int:
        """Bytes the owner may send now: read its socket no further than this."""
        room = self.credit - self.queued
        lane = self.lane
        if room > LARGEST_ROOM:
            room = LARGEST_ROOM
        account, replay = lane.account, lane.replay
        if (
            lane.buffered > EASY
            or account.used > account.half
            or replay.used > replay.half
            or not lane.attached
        ):
            room = min(room, lane.free)
        return room if room > 0 else 0

    @property
    def closed(self) -> bool:
        """Both directions are over, and nothing waits to be said."""
        return self.send_done and self.receive_done and not self.urgent

    def _sent_last(self) -> None:
        self.send_done = True
        self.lane.finished(self)

    # -- sending, for the lane ----------------------------------------------------------------

    def _is_over(self, block: bytes) -> bool:
        if not self.send_ended and len(block) > BLOCK_LIMIT:
            self.abort("head-too-large")
        return self.send_ended

    def _put(self, kind: int, first: Buffer, second: Buffer, size: int) -> None:
        self._queue.append((kind, first, second))
        self.queued += size
        self.lane.queue_grew(self, size)

    def _drop_queue(self) -> None:
        self._queue.clear()
        self.lane.queue_shrank(self.queued)
        self.queued = 0
        self.paused = False
        self.lane.waiting.pop(self.id, None)

    @property
    def sendable(self) -> bool:
        """Something is queued, and credit covers at least a part of it."""
        return bool(self._queue) and (self.credit > 0 or self._queue[0][0] == FIN)

    def cut(self, limit: int, out: list[Buffer]) -> int:
        """Append the next frame, of at most ``limit`` payload bytes, to ``out`` as header and
        payload buffers. Returns the payload's size, or -1 if nothing may be sent now."""
        queue = self._queue
        if not queue:
            return -1
        kind, data, body = queue[0]
        size = len(data)
        allowed = min(limit, self.credit)
        if kind == DATA:
            if size <= allowed:
                queue.popleft()
                if queue and queue[0][0] == FIN:
                    queue.popleft()
                    self.send_done = True
                    kind |= END
            elif allowed > 0:
                view = memoryview(data)
                queue[0] = (DATA, view[allowed:], b"")
                data = view[:allowed]
                size = allowed
            else:
                return -1
            out.append(header(kind, self.id, size))
            out.append(data)
        elif kind == FULL:
            whole = size + len(body)
            if whole > allowed:
                queue.popleft()
                queue.appendleft((FIN, b"", b""))
                if body:
                    queue.appendleft((DATA, body, b""))
                queue.appendleft((HEAD, data, b""))
                return self.cut(limit, out)
            queue.popleft()
            self.send_done = True
            out.append(header(FULL, self.id, whole + U32.size) + U32.pack(size) + data)
            if body:
                out.append(body)
            size = whole
        elif kind == FIN:
            queue.popleft()
            self.send_done = True
            out.append(header(FIN, self.id, 0))
        else:  # HEAD, TRAILERS
            if size <= allowed:
                queue.popleft()
            elif allowed > 0:
                view = memoryview(data)
                queue[0] = (kind, view[allowed:], b"")
                data = view[:allowed]
                size = allowed
                kind |= MORE
            else:
                return -1
            out.append(header(kind, self.id, size))
            out.append(data)
        self.credit -= size
        self.queued -= size
        return size

    def control(self) -> bytes:
        """The control that waits, as frames; afterwards nothing waits."""
        self.urgent = False
        out = b""
        if self.grant:
            out = credit_frame(self.id, self.grant)
            self.grant = 0
        if self._stop is not None:
            out += reset_frame(self.id, STOP, self._stop)
            self._stop = None
        if self._abort is not None and not self.send_done:
            out += reset_frame(self.id, ABORT, self._abort)
            self.send_done = True
        return out

    # -- receiving, for the lane --------------------------------------------------------------

    def accept(self, size: int, *, body: bool) -> bool:
        """Count ``size`` received payload bytes; False if they were not covered by credit."""
        if size > self.outstanding:
            return False
        self.outstanding -= size
        if not self.discarding:
            if body:
                self.undrained += size
            else:
                self.credit_back(size)
        return True

    def collect(self, part: Buffer, *, more: bool) -> bytes | None:
        """Add to a head or trailer block; the whole block once it is complete.

        Raises ``ValueError`` when the block grows too large.
        """
        if self._block is None:
            if not more:
                return bytes(part)
            self._block = bytearray()
        self._block += part
        if len(self._block) > BLOCK_LIMIT:
            raise ValueError
        if more:
            return None
        block, self._block = bytes(self._block), None
        return block

    def receive_over(self) -> None:
        """The peer's direction is over: credit it never used is free again."""
        if not self.receive_done:
            self.receive_done = True
            self._block = None
            self._stop = None
            self.grant = 0
            if not self.discarding:
                self.lane.budget.used -= self.outstanding
            self.outstanding = 0

    def credit_back(self, count: int) -> None:
        """``count`` bytes are no longer held: free them, and grant as much as the window wants."""
        budget = self.lane.budget
        budget.used -= count
        if self.receive_done or self.discarding:
            return
        self._drained += count
        if self._drained >= self.window:
            self._grow()
        window = self.window if budget.generous else SMALL_CREDIT
        gap = window - self.outstanding - self.undrained
        if gap <= 0 or (self.outstanding and gap * 4 < window):
            return
        gap = min(gap, budget.limit - budget.used)
        if gap > 0:
            self.outstanding += gap
            budget.used += gap
            self.grant += gap
            self.lane.urge(self)

    def _grow(self) -> None:
        now = self.lane.now
        rtt = self.lane.rtt or 0.0
        if now - self._grow_since <= max(GROW_WITHIN, 3 * rtt) and self.lane.budget.generous:
            self.window = min(self.window * 2, WINDOW_LIMIT)
        self._drained = 0
        self._grow_since = now

    def lost(self) -> None:
        """The lane is gone: release everything this stream holds."""
        self._drop_queue()
        self.send_ended = self.send_done = True
        self.receive_over()
        self.lane.budget.used -= self.undrained
        self.undrained = 0
        self.discarding = True
