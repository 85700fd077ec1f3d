"""One thread that writes what was recorded, in batches, and keeps the file within its quota.

Whoever hands in a record never waits: when the disk is slower than the traffic, records are dropped
and counted. Writing fails alone, too: a full disk costs records, not exchanges.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from underpass.observe.meter import Usage
from underpass.observe.record import Messages, Outline, encode, encode_into, first_id
from underpass.observe.schema import connect

log = logging.getLogger(__name__)

LINGER_SECONDS: Final = 0.25
"""How long a batch is gathered: bounds how often a disk is asked, and how old a list may be."""

MOST_WAITING_BYTES: Final = 8 << 20
"""Of records that wait for the disk; beyond, they are dropped."""

BATCH_RECORDS: Final = 512
BATCH_BYTES: Final = 1 << 20
"""In one row: looking at one of them reads all."""

SWEEP_SECONDS: Final = 30.0
SWEEP_BYTES: Final = 4 << 20
"""The quotas are looked at after so long, or so much."""

DELETED_AT_ONCE: Final = 256

_ONE: Final = "INSERT OR REPLACE INTO exchange VALUES (?,?,?,?)"
_BATCH: Final = "INSERT OR REPLACE INTO batch VALUES (?,?,?,?,?)"
_USE: Final = (
    "INSERT INTO usage VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET"
    " bytes_up = bytes_up + excluded.bytes_up, bytes_down = bytes_down + excluded.bytes_down,"
    " requests = requests + excluded.requests"
)

_ARRAY: Final = b"\xdd"
_HEAD_BYTES: Final = 5
# A MessagePack array with its length in 32 bits: known only when the batch is full.

Record = tuple[Outline, Messages]
_Row = tuple[int, str, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept, and how long; the oldest goes first."""

    bytes: int = 256 << 20
    """Of the whole file, whoever wrote it."""
    seconds: float = 7 * 86_400.0


class Batch:
    """Records of one tunnel that become one row. Each is encoded as it comes: what waits for the
    disk is bytes, and not the objects that they are made of."""

    __slots__ = ("_messages", "_outlines", "_tunnel", "count", "newest", "oldest")

    def __init__(self, tunnel: str) -> None:
        self.count = 0
        self.newest = 0
        self.oldest = 1 << 63
        self._tunnel = tunnel
        self._outlines = bytearray(_HEAD_BYTES)
        self._messages = bytearray(_HEAD_BYTES)

    def add(self, record: Record) -> int:
        """By how many bytes it has grown; 0: the record has no room in it."""
        outline, messages = record
        if self.count >= BATCH_RECORDS:
            return 0
        outlines, together = self._outlines, self._messages
        before = len(together)
        encode_into(messages, together, before)
        if len(together) > BATCH_BYTES and self.count:
            del together[before:]
            return 0
        begins = len(outlines)
        encode_into(outline, outlines, begins)
        self.count += 1
        number = outline.id
        if number > self.newest:
            self.newest = number
        if number < self.oldest:
            self.oldest = number
        return len(together) - before + len(outlines) - begins

    def row(self) -> tuple[int, int, str, bytearray, bytearray]:
        """As the table ``batch`` has it."""
        head = _ARRAY + self.count.to_bytes(_HEAD_BYTES - 1, "big")
        for buffer in (self._outlines, self._messages):
            buffer[:_HEAD_BYTES] = head
        return self.newest, self.oldest, self._tunnel, self._outlines, self._messages


