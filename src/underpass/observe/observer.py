"""Watching one tunnel's exchanges: each is recorded, counted, and told to whoever follows.

Made once for a tunnel and given to its gatehouse, which tells it of every exchange but proofs. It
never waits and never fails the traffic: what cannot be kept is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from underpass.decide.quotas import Measure
from underpass.http.messages import RequestHead
from underpass.observe.development import develop, look_through
from underpass.observe.meter import Meter
from underpass.observe.quota import OverQuota, Warned
from underpass.observe.record import Ids, Messages, Outline, outline_object
from underpass.observe.redaction import Redaction
from underpass.observe.tape import NOTHING, Tape
from underpass.observe.writer import CaptureWriter, Record

log = logging.getLogger(__name__)

BODY_BYTES: Final = 64 * 1024
"""Of each body: more than any webhook seen in the wild, which is what people look at and replay."""

STREAM_BYTES: Final = 256 * 1024
"""Of each direction of an event stream or a WebSocket."""

OPEN_IN_FULL: Final = 64
"""As many exchanges that are open at once are kept in full; of those that come beyond, less in
proportion: with 1,000 that each carry 64 KiB that is 16 MiB a direction, with 4,096 21."""

TICK_SECONDS: Final = 2.0
"""An exchange that lasts longer is written down while it lasts, first after so long and then less
and less often; what a month has used is saved as often."""

LONGEST_PAUSE: Final = 60.0

SETTLE_SECONDS: Final = 0.05
SETTLED_AT_ONCE: Final = 128
"""Exchanges that ended are counted and recorded a little later, many at once: measured, that takes
two thirds of what it takes between two packets, when the caches are full of something else. So many
at once take less than a millisecond of the loop; more of them save nothing."""

MOST_FOLLOWED: Final = 1024
"""Outlines that wait for a follower; who falls behind further loses the oldest."""


class Capture(StrEnum):
    """What is kept of exchanges."""

    FULL = "full"
    HEADS = "heads"
    """Heads, sizes and times; of bodies, events and frames nothing but their sizes and times."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ObserverStatistics:
    """Numbers for people and for the inspector."""

    captured: int
    """Exchanges handed to the disk."""
    dropped: int
    """Exchanges that were not kept because the disk was too slow, full or broken."""
    open: int
    """Exchanges that go on."""
    redacted: int
    """Secrets taken out."""


