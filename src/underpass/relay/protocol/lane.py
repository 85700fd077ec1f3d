"""One end of a lane: the resumable channel that outlives its links. Pure.

The shell tells it what happened (``attach``, ``detach``, ``receive_data``, ``tick``), each time
with ``now``; it answers with ``events()`` and, when ``wake`` was called, with ``data_to_send``.
Streams are opened by one side only, the relay; both directions of each are judged by the same
rules. A violation by the peer raises, and the shell must then ``close`` the lane, which tells
every stream that it is lost.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from underpass.relay.protocol import frames
from underpass.relay.protocol.budget import (
    DETACHED_EXTRA,
    FIRST_CREDIT,
    LANE_LIMIT,
    LANE_RESERVE,
    SMALL_CREDIT,
    ReceiveBudget,
    ReplayAccount,
)
from underpass.relay.protocol.errors import (
    OffsetMismatch,
    ProtocolViolation,
)
from underpass.relay.protocol.events import (
    Aborted,
    DataReceived,
    LaneEvent,
    LeaseSaid,
    Stopped,
    Writable,
)
from underpass.relay.protocol.inbound import read_u32, receive
from underpass.relay.protocol.opening import open_received, open_stream
from underpass.relay.protocol.outbox import OVERDRAFT, Outbox
from underpass.relay.protocol.parser import FrameParser, Item
from underpass.relay.protocol.stream import RESUME_AT, Buffer, Stream

ACK_EVERY: Final = 16 * 1024
"""Received bytes that are acknowledged at once, at the end of a read. WIRE.md asks for 256 KiB at
the latest; the least window in flight is 32 KiB, and half of that keeps a slow link moving."""
ACK_WITHIN: Final = 0.2
"""Seconds after which fewer bytes are acknowledged too (WIRE.md)."""
AT_ONCE: Final = 1024 * 1024
"""Payload bytes given to the link in one go. On a fast path many times as many may be in flight,
and a TLS layer keeps buffers as large as the most it was ever given."""
_DATA: Final = frames.DATA


class Lane:
    """One end of a lane.

    ``opener`` says whether this end opens the streams (the relay). ``budget`` and ``account`` are
    shared with other lanes. ``wake`` is called, perhaps within any other call, when there may be
    something to send.
    """

    def __init__(
        self,
        identity: bytes,
        *,
        opener: bool,
        budget: ReceiveBudget,
        account: ReplayAccount,
        wake: Callable[[], None],
        now: float,
    ) -> None:
        self.identity = identity
        self.opener = opener
        self.budget = budget
        self.account = account
        self.replay = account.budget
        self.wake = wake
        self.now = now
        self.generation = 0
        """Generation of the last link attached."""
        self.attached = False
        self.closed = False
        self.last_received = now
        """When the last byte came: the resume window runs from here."""
        self.streams: dict[int, Stream] = {}
        self.waiting: dict[int, Stream] = {}
        """Streams whose owner was told to pause."""
        self.buffered = 0
        """Bytes queued or logged."""
        self.last_id = 0
        """Number of the last stream that was opened."""
        self.peer_first_credit = 0
        """What the peer promises every stream that this end opens."""
        self._charged = 0
        self._detached_limit = 0
        self._parser = FrameParser()
        self._outbox = Outbox()
        self._events: list[LaneEvent] = []
        self._control: deque[bytes] = deque()
        self._urgent: deque[Stream] = deque()
        self._links_due: list[bytes] = []
        self._ready: list[Buffer] = []
        """Frames already in the sequence that the link was not yet given."""
        self._ready_from = 0
        self._announced_credit = FIRST_CREDIT
        self._acked = 0
        self._ack_due: float | None = None

    # -- facts --------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Offset up to which the peer's bytes are in our memory."""
        return self._parser.received

    @property
    def rtt(self) -> float | None:
        """Smallest round trip of the present link, seconds."""
        pacing = self._outbox.pacing
        return None if pacing is None else pacing.rtt

    def round_trip(self, seconds: float, now: float) -> None:
        """The shell measured a round trip by PING."""
        box = self._outbox
        if box.pacing is not None:
            box.pacing.round_trip(seconds, now, idle=box.handed == box.acked)

    @property
    def first_credit(self) -> int:
        """What our HELLO or WELCOME promises every stream the peer opens."""
        return self._announced_credit

    @property
    def overdrawn(self) -> int:
        """Bytes buffered beyond what the lane, its key and the process allow; below 0: room."""
        return max(self._charged - LANE_LIMIT, -self.account.free)

    @property
    def free(self) -> int:
        """Bytes that streams may still queue on this lane."""
        extra = min(LANE_LIMIT - self._charged, self.account.free)
        if not self.attached:
            extra = min(extra, self._detached_limit - self.buffered)
        return max(LANE_RESERVE - self.buffered, 0) + max(extra, 0)

    # -- links --------------------------------------------------------------------------------

    def attach(self, *, generation: int, peer_received: int, peer_credit: int, now: float) -> None:
        """A link was agreed: bytes go on from the two offsets.

        Raises ``OffsetMismatch`` when this end cannot continue there; the lane must be closed.
        """
        box = self._outbox
        if not box.acked <= peer_received <= box.sent:
            raise OffsetMismatch(asked=peer_received, lowest=box.acked, highest=box.sent)
        self.now = now
        self.generation = generation
        self.last_received = now
        self._parser.link_lost()
        self._links_due.clear()
        self._ready = []
        before = box.logged
        box.attach(peer_received, now)
        self._count(box.logged - before)
        self._acked = self.received
        self._ack_due = None
        self.peer_first_credit = peer_credit
        self.attached = True
        self._resume_waiting()
        self.wake()

    def detach(self, now: float) -> None:
        """The link is gone; the lane waits for the next."""
        self.now = now
        if self.attached:
            self.attached = False
            self._detached_limit = self.buffered + DETACHED_EXTRA
            self._parser.link_lost()
            self._outbox.detach()
            self._links_due.clear()
            self._ready = []

    def close(self, code: str) -> None:
        """Give the lane up: every stream is lost, with ``code``. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self.attached = False
        for stream in list(self.streams.values()):
            if not stream.receive_done:
                self._events.append(Aborted(stream, code))
            if stream.abort(code):  # else it was told already
                self._events.append(Stopped(stream, code))
            stream.lost()
        self.streams.clear()
        self.waiting.clear()
        self._urgent.clear()
        self._control.clear()
        self._outbox = Outbox()
        self._count(-self.buffered)

    # -- streams ------------------------------------------------------------------------------

    def open(
        self,
        kind: str,
        *,
        peer: tuple[str, int] = ("", 0),
        secure: bool = False,
        head: bytes | None = None,
        body: bytes = b"",
        end: bool = False,
        token: str = "",
        owner: object = None,
    ) -> Stream:
        """Open a stream; with a small ``head`` (and ``body`` and ``end``) in one frame.

        Raises ``LaneAway`` without a link, ``OverLimit`` when no credit can be given, when the
        head is over ``BLOCK_LIMIT``, or when what waits on this lane fills its memory.
        """
        return open_stream(
            self,
            kind,
            peer=peer,
            secure=secure,
            head=head,
            body=body,
            end=end,
            token=token,
            owner=owner,
        )

    def say_lease(self, end: float) -> None:
        """Ask for (connector) or grant (relay) another end of the lease, unix seconds."""
        if self.closed:
            return
        self.say(frames.frame(frames.LEASE, 0, msgspec.msgpack.encode(end)))

    def send_link_frame(self, data: bytes) -> None:
        """Put a link frame (PING, PONG, DRAIN) between lane frames, once, on this link."""
        if self.attached:
            self._links_due.append(data)
            self.wake()

    # -- bytes --------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[tuple[int, bytes]]:
        """Take bytes of the present link. Returns the link frames among them (type, payload)
        that are not the lane's own business: PING, PONG, DRAIN and unexpected greetings.

        Raises ``ProtocolViolation``.
        """
        self.now = now
        self.last_received = now
        links: list[tuple[int, bytes]] = []
        streams, events = self.streams, self._events
        for item in self._parser.receive_data(data):
            kind = item[0]
            if kind == _DATA:  # without END: the common case, here without a call
                stream = streams.get(item[1])
                size = len(item[2])
                if (
                    stream is not None
                    and size <= stream.outstanding
                    and not (stream.receive_done or stream.discarding)
                ):
                    stream.outstanding -= size
                    stream.undrained += size
                    if size:
                        events.append(DataReceived(stream, item[2]))
                    continue
            if kind & frames.LINK:
                if kind == frames.ACK:
                    self._ack_received(item[2])
                else:
                    links.append((kind, bytes(item[2])))
            else:
                self._frame_received(item)
        unacked = self._parser.received - self._acked
        if unacked >= ACK_EVERY:
            self._ack_due = now
            self.wake()
        elif unacked and self._ack_due is None:
            self._ack_due = now + ACK_WITHIN
        return links

    @property
    def has_events(self) -> bool:
        """Whether ``events`` would return any."""
        return bool(self._events)

    def events(self) -> list[LaneEvent]:
        """What happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def data_to_send(self, now: float) -> list[Buffer]:
        """What the link should carry now, in buffers that must not be changed."""
        self.now = now
        if not self.attached:
            return []
        box = self._outbox
        assert box.pacing is not None
        out = self._ready
        start = self._ready_from if out else box.handed
        self._ready = []
        idle = start == box.acked
        box.finish_frame(out)
        if self._links_due:
            out.extend(self._links_due)
            self._links_due.clear()
        received = self._parser.received
        if self._ack_due is not None and (
            now >= self._ack_due or received - self._acked >= ACK_EVERY // 4
        ):
            self._acked = received
            self._ack_due = None
            out.append(frames.ack_frame(received))
        if box.resending:
            box.repeat(out)
        if not box.resending and (box.waiting or self._control or self._urgent):
            self._send_new(box, out)
        if box.handed != start:
            box.pacing.limited = box.waiting or box.resending
            box.pacing.sent(box.handed, now, idle=idle)
        return out

    def next_deadline(self) -> float | None:
        """When ``tick`` must be called next."""
        return self._ack_due if self.attached else None

    def tick(self, now: float) -> None:
        """Time passed: an acknowledgement may be due."""
        self.now = now
        if self.attached and self._ack_due is not None and now >= self._ack_due:
            self.wake()

    # -- for streams --------------------------------------------------------------------------

    def send_at_once(self, stream: Stream, kind: int, payload: Buffer) -> bool:
        """Put a frame of at most a quantum into the sequence now, if nothing waits that should go
        first.

        The short way of ``queue_grew``, turn and cut, for a lane that is not busy: the frame
        leaves with the next ``data_to_send``. False: it must take the long way.
        """
        size = len(payload)
        if self._control or self._urgent:
            return False
        box = self._outbox
        start = box.handed
        buffers = box.put_at_once(kind, stream.id, payload, size)
        if buffers is None:
            return False
        if self._ready:
            self._ready += buffers  # the first of them has woken the shell
        else:
            self._ready_from = start
            self._ready = buffers.copy()
            self.wake()
        self.buffered += size + frames.HEADER_SIZE
        if self._charged or self.buffered > LANE_RESERVE:
            self._count(0)
        return True

    def finished(self, stream: Stream) -> None:
        """A stream put the last frame of its direction into the sequence."""
        if stream.closed:
            self.forget(stream)

    def forget(self, stream: Stream) -> None:
        """Both directions of a stream are over: its number means nothing any more."""
        self.streams.pop(stream.id, None)
        self.waiting.pop(stream.id, None)

    def queue_grew(self, stream: Stream, size: int) -> None:
        """A stream queued ``size`` payload bytes."""
        self._count(size)
        if stream.sendable:
            if not stream.active:
                self._outbox.activate(stream)
            self.wake()

    def queue_shrank(self, size: int) -> None:
        """A stream dropped ``size`` queued bytes."""
        self._count(-size)

    def tell(self, event: LaneEvent) -> None:
        """Something happened that the lane's owner should hear of."""
        self._events.append(event)

    def credited(self, stream: Stream) -> None:
        """The peer gave a stream more credit."""
        if stream.sendable and not stream.active:
            self._outbox.activate(stream)
            self.wake()
        if stream.paused:
            self._resume(stream)

    def say(self, frame: bytes) -> None:
        """Send a control frame: it overtakes data."""
        self._control.append(frame)
        self._count(len(frame))
        self.wake()

    def urge(self, stream: Stream) -> None:
        """A stream has control to send."""
        if not stream.urgent and not self.closed:
            stream.urgent = True
            self._urgent.append(stream)
            self.wake()

    # -- inside: sending ----------------------------------------------------------------------

    def _send_new(self, box: Outbox, out: list[Buffer]) -> None:
        control, urgent = self._control, self._urgent
        room = box.room
        while (control or urgent) and room + OVERDRAFT > 0:
            if control:
                data = control.popleft()
                self._count(-len(data))
            else:
                stream = urgent.popleft()
                data = stream.control()
                if stream.closed:
                    self.forget(stream)
                if not data:
                    continue
            self._log(box, data, out)
            room -= len(data)
        if not box.waiting or control:
            return
        room = box.room
        before = box.logged
        done: list[Stream] = []
        spent = box.take_turns(min(room, AT_ONCE), out, done)
        self._count(box.logged - before - spent)
        for stream in done:
            self.finished(stream)
        if self.waiting:
            self._resume_waiting()
        if room > AT_ONCE and box.waiting:
            self.wake()  # the rest, unless the link has enough by then

    def _log(self, box: Outbox, data: bytes, out: list[Buffer]) -> None:
        out.append(data)
        box.append([data], len(data))
        self._count(len(data))

    def _resume_waiting(self) -> None:
        # A thousand slow readers wait for their own credit: nothing else is asked of those.
        for stream in [each for each in self.waiting.values() if each.credit > each.queued]:
            self._resume(stream)

    def _resume(self, stream: Stream) -> None:
        room = stream.room
        if room >= RESUME_AT or (room and not stream.queued):
            self.waiting.pop(stream.id, None)
            stream.paused = False
            self._events.append(Writable(stream))

    def _count(self, delta: int) -> None:
        self.buffered += delta
        charged = self.buffered - LANE_RESERVE
        if charged < 0:
            charged = 0
        if charged != self._charged:
            self.account.charge(charged - self._charged)
            self._charged = charged

    # -- inside: receiving --------------------------------------------------------------------

    def _ack_received(self, payload: Buffer) -> None:
        if len(payload) != frames.U64.size:
            raise ProtocolViolation(reason="an ACK is malformed")
        (offset,) = frames.U64.unpack(payload)
        box = self._outbox
        if not box.acked <= offset <= box.handed:
            raise ProtocolViolation(reason="an ACK names bytes that were not sent")
        blocked = box.resending or box.waiting or self._control or self._urgent
        freed = box.acknowledge(offset, self.now)
        if freed:
            self._count(-freed)
        if blocked:
            self.wake()
        if self.waiting:
            self._resume_waiting()

    def _frame_received(self, item: Item) -> None:
        kind, number, payload, complete = item
        base = kind & frames.TYPE_MASK
        stream = self.streams.get(number)
        if stream is None:
            if base == frames.OPEN:
                open_received(self, number, bytes(payload))
                self._announce()
                return
            if base == frames.LIMIT:
                self.peer_first_credit = read_u32(payload)
                return
            if base == frames.LEASE:
                self._lease_received(payload)
                return
            if number == 0 or number > self.last_id:
                raise ProtocolViolation(reason="a frame names a stream that was never opened")
            return  # a closed stream: what was on its way is dropped
        receive(stream, kind, payload, self.tell, complete=complete)
        if stream.closed:
            self.forget(stream)

    def _announce(self) -> None:
        # never 0: an acceptor with nothing left says so by RESET, stream by stream
        credit = max(self.budget.first_credit, SMALL_CREDIT)
        if credit != self._announced_credit:
            self._announced_credit = credit
            self.say(frames.frame(frames.LIMIT, 0, frames.U32.pack(credit)))

    def _lease_received(self, payload: Buffer) -> None:
        try:
            end = msgspec.msgpack.decode(payload, type=float)
        except msgspec.DecodeError:
            end = math.nan
        if not math.isfinite(end):
            raise ProtocolViolation(reason="a LEASE is not a number")
        self._events.append(LeaseSaid(end))
