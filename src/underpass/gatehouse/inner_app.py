"""Pages of our own, behind the same doors as the origin: an ASGI application inside the gatehouse.

Whoever is admitted here never reaches the origin, and what the application answers is never the
origin's. An exchange is a task, since applications are coroutines: they belong to ``InnerApp``, are
few, have an end in time, and are cancelled when the visitor leaves.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from underpass.gatehouse.inner_exchange import MAX_BODY, AsgiApp, InnerExchange
from underpass.gatehouse.ports import Exchange, Peer, Visitor
from underpass.guard.oauth.strangers import network_of
from underpass.http.messages import RequestHead

MAX_AT_ONCE: Final = 64
MAX_OF_NETWORK: Final = 16
"""Of those, from one network: who sends sixty-four bodies slowly must not close our door."""
SECONDS: Final = 60.0
"""One exchange, from its head to the last byte of its answer."""


class Pages(Protocol):
    """What is served in the origin's place, and where."""

    @property
    def app(self) -> AsgiApp:
        """What answers."""

    def takes(self, target: bytes) -> bool:
        """Whether a request for ``target`` is for the application and not for the origin."""

    def admits(self, address: str) -> bool:
        """Whether a visitor from ``address`` ("" if nobody vouches for one) may see it."""

    def rebase(self, public_url: str) -> None:
        """The tunnel is public at ``public_url``, from now on."""


class InnerApp:
    """Serves one application; owns the tasks of its exchanges."""

    def __init__(
        self, pages: Pages, loop: asyncio.AbstractEventLoop, *, seconds: float = SECONDS
    ) -> None:
        self.takes = pages.takes
        self.admits = pages.admits
        self.rebase = pages.rebase
        self._app = pages.app
        self._loop = loop
        self._seconds = seconds
        self._tasks: dict[asyncio.Task[None], str] = {}
        """Each with the network of its visitor."""

    def open(self, visitor: Visitor, head: RequestHead, peer: Peer) -> Exchange:
        """Begin one exchange with the application."""
        exchange = InnerExchange(visitor, head, peer)
        whose = network_of(peer.address)
        if len(self._tasks) >= MAX_AT_ONCE or self._has_enough(whose):
            exchange.refuse("over-limit")
        elif head.body > MAX_BODY:
            exchange.refuse("body-too-large")
        else:
            work = exchange.run(self._app, self._seconds)
            task = self._loop.create_task(work, name="underpass: a page of our own")
            exchange.task = task
            self._tasks[task] = whose
            task.add_done_callback(self._forget)
        return exchange

    def _has_enough(self, whose: str) -> bool:
        if not whose:  # nobody vouches for an address: they cannot be told apart
            return False
        return sum(each == whose for each in self._tasks.values()) >= MAX_OF_NETWORK

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    def close(self) -> None:
        """Cancel what is under way. Idempotent."""
        for task in tuple(self._tasks):
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until every task is gone."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