class Observer:
    """The observer of one tunnel, on the loop of its gatehouse."""

    def __init__(
        self,
        tunnel: str,
        *,
        writer: CaptureWriter | None = None,
        capture: Capture = Capture.FULL,
        meter: Meter | None = None,
        redaction: Redaction | None = None,
        on_warning: Callable[[Warned], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Without ``writer`` nothing is recorded, and the meter is not saved."""
        self.tunnel = tunnel
        self.capture = capture if writer is not None else Capture.OFF
        self.meter = meter
        self.clock = clock
        self.on_warning = on_warning
        self._writer = writer
        self._redaction = redaction or Redaction()
        self._wall_clock = wall_clock
        self._watches_flight = meter is not None and bool(meter.vendors.of(Measure.IN_FLIGHT))
        self._records = self.capture is not Capture.OFF
        self._room = BODY_BYTES if self.capture is Capture.FULL else 0
        self._ids = Ids()
        self._live: set[Tape] = set()
        self._followers: set[Follower] = set()
        self._over: list[Tape] = []
        self._timer: asyncio.TimerHandle | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._captured = 0
        self._redacted = 0

    # What the gatehouse calls.

    def begin(self, kind: str, address: str, request: RequestHead | None = None) -> Tape:
        """An exchange begins."""
        at, room = self._wall_clock(), self._share(self._room)
        tape = Tape(0, kind, address, self.clock(), at, NOTHING, NOTHING, room, request)
        self._live.add(tape)
        if self._watches_flight:
            self.reach(Measure.IN_FLIGHT, len(self._live))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        return tape

    def widen(self, tape: Tape) -> None:
        """It has become a stream, of which more is kept."""
        if self._room:
            tape.widen(self._share(STREAM_BYTES - BODY_BYTES))

    def admit(self) -> OverQuota | None:
        """Whether one more admitted request is within the quotas; None: it is."""
        if self.meter is None or not self.meter.is_limited:
            return None
        over = self.meter.admit(self.clock(), self._wall_clock())
        self._warn()
        return over

    def inform(self, tape: Tape) -> None:
        """Much has passed of an exchange that goes on."""
        if self.meter is not None:
            self.meter.inform(tape, self._wall_clock())
            self._warn()

    def reach(self, measure: Measure, amount: int) -> None:
        """So much there is of ``measure``, which only a vendor limits, at this moment."""
        if self.meter is not None:
            self.meter.reach(measure, amount)
            self._warn()

    def forget(self, tape: Tape) -> None:
        """It was a proof: neither metered nor recorded."""
        self._live.discard(tape)

    def ended(self, tape: Tape) -> None:
        """An exchange is over."""
        self._live.discard(tape)
        if self._records:
            # What is kept of heads is the same for most: none of them waits for its turn.
            look_through(tape, self._redaction)
            if not tape.is_replay_of:  # the owner looks at that one himself
                tape.request = tape.response = None
        over = self._over
        over.append(tape)
        if len(over) >= SETTLED_AT_ONCE:
            self._settle_waiting()
        elif self._settling is None:
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(SETTLE_SECONDS, self._settle_late)

    def settle(self) -> None:
        """Count and record now what has ended: for whoever wants the numbers of this moment."""
        if self._over:
            self._settle_waiting()
        if self._watches_flight:
            self.reach(Measure.IN_FLIGHT, len(self._live))

    def _share(self, room: int) -> int:
        """How much of ``room`` one more exchange gets: what is kept of those that go on is memory,
        and a visitor who reads slowly holds it as long as he likes."""
        crowd = len(self._live)
        return room if crowd <= OPEN_IN_FULL else room * OPEN_IN_FULL // crowd

    def _settle_late(self) -> None:
        self._settling = None
        if self._over:
            self._settle_waiting()

    def _settle_waiting(self) -> None:
        tapes, self._over = self._over, []
        meter = self.meter
        if meter is not None:
            for tape in tapes:
                ended = tape.ended or tape.begun
                meter.ended(tape, ended, tape.at + ended - tape.begun)
            if meter.has_warnings:
                self._warn()
        if self._records:
            self._keep(tapes)

    # What its owner calls.

    def follow(self) -> Follower:
        """Outlines of exchanges that end from now on, as JSON objects."""
        follower = Follower(self._followers)
        self._followers.add(follower)
        return follower

    def statistics(self) -> ObserverStatistics:
        """The numbers of this moment."""
        self.settle()
        dropped = 0 if self._writer is None else self._writer.dropped
        return ObserverStatistics(self._captured, dropped, len(self._live), self._redacted)

    async def flush(self) -> None:
        """Write what is known now, and wait until it is written."""
        self.settle()
        self._save_usage()
        if self._writer is not None:
            await self._writer.flush()

    async def close(self) -> None:
        """Record what still goes on as broken off, and write everything. Idempotent. The writer is
        not closed: others may use it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for tape in tuple(self._live):
            tape.ended = self.clock()
            tape.outcome, tape.code = "broken", "tunnel-closed"
            self.ended(tape)
        self.settle()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        for follower in tuple(self._followers):
            await follower.aclose()
        await self.flush()

    def developed(self, tape: Tape) -> tuple[Outline, Messages]:
        """What is kept of ``tape`` as it is now."""
        if not tape.id:
            tape.id = self._ids.new(tape.at)
        return develop(tape, self._redaction, tunnel=self.tunnel, limit=self._room)

    def _keep(self, tapes: list[Tape]) -> None:
        writer = self._writer
        assert writer is not None
        if writer.is_full:
            writer.drop(len(tapes))
            return
        redaction, tunnel, limit, new_id = self._redaction, self.tunnel, self._room, self._ids.new
        together: list[Record] = []
        for tape in tapes:
            if not tape.id:
                tape.id = new_id(tape.at)
            record = outline, messages = develop(tape, redaction, tunnel=tunnel, limit=limit)
            if count := messages.redacted + messages.request.redacted + messages.response.redacted:
                self._redacted += count
            if tape.is_written or tape.ended is None:
                # What was written down while it lasted is replaced by what it came to.
                tape.is_written = True
                writer.write_alone(record)
            else:
                together.append(record)
            if self._followers:
                shown = outline_object(outline)
                for follower in self._followers:
                    follower.put(shown)
        self._captured += len(tapes)
        writer.write(together)

    def _tick(self) -> None:
        self._timer = None
        now = self.clock()
        if self._records:
            due = [tape for tape in self._live if now >= max(tape.due, tape.begun + TICK_SECONDS)]
            for tape in due:
                tape.due = now + min(LONGEST_PAUSE, max(TICK_SECONDS, now - tape.begun))
            self._keep(due)
        self._save_usage()
        if self._live:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _save_usage(self) -> None:
        if self.meter is not None and self._writer is not None:
            for usage in self.meter.take_unsaved():
                self._writer.use(self.tunnel, usage)

    def _warn(self) -> None:
        assert self.meter is not None
        for warned in self.meter.take_warnings():
            whose = "" if warned.whose == "own" else f" of {warned.whose}"
            log.warning(
                "%s: %d of %d %s%s are used",
                self.tunnel,
                warned.used,
                warned.limit,
                warned.what,
                whose,
            )
            if self.on_warning is not None:
                self.on_warning(warned)


class Follower:
    """One follower's outlines, oldest first. An asynchronous iterator that can be left early."""

    def __init__(self, among: set[Follower]) -> None:
        self._among = among
        self._waiting: deque[Mapping[str, Any]] = deque(maxlen=MOST_FOLLOWED)
        self._is_over = False
        self._news = asyncio.Event()

    def put(self, outline: Mapping[str, Any]) -> None:
        """Add an outline; a full follower loses its oldest."""
        self._waiting.append(outline)
        self._news.set()

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> Mapping[str, Any]:
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Follow no more; what waits is still given. Idempotent."""
        self._among.discard(self)
        self._is_over = True
        self._news.set()
