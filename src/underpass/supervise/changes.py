"""Telling everybody who watches what happens to a tunnel, without waiting for any of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

MOST_WAITING: Final = 256
# A watcher that falls 256 changes behind has stopped reading; what it wants then is the newest.

Change = Mapping[str, object]


class Broadcast:
    """Passes changes on to any number of subscriptions."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._is_over = False

    def subscribe(self) -> Subscription:
        """Everything published from now on. After ``end`` there is nothing to come."""
        subscription = Subscription(self._subscriptions)
        if self._is_over:
            subscription.end()
        else:
            self._subscriptions.add(subscription)
        return subscription

    def publish(self, change: Change) -> None:
        """Tell all subscriptions. Never waits."""
        for subscription in self._subscriptions:
            subscription.put(change)

    def end(self) -> None:
        """That was all: subscriptions end after what they still hold. Idempotent."""
        self._is_over = True
        for subscription in self._subscriptions:
            subscription.end()
        self._subscriptions.clear()


class Subscription:
    """One watcher's changes, oldest first. An asynchronous iterator that can be left early."""

    def __init__(self, among: set[Subscription]) -> None:
        self._among = among
        self._waiting: deque[Change] = deque(maxlen=MOST_WAITING)
        self._is_over = False
        self._news = asyncio.Event()

    def put(self, change: Change) -> None:
        """Add a change; a full subscription loses its oldest."""
        self._waiting.append(change)
        self._news.set()

    def end(self) -> None:
        """Nothing more will be put."""
        self._is_over = True
        self._news.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Change:
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Unsubscribe; what waits is dropped. Idempotent."""
        self._among.discard(self)
        self._waiting.clear()
        self.end()
