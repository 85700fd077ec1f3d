"""What was shown to gates that take a proof once, kept in ``replays.db`` below the state directory.

A restart must not make an old webhook good again, so what passes is on disk (SQLite in WAL,
``synchronous=FULL``) before the origin hears of it. Kept are digests only, from which nobody learns
a signature; all processes of one user share the file, so two that serve one name at once admit a
proof once. What has a time goes when its time is over; of the rest the newest stay.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from underpass.model.errors import Setup
from underpass.observe.durable import connect_durable

log = logging.getLogger(__name__)

FILE: Final = "replays.db"
VERSION: Final = 1

MOST: Final = 65_536
"""Proofs without a time that are kept of one tunnel: some 8 MiB."""
MOST_IN_ALL: Final = 8 * MOST
"""Proofs that are kept of all tunnels there ever were."""
SWEEP_EVERY: Final = 256
"""Proofs after which what is too much, or over, is deleted."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS shown (
    id INTEGER PRIMARY KEY,       -- rises: the newest is the largest
    digest BLOB NOT NULL UNIQUE,  -- SHA-256 over the tunnel and the proof
    tunnel BLOB NOT NULL,         -- the first half of the SHA-256 over its name
    until REAL                    -- Unix seconds when it is worth nothing; NULL: it says no time
);
CREATE INDEX IF NOT EXISTS shown_of_tunnel ON shown (tunnel, until);
"""

_FIND: Final = "SELECT 1 FROM shown WHERE digest = ?"
_ADD: Final = "INSERT OR IGNORE INTO shown (digest, tunnel, until) VALUES (?, ?, ?)"
_FORGET_OVER: Final = "DELETE FROM shown WHERE until <= ?"
_FORGET_OLD: Final = (
    "DELETE FROM shown WHERE tunnel = ?1 AND until IS NULL AND id <= (SELECT id FROM shown"
    " WHERE tunnel = ?1 AND until IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?2)"
)
_FORGET_OLDEST: Final = (
    "DELETE FROM shown WHERE id <= (SELECT id FROM shown ORDER BY id DESC LIMIT 1 OFFSET ?)"
)


@dataclass(eq=False)
class ReplaysUnusable(Setup):
    """The file in which shown proofs are kept cannot be written or read."""

    path: str
    why: str

    code = "replays-unusable"
    sentence = "cannot tell old webhooks from new ones by {path}: {why}"
    hint_text = "make room, or move the file away; then what passed before may pass once more"


@dataclass(frozen=True, slots=True)
class _Asked:
    """One proof that waits for the disk."""

    digests: tuple[bytes, ...]
    until: float | None
    answer: asyncio.Future[bool]


class Shown:
    """The memory of one tunnel; implements ``ReplayMemory``. Used on one event loop; a thread of
    its own does what the disk is needed for, all that waits in one transaction."""

    def __init__(
        self,
        path: Path,
        tunnel: str,
        *,
        wall_clock: Callable[[], float] = time.time,
        most: int = MOST,
        most_in_all: int = MOST_IN_ALL,
    ) -> None:
        """Opens or makes the file, which blocks as long as the disk does. Raises
        ``ReplaysUnusable``, and ``LooseMode``, ``ForeignOwner`` or ``NotAPlainFile`` when the file
        is not ours alone."""
        self._path = path
        self._scope = sha256(b"underpass-shown-v1\0" + tunnel.encode()).digest()
        self._tunnel = self._scope[:16]
        self._wall_clock = wall_clock
        self._most = most
        self._most_in_all = most_in_all
        self._waiting: deque[_Asked] = deque()
        self._since_sweep = 0
        self._connection = connect_durable(path, _TABLES, VERSION, ReplaysUnusable)
        self._thread = ThreadPoolExecutor(1, "underpass: replays")
        try:
            (state,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise sqlite3.DatabaseError(state)
            self._sweep()
        except sqlite3.Error as error:
            self._connection.close()
            raise ReplaysUnusable(str(path), str(error)) from None

    async def first_use(self, proofs: Sequence[bytes], until: float | None) -> bool:
        """See ``ReplayMemory``. Raises ``ReplaysUnusable``."""
        digests = tuple(sha256(self._scope + proof).digest() for proof in proofs)
        asked = _Asked(digests, until, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._thread.submit(self._answer_waiting)
        return await asked.answer

    async def close(self) -> None:
        """Answer what waits, and close the file. Idempotent."""
        with suppress(RuntimeError):  # it was shut down before
            await asyncio.wrap_future(self._thread.submit(self._connection.close))
        self._thread.shutdown(wait=False)

    # In the thread.

    def _answer_waiting(self) -> None:
        batch: list[_Asked] = []
        with suppress(IndexError):
            while True:
                batch.append(self._waiting.popleft())
        if not batch:
            return  # what was to be done was done together with what came before it
        try:
            answers: list[bool] = self._write(batch)
        except sqlite3.Error as error:
            for asked in batch:
                _tell(asked, ReplaysUnusable(str(self._path), str(error)))
        else:
            for asked, is_first in zip(batch, answers, strict=True):
                _tell(asked, is_first)

    def _write(self, batch: Sequence[_Asked]) -> list[bool]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            answers = [self._add(asked) for asked in batch]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._since_sweep += len(batch)
        if self._since_sweep >= SWEEP_EVERY:
            try:
                self._sweep()
            except sqlite3.Error as error:  # what was asked is on disk all the same
                log.warning("cannot make room in %s: %s", self._path, error)
        return answers

    def _add(self, asked: _Asked) -> bool:
        execute = self._connection.execute
        is_first = all(execute(_FIND, (digest,)).fetchone() is None for digest in asked.digests)
        for digest in asked.digests:
            execute(_ADD, (digest, self._tunnel, asked.until))
        return is_first

    def _sweep(self) -> None:
        self._since_sweep = 0
        execute = self._connection.execute
        execute(_FORGET_OVER, (self._wall_clock(),))
        execute(_FORGET_OLD, (self._tunnel, self._most))
        execute(_FORGET_OLDEST, (self._most_in_all,))


def _tell(asked: _Asked, answer: bool | ReplaysUnusable) -> None:
    """Answer whoever waits on the loop, if it waits still."""

    def tell() -> None:
        if asked.answer.done():
            return
        if isinstance(answer, bool):
            asked.answer.set_result(answer)
        else:
            asked.answer.set_exception(answer)

    asked.answer.get_loop().call_soon_threadsafe(tell)
