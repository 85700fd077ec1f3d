"""How long an engine's session has lasted, where its vendor ends sessions after a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil

from underpass.drivers.base import Engine, LinkPhase, LinkView
from underpass.observe.quota import WARN_SHARES


class SessionWatch:
    """Tells the length of the present session when shares of its limit are reached. ``close`` it in
    the end."""

    def __init__(
        self,
        engine: Engine,
        limit: int,
        tell: Callable[[int], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """``tell`` hears seconds: 0 when a session has ended."""
        self._limit = limit
        self._tell = tell
        self._loop = loop
        self._began: float | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._hear(engine.observe(self._hear))

    def tell(self) -> None:
        """Tell it now."""
        self._tell(0 if self._began is None else int(self._loop.time() - self._began))

    def close(self) -> None:
        """Tell nothing any more. Idempotent."""
        self._began = None
        while self._timers:
            self._timers.pop().cancel()

    def _hear(self, view: LinkView) -> None:
        if view.phase is not LinkPhase.ATTACHED:
            is_over = self._began is not None
            self.close()
            if is_over:
                self._tell(0)
        elif self._began is None:
            self._began = self._loop.time()
            for share in WARN_SHARES:
                seconds = ceil(share * self._limit)
                self._timers.append(self._loop.call_later(seconds, self._tell, seconds))
