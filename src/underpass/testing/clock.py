"""Time that tests move by hand.

`FakeClock` is for code that takes `now` as an argument or a clock as a function. `SteppedLoop` is
for code whose timers are asyncio's: an event loop whose time stands still until `advance` is
called, while sockets go on working in real time.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

SETTLING_TURNS = 8
"""Turns of the loop after each step: a timer wakes a task, which wakes another."""


class FakeClock:
    """A monotonic clock and a wall clock that only move when told to.

    An instance is itself the function that returns the monotonic time.
    """

    def __init__(self, start: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self._now = start
        self._wall = wall

    def __call__(self) -> float:
        return self._now

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return self._now

    def wall(self) -> float:
        """Seconds since 1970."""
        return self._wall

    def advance(self, seconds: float) -> float:
        """Moves both clocks on; the new monotonic time."""
        if seconds < 0:
            raise ValueError("a monotonic clock cannot go back; use set_wall for the wall clock")
        self._now += seconds
        self._wall += seconds
        return self._now

    def sleep(self, seconds: float) -> None:
        """What a sleeping machine does: wall time goes on, the monotonic clock does not."""
        self._wall += seconds

    def set_wall(self, wall: float) -> None:
        """Sets the wall clock, back or forth, as an administrator might."""
        self._wall = wall

    def __repr__(self) -> str:
        return f"FakeClock(now={self._now:g}, wall={self._wall:g})"


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves only through `advance`.

    Timers (`call_later`, `asyncio.sleep`, `asyncio.timeout`) wait for it; I/O does not.
    """

    def __init__(self) -> None:
        self._stepped_time = 1000.0
        self._deadlines: list[float] = []
        super().__init__()

    def time(self) -> float:
        return self._stepped_time

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        heapq.heappush(self._deadlines, when)
        return super().call_at(when, callback, *args, context=context)

    async def advance(self, seconds: float) -> None:
        """Moves time on, stopping at every timer on the way so that they run in order.

        After each stop callbacks and tasks get `SETTLING_TURNS` turns. What waits for a socket is
        not waited for: wait for its event.
        """
        target = self._stepped_time + seconds
        await self.settle()
        while self._deadlines and self._deadlines[0] <= target:
            self._stepped_time = max(self._stepped_time, heapq.heappop(self._deadlines))
            await self.settle()
        self._stepped_time = target
        await self.settle()

    async def settle(self) -> None:
        """Gives everything that is ready its turns, at the present time."""
        for _ in range(SETTLING_TURNS):
            await asyncio.sleep(0)


def run_stepped(main: Callable[[SteppedLoop], Awaitable[Result]]) -> Result:
    """Runs `main(loop)` on a fresh `SteppedLoop` and closes it; what `main` returns."""

    async def entry() -> Result:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        return await main(loop)

    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        return runner.run(entry())
