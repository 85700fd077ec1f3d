"""Measuring delay: of the first byte, and of every event of a stream."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from underpass.gatehouse.measuring.notes import now
from underpass.gatehouse.measuring.questions import Task
from underpass.prove.streaming.event_reader import EventReader, stamp
from underpass.prove.streaming.numbers import Spread, at_percent, clumped, spread
from underpass.prove.streaming.results import Events, FirstByte
from underpass.prove.streaming.way import Interrupted, Talk, Way

PATIENCE: Final = 15.0
"""Seconds without a byte that should come."""

EVENT_BYTES: Final = 64

_NS: Final = 1_000_000_000


async def patient(get: Callable[[], Awaitable[tuple[int, bytes]]]) -> tuple[int, bytes]:
    """The next part, soon. Raises ``Interrupted``."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await get()
    except TimeoutError:
        raise Interrupted("nothing came any more") from None


async def first_byte_rounds(
    public: Way, straight: Way, samples: int, *, rounds: int, most: int | None
) -> tuple[Spread, FirstByte]:
    """How long connecting takes, and the first byte's delay, in rounds until ``most`` (p99, in
    microseconds) is kept."""
    found = []
    for _ in range(rounds):
        found.append(await measure_first_byte(public, straight, samples))
        if most is None or found[-1][1].added.p99 <= most:
            break
    connects, quietest = min(found, key=lambda each: each[1].added.p99)
    told = tuple(each.added.p99 for _, each in found)
    return connects, replace(quietest, rounds_p99_us=told)


async def measure_first_byte(public: Way, straight: Way, samples: int) -> tuple[Spread, FirstByte]:
    """How long connecting takes, and the first byte's delay, in one round."""
    direct = [(await _first_byte(straight))[1] for _ in range(samples)]
    through, connects = [], []
    for _ in range(samples):
        connect, delay = await _first_byte(public)
        connects.append(connect)
        through.append(delay)
    usual = at_percent(sorted(direct), 50)
    return spread(connects), FirstByte(spread(through, less=usual), spread(direct), ())


async def _first_byte(way: Way) -> tuple[int, int]:
    since = now()
    async with way.talk(Task.FIRST) as talk:
        while True:
            at, body = await patient(talk.part)
            if body:
                return talk.begun - since, at - talk.begun
            if talk.is_complete:
                raise Interrupted("the answer was empty")


@dataclass(slots=True)
class _Stream:
    """What was seen of one event stream."""

    head_at: int = 0
    sent: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)


async def event_rounds(
    public: Way, straight: Way, rate: tuple[int, int], *, rounds: int, most: int | None
) -> Events:
    """The delay of each event of a steady stream, in rounds until ``most`` (p99, in microseconds)
    is kept."""
    found: list[Events] = []
    for _ in range(rounds):
        found.append(await measure_events(public, straight, *rate))
        if most is None or _p99(found[-1]) <= most:
            break
    quietest = min(found, key=_p99)
    lost = min(each.seen for each in found)
    told = tuple(each.added.p99 for each in found if each.added is not None)
    return replace(quietest, seen=lost, rounds_p99_us=told)


def _p99(events: Events) -> int:
    return sys.maxsize if events.added is None else events.added.p99


async def measure_events(public: Way, straight: Way, per_second: int, count: int) -> Events:
    """The delay of each event, through both ways, one after the other, in one round."""
    direct = await _events(straight, per_second, count)
    if not direct.seen:
        raise Interrupted("no event came on the straight way")
    through = await _events(public, per_second, count)
    usual = at_percent(sorted(_delays(direct)), 50)
    return Events(
        per_second=per_second,
        sent=count,
        seen=len(through.seen),
        added=spread(_delays(through), less=usual) if through.seen else None,
        straight=spread(_delays(direct)),
        clumped_permille=clumped(through.sent, through.seen, _NS // per_second),
        head_waited=not through.seen or through.head_at >= through.seen[0],
    )


def _delays(stream: _Stream) -> list[int]:
    return [seen - sent for sent, seen in zip(stream.sent, stream.seen, strict=True)]


async def _events(way: Way, per_second: int, count: int) -> _Stream:
    stream, reader = _Stream(), EventReader()
    async with way.talk(Task.EVENTS, n=count, us=1_000_000 // per_second, size=EVENT_BYTES) as talk:
        try:
            await _follow(talk, reader, stream)
        except Interrupted:
            if not stream.seen:
                raise
    return stream


async def _follow(talk: Talk, reader: EventReader, stream: _Stream) -> None:
    while not talk.is_complete:
        at, data = await patient(talk.part)
        if talk.head is not None and not stream.head_at:
            stream.head_at = at
        for block in reader.receive_data(data):
            number, ns = stamp(block)
            if number == len(stream.seen):
                stream.sent.append(ns)
                stream.seen.append(at)
