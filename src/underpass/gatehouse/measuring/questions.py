"""What the measuring origin can be asked, and what it sends: pure.

A question is one line of text under the MAC of a proof. ``events;key=1;n=200;us=10000;size=64``
asks for 200 events, one every 10 ms. What is sent is a function of the question and of the clock
alone, so whoever asked knows every byte but the stamps. The clock counts nanoseconds; both ends of
a measurement run on one machine and read the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_EVENTS: Final = 1_000_000
MAX_BYTES: Final = 1024 * 1024 * 1024
MAX_SECONDS: Final = 6 * 3600
"""Bounds of one question. Only the owner can ask; a slip of his must end, too."""

BLOCK: Final = 64 * 1024
"""Bytes of a large answer that are handed over at once."""

_NS: Final = 1_000_000_000


class Task(StrEnum):
    """What the measuring origin can do."""

    FIRST = "first"
    """Answer at once, with next to nothing."""
    EVENTS = "events"
    """``n`` events, one every ``us`` microseconds (0: as fast as they are taken)."""
    SILENT = "silent"
    """An event, ``us`` of silence, an event: an event stream."""
    BARE = "bare"
    """The same in an answer into which nobody can put anything."""
    LATE = "late"
    """``us`` of silence, then a whole answer."""
    DOWN = "down"
    """An answer of ``size`` bytes."""
    TEXT = "text"
    """The same, of text that is worth compressing."""
    UP = "up"
    """Take the request's body, and say how much came."""
    BREAK = "break"
    """An event, ``us`` of silence, and the answer breaks."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question; ``str`` and ``parse`` are each other's inverse."""

    task: Task
    key: int
    """By which the one who asks finds what the origin noted."""
    n: int = 0
    us: int = 0
    size: int = 0

    def __str__(self) -> str:
        return f"{self.task};key={self.key};n={self.n};us={self.us};size={self.size}"

    @classmethod
    def parse(cls, text: str) -> Question | None:
        """The question in ``text``; None if it is none, or asks for too much."""
        word, *pairs = text.split(";")
        numbers: dict[str, int] = {}
        for pair in pairs:
            name, _, digits = pair.partition("=")
            if not (digits.isascii() and digits.isdigit()) or len(digits) > 12:
                return None
            numbers[name] = int(digits)
        if word not in set(Task) or sorted(numbers) != ["key", "n", "size", "us"]:
            return None
        asked = cls(Task(word), **numbers)
        return asked if asked._is_bounded else None

    @property
    def _is_bounded(self) -> bool:
        seconds = self.us * max(1, self.n) / 1_000_000
        each = self.size * max(1, self.n)
        return self.n <= MAX_EVENTS and each <= MAX_BYTES and seconds <= MAX_SECONDS


@dataclass(frozen=True, slots=True)
class Send:
    """A part of the answer, at once."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Until:
    """Nothing before the clock says ``ns``."""

    ns: int


class Close(StrEnum):
    """How an answer ends."""

    END = "end"
    BREAK = "break"


Step = Send | Until | Close


def event(number: int, ns: int, size: int) -> bytes:
    """Event ``number``, handed over at ``ns``, with ``size`` bytes of its own."""
    return b"id: %d\ndata: %d %b\n\n" % (number, ns, filler(number, size))


def filler(number: int, size: int) -> bytes:
    """``size`` bytes of text that belong to ``number``; they repeat after 40."""
    once = hashlib.sha1(number.to_bytes(8, "big"), usedforsecurity=False).hexdigest().encode()
    return (once * (size // 40 + 1))[:size]


def block(number: int, size: int) -> bytes:
    """``size`` bytes that belong to ``number`` and that nobody can compress."""
    return hashlib.shake_128(number.to_bytes(8, "big")).digest(size)


def body(asked: Question) -> Iterator[bytes]:
    """The body of ``DOWN``, ``TEXT`` and (from whoever asks) ``UP``, in blocks; with ``n``, as
    ``n`` small events."""
    if asked.n:
        yield from (event(number, 0, asked.size) for number in range(asked.n))
        return
    make = filler if asked.task is Task.TEXT else block
    for number, start in enumerate(range(0, asked.size, BLOCK)):
        yield make(number, min(BLOCK, asked.size - start))


def script(asked: Question, clock: Callable[[], int]) -> Iterator[Step]:
    """What follows the answer's head. ``clock`` is asked when a step is taken, not before."""
    task, gap = asked.task, asked.us * 1000
    if task is Task.FIRST:
        yield Send(b"%d\n" % clock())
    elif task is Task.EVENTS:
        start = clock()
        for number in range(asked.n):
            if gap:
                yield Until(start + gap * (number + 1))
            yield Send(event(number, clock(), asked.size))
    elif task in (Task.DOWN, Task.TEXT):
        yield from map(Send, body(asked))
    elif task in (Task.SILENT, Task.BARE, Task.BREAK):
        yield Send(event(0, clock(), 0))
        yield Until(clock() + gap)
        if task is Task.BREAK:
            yield Close.BREAK
            return
        yield Send(event(1, clock(), 0))
    elif task is Task.LATE:
        yield Send(event(0, clock(), 0))
    yield Close.END


def content_type(task: Task) -> bytes:
    """Of the answer."""
    if task in (Task.EVENTS, Task.SILENT, Task.BREAK):
        return b"text/event-stream"
    return b"text/plain" if task is Task.TEXT else b"application/octet-stream"


def seconds(ns: int) -> float:
    """Nanoseconds as seconds."""
    return ns / _NS
