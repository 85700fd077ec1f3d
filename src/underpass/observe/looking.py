"""Looking into ``captures.db`` from any process: lists, one exchange, what a month has used."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from underpass.observe.errors import CapturesUnreadable, NoSuchRequest
from underpass.observe.meter import Usage
from underpass.observe.record import (
    Messages,
    Outline,
    decode_messages,
    decode_outline,
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
        lowest = 0 if since is None else first_id(since)
        query = "SELECT outline FROM exchange WHERE tunnel = ? AND id >= ? ORDER BY id DESC"
        for (blob,) in self._rows(query, (tunnel, lowest)):
            outline = self._decoded(decode_outline, blob)
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
        if number is not None:
            query = "SELECT outline, messages FROM exchange WHERE id = ?"
            rows = list(self._rows(query, (number,)))
        else:
            rows = self._by_ending(key.lower())
        if len(rows) != 1:
            raise NoSuchRequest(key[:40])
        outline, messages = rows[0]
        return self._decoded(decode_outline, outline), self._decoded(decode_messages, messages)

    def usage(self, tunnel: str, month: str) -> Usage:
        """What ``tunnel`` has used of ``month`` so far."""
        query = "SELECT bytes_up, bytes_down, requests FROM usage WHERE tunnel = ? AND month = ?"
        for up, down, requests in self._rows(query, (tunnel, month)):
            return Usage(month, up, down, requests)
        return Usage(month)

    def _by_ending(self, ending: str) -> list[tuple[bytes, bytes]]:
        if len(ending) < 4:
            return []
        numbers = [
            number
            for (number,) in self._rows("SELECT id FROM exchange", ())
            if format_id(number).endswith(ending)
        ]
        if len(numbers) != 1:
            return []
        query = "SELECT outline, messages FROM exchange WHERE id = ?"
        return list(self._rows(query, (numbers[0],)))

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
