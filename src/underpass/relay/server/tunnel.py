"""One name as the relay's process knows it: what is exposed, who serves it, who waits for it.

Implements the edges' ``Exposure``. Its books are balanced between any two turns of the loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Final

from underpass.relay.edges.errors import ConnectorAway
from underpass.relay.edges.ports import EdgeEvent
from underpass.relay.links.link import Link
from underpass.relay.protocol.admission import CONTENTION_LIMIT, Holder, LiveView
from underpass.relay.protocol.lane import Lane
from underpass.relay.protocol.records import Terms
from underpass.relay.server.registry import NameRecord
from underpass.relay.server.session import Session
from underpass.relay.server.usage import KeyUsage

MOST_WAITING: Final = 1024
"""Visitors that may wait for one tunnel's connector; more are told at once that it is away."""


class Tunnel:
    """A name with an exposure. Lives as long as the name has one."""

    def __init__(
        self,
        record: NameRecord,
        terms: Terms,
        usage: KeyUsage,
        counts: Counter[EdgeEvent],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.record = record
        self.terms = terms
        self.usage = usage
        self.public_url = ""
        self.session: Session | None = None
        self.unsettled = 0
        """Old holders that may still prove to have been alive."""
        self.takeovers: deque[float] = deque(maxlen=CONTENTION_LIMIT + 1)
        """When, by the loop's clock, the name was taken from a living holder."""
        self._counts = counts
        self._loop = loop
        self._waiting: set[asyncio.Future[None]] = set()

    # -- Exposure -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The tunnel's name."""
        return self.record.name

    @property
    def kind(self) -> str:
        """``http``, ``mcp`` or ``tcp``."""
        return self.terms.kind

    @property
    def tls(self) -> str:
        """``terminate`` or ``passthrough``."""
        return self.terms.tls

    @property
    def exposure(self) -> str:
        """For tcp: ``gated`` or ``open``."""
        return self.terms.exposure

    @property
    def allow(self) -> tuple[str, ...]:
        """CIDRs that may come in at all; empty: anybody."""
        return self.terms.allow

    def lane_nowait(self) -> Lane | None:
        """The attached lane with the least queued, or None."""
        return None if self.session is None else self.session.lane()

    async def lane_within(self, seconds: float) -> Lane:
        """The same, waited for; raises ``ConnectorAway`` after ``seconds``."""
        lane = self.lane_nowait()
        if lane is not None:
            return lane
        if len(self._waiting) >= MOST_WAITING:
            raise ConnectorAway(self.name, 0)
        try:
            async with asyncio.timeout(seconds):
                while lane is None:
                    await self._wait()
                    lane = self.lane_nowait()
        except TimeoutError:
            raise ConnectorAway(self.name, seconds) from None
        return lane

    def take_stream(self) -> bool:
        """Count one more stream against the key's limit; False: the limit is reached."""
        return self.usage.take_stream()

    def give_stream(self) -> None:
        """Return what one successful ``take_stream`` took."""
        self.usage.give_stream()

    def note(self, event: EdgeEvent) -> None:
        """Count an event for the metrics, which know no names."""
        self._counts[event] += 1

    # -- for the server -----------------------------------------------------------------------

    @property
    def instance(self) -> bytes:
        """The instance that lives in memory, or empty."""
        return b"" if self.session is None else self.session.instance

    @property
    def links(self) -> list[Link]:
        """The links of the instance that lives in memory."""
        return [] if self.session is None else self.session.links

    def is_open(self, now: float) -> bool:
        """Whether new visitors are let in: by the wall clock, however late a timer is."""
        return now < self.record.lease_end

    def view(self, now: float, holder: Holder) -> LiveView:
        """What admission has to know; ``now`` is the wall clock it will be given."""
        ago = self._loop.time()
        takeovers = tuple(now - (ago - at) for at in self.takeovers)
        if self.session is None:
            return LiveView(takeovers=takeovers, unsettled=self.unsettled)
        return LiveView(
            instance=self.session.instance,
            lanes=self.session.generations,
            linked=self.session.linked,
            takeovers=takeovers,
            unsettled=self.unsettled,
            holder=holder,
        )

    def settle(self, alive: bool) -> None:
        """An old holder has answered, or has had its second."""
        self.unsettled -= 1
        if alive:
            self.takeovers.append(self._loop.time())

    def linked(self) -> None:
        """A lane has a link: let those in who wait."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _wait(self) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)
