"""Commands that go on: one event loop, and signals that end it in good order.

SIGINT ends with 130, SIGTERM and a closed terminal with 0; a second one does not wait.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

EXIT_INTERRUPTED = 130

_ENDING = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: 0, signal.SIGHUP: 0}


class Stop:
    """Asks the task that entered it to end when a signal says so.

    ``async with Stop() as stop:`` then wait for ``stop.asked``; ``stop.exit_code`` is set then. A
    second signal cancels the task, which shortens whatever good order was left to keep.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self.asked = asyncio.Event()
        self.exit_code = 0
        self._numbers = numbers or tuple(_ENDING)
        self._task: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Stop:
        self._task = asyncio.current_task()
        for number in self._numbers:
            asyncio.get_running_loop().add_signal_handler(number, self._heard, number)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in self._numbers:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _heard(self, number: signal.Signals) -> None:
        if self.asked.is_set() and self._task is not None:
            self.exit_code = EXIT_INTERRUPTED
            self._task.cancel()
        else:
            self.exit_code = _ENDING[number]
            self.asked.set()


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run ``work`` on uvloop where there is one; returns its exit code."""
    try:
        factory = _loop_factory()
        _calm_collector()
        with asyncio.Runner(loop_factory=factory) as runner:
            try:
                return runner.run(work)
            except asyncio.CancelledError:
                return EXIT_INTERRUPTED
    finally:
        # Interrupted before it began, it would be missed in words that nobody understands.
        work.close()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _calm_collector() -> None:
    """Look for cycles less often: what imports made stays anyway, and what a request makes is freed
    by counting. The default looks after every 700 new objects, which is every few requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
