"""The processes of one bridge: one kept in reserve, one for each session, all owned here."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from underpass.bridge.child import Child, ServerEnded, running_child
from underpass.bridge.settings import BridgeSettings

RETRY_SECONDS: Final = 5.0
"""A program that ends at once is not started more often than this for the sake of a proof."""


class Children:
    """Starts processes in one task group, each in a task of its own."""

    def __init__(self, settings: BridgeSettings, group: TaskGroup) -> None:
        self._settings = settings
        self._group = group
        self._reserve: Child | None = None
        self._living: set[Child] = set()
        self._tried_at = -RETRY_SECONDS
        self._lock = anyio.Lock()
        self.in_use = 0
        """Processes that belong to a session now."""

    async def ready(self) -> bool:
        """Whether the program speaks: shown by one that runs, or by one that is started now and
        kept in reserve."""
        if any(child.has_answered and not child.is_over for child in self._living):
            return True
        async with self._lock:
            if self._reserve is not None and not self._reserve.is_over:
                return True
            if time.monotonic() - self._tried_at < RETRY_SECONDS:
                return False
            self._tried_at = time.monotonic()
            try:
                self._reserve = await self._start(greet=True)
            except ServerEnded:
                return False
            return True

    @asynccontextmanager
    async def one(self, *, untouched: bool = False) -> AsyncIterator[Child]:
        """A process for one session; ended when the block is left. Raises ``ServerEnded``.

        ``untouched``: nothing has been said to it, not even a greeting: the first message decides
        a newer server's era.
        """
        if self.in_use >= 2 * self._settings.max_sessions:
            raise ServerEnded  # those that gave way have not ended yet
        self.in_use += 1
        child = None
        try:
            if not untouched:
                child, self._reserve = self._reserve, None
            if child is None or child.is_over:
                child = await self._start(greet=False)
            yield child
        finally:
            self.in_use -= 1
            if child is not None:
                child.release()

    async def _start(self, *, greet: bool) -> Child:
        """A process in a task of its own. Raises ``ServerEnded``."""
        child: Child | None = await self._group.start(self._keep)
        if child is None:
            raise ServerEnded
        if greet:
            try:
                await child.greet(self._settings.greeting_seconds)
            except BaseException:
                child.release()
                raise
        return child

    async def _keep(self, *, task_status: TaskStatus[Child | None]) -> None:
        async with AsyncExitStack() as stack:
            try:
                child = await stack.enter_async_context(running_child(self._settings, self._show))
            except OSError as error:
                self._show(f"cannot be started: {error.strerror}")
                task_status.started(None)
                return
            self._living.add(child)
            stack.callback(self._living.discard, child)
            task_status.started(child)
            await child.wait_released()

    def _show(self, line: str) -> None:
        sys.stderr.write(f"{self._settings.name}: {line}\n")
        sys.stderr.flush()
