"""One instance as the relay has it in memory: its lanes, their links, and how long they may wait.

Everything here is synchronous and on the loop. A lane whose link is gone waits for the next until
60 s after the last byte it received; a session without lanes is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from underpass.model.errors import UnderpassError
from underpass.relay.links.link import Link
from underpass.relay.links.runner import LaneRunner
from underpass.relay.protocol.budget import ReceiveBudget, ReplayAccount
from underpass.relay.protocol.errors import OffsetMismatch
from underpass.relay.protocol.lane import Lane
from underpass.relay.protocol.records import RESUME_WINDOW
from underpass.relay.protocol.refusals import refusal

LOST = "lane-lost"
"""What the owners of streams hear when nothing more can come."""


class Session:
    """The lanes of one instance.

    ``on_linked`` is called when a lane gets a link, ``on_over`` once when no lane is left,
    ``on_lease`` with what the connector asks of its lease and the lane it asked on.
    """

    def __init__(
        self,
        instance: bytes,
        *,
        budget: ReceiveBudget,
        account: ReplayAccount,
        loop: asyncio.AbstractEventLoop,
        window: float = RESUME_WINDOW,
        on_linked: Callable[[], None],
        on_over: Callable[[Session], None],
        on_lease: Callable[[Lane, float], None],
    ) -> None:
        self.instance = instance
        self.lanes: dict[bytes, LaneRunner] = {}
        self._budget = budget
        self._account = account
        self._loop = loop
        self._window = window
        self._on_linked = on_linked
        self._on_over = on_over
        self._on_lease = on_lease
        self._timers: dict[bytes, asyncio.TimerHandle] = {}
        self._over = False

    @property
    def linked(self) -> bool:
        """Whether any lane has a link."""
        return any(runner.lane.attached for runner in self.lanes.values())

    @property
    def generations(self) -> dict[bytes, int]:
        """The last accepted generation of each lane."""
        return {identity: runner.lane.generation for identity, runner in self.lanes.items()}

    @property
    def links(self) -> list[Link]:
        """The links that carry lanes now."""
        return [runner.link for runner in self.lanes.values() if runner.link is not None]

    @property
    def streams(self) -> int:
        """Streams that have not ended."""
        return sum(len(runner.lane.streams) for runner in self.lanes.values())

    def lane(self) -> Lane | None:
        """The attached lane with the least queued, or None."""
        best: Lane | None = None
        for runner in self.lanes.values():
            lane = runner.lane
            if lane.attached and (
                best is None
                or (lane.buffered, len(lane.streams)) < (best.buffered, len(best.streams))
            ):
                best = lane
        return best

    def runner(self, identity: bytes) -> LaneRunner:
        """The lane of that name, made if it is not there."""
        runner = self.lanes.get(identity)
        if runner is None:
            runner = self.lanes[identity] = self._make_runner(identity)
        return runner

    def attach(
        self, identity: bytes, link: Link, *, generation: int, received: int, credit: int
    ) -> None:
        """Let ``link`` carry the lane. Raises ``OffsetMismatch``; the lane is lost then."""
        runner = self.runner(identity)
        try:
            runner.attach(link, generation=generation, peer_received=received, peer_credit=credit)
        except OffsetMismatch:
            runner.close(LOST)
            raise
        timer = self._timers.pop(identity, None)
        if timer is not None:
            timer.cancel()
        self._on_linked()

    def drain(self, grace: float) -> None:
        """Tell the connector to move."""
        for link in self.links:
            link.send_drain(grace)

    def flush(self) -> None:
        """Write now what lanes have to say."""
        for runner in list(self.lanes.values()):
            runner.flush()

    def close(self, code: str) -> None:
        """Drop every lane; the owners of streams hear ``code``. Idempotent."""
        for runner in list(self.lanes.values()):
            runner.close(code)
        self._end()

    def dismiss(self, error: UnderpassError, code: str = LOST) -> list[Link]:
        """Say ``error`` on every link, then drop every lane; the owners of streams hear ``code``.

        The links stay open and are returned: the caller waits for an answer, and releases them.
        """
        record = refusal(error)
        links: list[Link] = []
        for runner in list(self.lanes.values()):
            link = runner.link
            if link is not None:
                link.send_greeting(record)
                runner.flush()
                runner.link_lost(link)
                links.append(link)
        self.close(code)
        return links

    def _make_runner(self, identity: bytes) -> LaneRunner:
        made = LaneRunner(
            identity,
            opener=True,
            budget=self._budget,
            account=self._account,
            loop=self._loop,
            on_link_lost=self._link_lost,
            on_closed=self._lane_closed,
            on_lease=lambda end: self._on_lease(made.lane, end),
        )
        return made

    def _link_lost(self, runner: LaneRunner, link: Link) -> None:
        identity = runner.lane.identity
        if self.lanes.get(identity) is not runner or self._over:
            return
        deadline = runner.lane.last_received + self._window
        self._timers[identity] = self._loop.call_at(deadline, runner.close, LOST)

    def _lane_closed(self, runner: LaneRunner, code: str) -> None:
        identity = runner.lane.identity
        timer = self._timers.pop(identity, None)
        if timer is not None:
            timer.cancel()
        if self.lanes.get(identity) is runner:
            del self.lanes[identity]
        if not self.lanes:
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._on_over(self)
