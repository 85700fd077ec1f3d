"""Whether an instance that was superseded, or is about to be, is alive.

Contention counts only takeovers from living holders: one that ends its links within a second of
hearing ``superseded``. A holder that is to stay is asked with a PING instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from underpass.relay.links.link import Link
from underpass.relay.protocol.liveness import DEAD
from underpass.relay.protocol.records import Drain, Greeting

ANSWER_WITHIN: Final = 1.0
"""Seconds (docs/wire.md)."""

LOOK_EVERY: Final = 0.02
"""Seconds between looks at a holder that was asked: a link says when it last heard something, not
that it hears now, and this is asked for contended names alone."""


class Farewell:
    """Links whose instance was told to stand down; ends them after a second at the latest.

    ``settled`` is called once, with whether the instance answered.
    """

    def __init__(
        self,
        links: list[Link],
        loop: asyncio.AbstractEventLoop,
        settled: Callable[[bool], None],
    ) -> None:
        self._links = links
        self._loop = loop
        self._settled = settled
        for link in links:
            link.owner = self
        wait = ANSWER_WITHIN if links else 0.0
        self._timer: asyncio.TimerHandle | None = loop.call_later(wait, self._settle, False)

    def close(self) -> None:
        """Wait no more."""
        self._settle(False)

    def greeting_received(self, link: Link, record: Greeting, raw: bytes) -> None:
        """Nothing more is agreed on this link."""

    def link_late(self, link: Link) -> None:
        """It is not waited for that long."""

    def drain_received(self, link: Link, drain: Drain) -> None:
        """A connector has nothing to drain."""

    def link_lost(self, link: Link, reason: str) -> None:
        """The instance heard us, and hung up: a frozen one could not, a dead one had before.

        What we gave up ourselves, after the last of many silent seconds, is no answer.
        """
        if link in self._links:
            self._links.remove(link)
            self._settle(self._loop.time() - link.last_heard < DEAD)

    def _settle(self, alive: bool) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        for link in self._links:
            link.release()
        self._links.clear()
        self._settled(alive)


async def is_alive(links: list[Link], loop: asyncio.AbstractEventLoop) -> bool:
    """Ask on every link; whether anything is heard on one of them within a second."""
    asked = loop.time()
    before: dict[Link, float] = {}
    for link in links:
        link.suspect()  # sets back when it was last heard, and sends a PING
        before[link] = link.last_heard
    while loop.time() < asked + ANSWER_WITHIN:
        await asyncio.sleep(LOOK_EVERY)
        if any(link.transport and link.last_heard > at for link, at in before.items()):
            return True
    return False
