"""Looking into ``captures.db`` from any process: lists, one exchange, what a month has used."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from heapq import heappop, heappush, merge
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from underpass.observe.errors import CapturesUnreadable, NoSuchRequest
from underpass.observe.meter import Usage
from underpass.observe.record import (
    Messages,
    Outline,
    decode_ids,
    decode_messages,
    decode_messages_of_many,
    decode_outline,
    decode_outlines,
    first_id,
    format_id,
    parse_id,
)
from underpass.observe.schema import connect_to_read

T = TypeVar("T")


class Captures:
    """The recorded exchanges of this user, as a context manager. A file that is not there is one
    without exchanges. Raises ``CapturesUnreadable`` for one that is broken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect_to_read(path)

    def __enter__(self) -> Captures:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def newest(
        self,
        tunnel: str,
        *,
        most: int,
        since: float | None = None,
        matches: Callable[[Outline], bool] = lambda outline: True,
    ) -> list[Outline]:
        """The newest exchanges of ``tunnel`` that match, oldest first."""
        found: list[Outline] = []
        for outline in self._downwards(tunnel, 0 if since is None else first_id(since)):
            if matches(outline):
                found.append(outline)
                if len(found) >= most:
                    break
        found.reverse()
        return found

    def find(self, key: str) -> tuple[Outline, Messages]:
        """One exchange by its id, or by the end of it if that is enough to tell; raises
        ``NoSuchRequest``."""
        number = parse_id(key)
        if number is None:
            number = self._by_ending(key.lower())
        found = None if number is None else self._by_id(number)
        if found is None:
            raise NoSuchRequest(key[:40])
        return found

    def usage(self, tunnel: str, month: str) -> Usage:
        """What ``tunnel`` has used of ``month`` so far."""
        query = "SELECT bytes_up, bytes_down, requests FROM usage WHERE tunnel = ? AND month = ?"
        for up, down, requests in self._rows(query, (tunnel, month)):
            return Usage(month, up, down, requests)
        return Usage(month)

    def _downwards(self, tunnel: str, lowest: int) -> Iterator[Outline]:
        """Outlines of ``tunnel``, the newest first, down to the id ``lowest``. Batches overlap:
        what is read waits until no batch that is still to come can hold a newer one."""
        alone = "SELECT id, outline FROM exchange WHERE tunnel = ? AND id >= ? ORDER BY id DESC"
        batches = (
            "SELECT newest, outlines FROM batch WHERE tunnel = ? AND newest >= ?"
            " ORDER BY newest DESC"
        )
        waiting: list[tuple[int, Outline]] = []
        rows = merge(
            ((number, blob, False) for number, blob in self._rows(alone, (tunnel, lowest))),
            ((number, blob, True) for number, blob in self._rows(batches, (tunnel, lowest))),
            key=lambda row: -row[0],
        )
        for newest, blob, is_batch in rows:
            while waiting and -waiting[0][0] > newest:
                yield heappop(waiting)[1]
            read = (
                self._decoded(decode_outlines, blob)
                if is_batch
                else [self._decoded(decode_outline, blob)]
            )
            for outline in read:
                if outline.id >= lowest:
                    heappush(waiting, (-outline.id, outline))
        while waiting:
            yield heappop(waiting)[1]

    def _by_id(self, number: int) -> tuple[Outline, Messages] | None:
        query = "SELECT outline, messages FROM exchange WHERE id = ?"
        for outline, messages in self._rows(query, (number,)):
            return self._decoded(decode_outline, outline), self._decoded(decode_messages, messages)
        query = "SELECT newest, outlines FROM batch WHERE newest >= ? AND oldest <= ?"
        for row, blob in self._rows(query, (number, number)):
            for at, found in enumerate(self._decoded(decode_outlines, blob)):
                if found.id == number:
                    query = "SELECT messages FROM batch WHERE newest = ?"
                    for (messages,) in self._rows(query, (row,)):
                        return found, self._decoded(decode_messages_of_many, messages)[at]
        return None

    def _by_ending(self, ending: str) -> int | None:
        """The one exchange whose id ends so."""
        if len(ending) < 4:
            return None
        numbers = [number for (number,) in self._rows("SELECT id FROM exchange", ())]
        for (blob,) in self._rows("SELECT outlines FROM batch", ()):
            numbers += (each.id for each in self._decoded(decode_ids, blob))
        matching = [number for number in numbers if format_id(number).endswith(ending)]
        return matching[0] if len(matching) == 1 else None

    def _rows(self, query: str, values: tuple[object, ...]) -> Iterator[Any]:
        if self._connection is None:
            return
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise CapturesUnreadable(str(self._path), str(error)) from None

    def _decoded(self, decode: Callable[[bytes], T], blob: bytes) -> T:
        try:
            return decode(blob)
        except msgspec.MsgspecError as error:
            raise CapturesUnreadable(str(self._path), str(error)) from None
