"""One thread that owns one SQLite connection: every statement runs there, never on the loop.

Work that waits together is committed together, with one fsync: a thousand connectors that come back
at once cost a few dozen commits. A future is resolved only after its commit has returned.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from underpass.relay.server.errors import RegistryUnavailable

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], Any]

BATCH: Final = 256
"""Pieces of work in one commit; bounds how long the first of them waits for the last."""

BUSY_SECONDS: Final = 5.0
"""How long another process may hold the write lock before work is refused (faults, F24)."""


class Writer:
    """Runs work in order on its own thread; started by the constructor, ended by ``close``."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], name: str) -> None:
        self._connect = connect
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._opened: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        failure = self._opened.get()
        if failure is not None:
            self._thread.join()
            raise failure

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of ``work``, durable. Its own exceptions undo it alone and are passed on.

        A cancelled caller does not undo what was queued.
        """
        if self._closed:
            raise RegistryUnavailable("it is closed")
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        self._queue.put(job)
        result: T = await job.future
        return result

    async def close(self) -> None:
        """Finish what was queued, close the file. Idempotent."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        try:
            connection = self._connect()
        except Exception as exc:
            self._opened.put(exc)
            return
        self._opened.put(None)
        try:
            while (job := self._queue.get()) is not None:
                batch = [job]
                last = False
                while len(batch) < BATCH and not self._queue.empty():
                    following = self._queue.get()
                    if following is None:
                        last = True
                        break
                    batch.append(following)
                _commit(connection, batch)
                if last:
                    return
        finally:
            connection.close()


class _Job:
    __slots__ = ("future", "loop", "outcome", "work")

    def __init__(
        self, work: Work, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]
    ) -> None:
        self.work = work
        self.loop = loop
        self.future = future
        self.outcome: tuple[Any, Exception | None] = (None, None)

    def settle(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            pass  # the loop was closed while we wrote: nobody waits any more

    def _resolve(self) -> None:
        if self.future.done():
            return
        value, failure = self.outcome
        if failure is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(failure)


def _commit(connection: sqlite3.Connection, batch: list[_Job]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in batch:
            _attempt(connection, job)
        connection.execute("COMMIT")
    except sqlite3.Error as exc:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        failure = RegistryUnavailable(str(exc))
        for job in batch:
            job.outcome = (None, failure)
    for job in batch:
        job.settle()


def _attempt(connection: sqlite3.Connection, job: _Job) -> None:
    """Run one piece of work; what the store itself refuses fails the whole batch."""
    connection.execute("SAVEPOINT work")
    try:
        job.outcome = (job.work(connection), None)
    except sqlite3.Error:
        raise
    except Exception as exc:
        connection.execute("ROLLBACK TO work")
        job.outcome = (None, exc)
    connection.execute("RELEASE work")
