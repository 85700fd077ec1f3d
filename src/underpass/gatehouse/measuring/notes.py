"""What the measuring origin noted, for the one measurement that is under way.

Open while a prober measures; without it a question is an ordinary visitor's request. All times are
``now``'s: nanoseconds of a clock that nobody sets.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from underpass.gatehouse.measuring.questions import Question
from underpass.http.messages import Headers

MAX_AT_ONCE: Final = 8
"""Exchanges of one measurement; three silences at once are the most that is asked for."""

MAX_TOTAL: Final = 4 * 1024 * 1024 * 1024
"""Bytes of all answers of one measurement."""

now = time.perf_counter_ns


@dataclass(slots=True)
class Note:
    """What the origin saw of one exchange."""

    asked: Question
    headers: Headers
    """The request's fields, as they arrived."""
    arrived: int
    received: int = 0
    """Bytes of the request's body."""
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    """Of the request's body."""
    sent: int = 0
    """Bytes of the answer's body."""
    sent_digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    request_over: int = 0
    """When the request was complete; 0: it never was."""
    over: int = 0
    """When the answer ended, broke, or the visitor left; 0: it goes on."""
    left: bool = False
    """The visitor left before the answer was complete."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    abandon: Callable[[], None] | None = None
    """Ends the exchange, whatever its visitor does."""


class Notes:
    """One measurement's; ``Gatehouse.measure`` makes it."""

    def __init__(self) -> None:
        self._notes: dict[int, Note] = {}
        self._last = 0
        self._total = 0

    def next_key(self) -> int:
        """A number for the next question."""
        self._last += 1
        return self._last

    def begin(self, asked: Question, headers: Headers) -> Note | None:
        """A note for an exchange that begins; None when it is one too many."""
        under_way = sum(not note.over for note in self._notes.values())
        if under_way >= MAX_AT_ONCE or self._total > MAX_TOTAL or asked.key in self._notes:
            return None
        note = self._notes[asked.key] = Note(asked, headers, now())
        return note

    def spent(self, count: int) -> None:
        """``count`` bytes of answers have been sent."""
        self._total += count

    def close(self) -> None:
        """The measurement is over: exchanges that still go on are broken off."""
        self._total = MAX_TOTAL + 1
        for note in tuple(self._notes.values()):
            if note.abandon is not None:
                note.abandon()

    def find(self, asked: Question) -> Note | None:
        """What was noted; None: it never arrived."""
        return self._notes.get(asked.key)

    def forget(self, asked: Question) -> None:
        """It is not asked for again; an exchange that still goes on is broken off."""
        note = self._notes.pop(asked.key, None)
        if note is not None and note.abandon is not None:
            note.abandon()