class CaptureWriter:
    """Started by the constructor, ended by ``close``. Called from one loop."""

    def __init__(
        self,
        path: Path,
        retention: Retention | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises what ``schema.connect`` raises."""
        self.written = 0
        self.dropped = 0
        """Records lost because the disk was too slow, full or broken."""
        self._path = path
        self._retention = retention or Retention()
        self._clock = clock
        self._batches: dict[str, list[Batch]] = {}
        """By tunnel; the last one of each is being filled."""
        self._alone: list[_Row] = []
        self._usage: deque[tuple[str, Usage]] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._idle = threading.Condition()
        self._busy = False
        self._swept_at = 0.0
        self._unswept = 0
        self._complained = -1e9
        connect(path).close()
        self._thread = threading.Thread(target=self._run, name="captures", daemon=True)
        self._thread.start()

    @property
    def is_full(self) -> bool:
        """Whether the next record would be dropped: then it need not be made."""
        return self._waiting >= MOST_WAITING_BYTES

    def drop(self, count: int) -> None:
        """Count records that were not made because ``is_full``."""
        self.dropped += count

    def write(self, records: Sequence[Record]) -> None:
        """Hand in records of one tunnel. Never waits."""
        if not records:
            return
        with self._lock:
            tunnel = records[0][0].tunnel
            batches = self._batches.setdefault(tunnel, [])
            for record in records:
                if self._waiting >= MOST_WAITING_BYTES:
                    self.dropped += 1
                    continue
                added = batches[-1].add(record) if batches else 0
                if not added:
                    batches.append(Batch(tunnel))
                    added = batches[-1].add(record)
                self._waiting += added
        if not self._wake.is_set():
            self._wake.set()

    def write_alone(self, record: Record) -> None:
        """Hand in a record that replaces another with its id, if that was handed in here, too.
        Never waits."""
        if self.is_full:
            self.dropped += 1
            return
        outline, messages = record
        row = outline.id, outline.tunnel, encode(outline), encode(messages)
        with self._lock:
            self._waiting += len(row[2]) + len(row[3])
            self._alone.append(row)
        if not self._wake.is_set():
            self._wake.set()

    def use(self, tunnel: str, usage: Usage) -> None:
        """Add to what ``tunnel`` has used of a month."""
        self._usage.append((tunnel, usage))
        if not self._wake.is_set():
            self._wake.set()

    async def flush(self) -> None:
        """Wait until what was handed in is written, or lost."""
        await asyncio.get_running_loop().run_in_executor(None, self._wait_idle)

    async def close(self) -> None:
        """Write what waits, and end. Idempotent."""
        self._closing.set()
        self._wake.set()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    # The thread

    def _wait_idle(self) -> None:
        with self._idle:
            while (
                self._batches or self._alone or self._usage or self._busy
            ) and self._thread.is_alive():
                self._idle.wait(0.5)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while True:
                self._wake.wait()
                self._closing.wait(LINGER_SECONDS)
                self._wake.clear()
                if connection is None:
                    connection = self._connect()
                self._busy = True
                self._work(connection)
                with self._idle:
                    self._busy = False
                    self._idle.notify_all()
                if self._closing.is_set() and not (self._batches or self._alone or self._usage):
                    return
        finally:
            if connection is not None:
                connection.close()

    def _connect(self) -> sqlite3.Connection | None:
        try:
            return connect(self._path)
        except Exception as error:
            self._complain(error)
            return None

    def _work(self, connection: sqlite3.Connection | None) -> None:
        batches, alone = self._taken()
        count = len(alone) + sum(batch.count for batch in batches)
        try:
            if connection is None:
                raise sqlite3.OperationalError("the file cannot be opened")
            if count or self._usage:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_BATCH, (batch.row() for batch in batches))
                connection.executemany(_ONE, alone)
                used = [self._usage.popleft() for _ in range(len(self._usage))]
                connection.executemany(
                    _USE,
                    [(tunnel, u.month, u.bytes_up, u.bytes_down, u.requests) for tunnel, u in used],
                )
                connection.execute("COMMIT")
                self.written += count
            self._sweep(connection)
        except sqlite3.Error as error:
            self.dropped += count
            self._complain(error)
            if connection is not None and connection.in_transaction:
                connection.rollback()

    def _taken(self) -> tuple[list[Batch], list[_Row]]:
        with self._lock:
            batches = [batch for several in self._batches.values() for batch in several]
            alone, self._alone = self._alone, []
            self._batches = {}
            self._unswept += self._waiting
            self._waiting = 0
        return batches, alone

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Delete the oldest until age and size are within the quota."""
        now = time.monotonic()
        if now - self._swept_at < SWEEP_SECONDS and self._unswept < SWEEP_BYTES:
            return
        self._swept_at, self._unswept = now, 0
        oldest = first_id(self._clock() - self._retention.seconds)
        connection.execute("DELETE FROM exchange WHERE id < ?", (oldest,))
        connection.execute("DELETE FROM batch WHERE newest < ?", (oldest,))
        while _used_bytes(connection) > self._retention.bytes:
            reached = connection.execute("SELECT min(newest) FROM batch").fetchone()[0]
            deleted = connection.execute(
                "DELETE FROM exchange WHERE id IN (SELECT id FROM exchange"
                " WHERE ? IS NULL OR id < ? ORDER BY id LIMIT ?)",
                (reached, reached, DELETED_AT_ONCE),
            ).rowcount
            if deleted == 0:
                if reached is None:
                    return
                connection.execute("DELETE FROM batch WHERE newest = ?", (reached,))

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained >= 60:
            self._complained = now
            log.warning("requests are not being recorded: %s", error)


def _used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something; pages that were freed are used again."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
