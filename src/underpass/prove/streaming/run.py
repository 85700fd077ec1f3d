"""One measurement from beginning to end: every measure in its turn, and the silence last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from underpass.prove.streaming.bodies import measure_changes, measure_down, measure_up
from underpass.prove.streaming.delays import event_rounds, first_byte_rounds
from underpass.prove.streaming.departures import (
    measure_breaking,
    measure_leaving,
    measure_silences,
)
from underpass.prove.streaming.judgement import Limits
from underpass.prove.streaming.results import Body, Events, Measured, Parameters
from underpass.prove.streaming.way import Interrupted, Way


@dataclass(frozen=True, slots=True)
class Progress:
    """A measure begins."""

    doing: str
    step: int
    of: int


@dataclass(slots=True)
class _Found:
    """What has been measured so far, by measure."""

    by_name: dict[str, Any] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)


async def measure(
    public: Way,
    straight: Way,
    asked: Parameters,
    limits: Limits,
    tell: Callable[[Progress], None],
) -> Measured:
    """Measure everything, as far as the way lets us; what fails is a fault among the results.

    Cancelling ends it at once; every connection ends with it.
    """
    steps = _steps(public, straight, asked, limits)
    found = _Found()
    for at, (name, step) in enumerate(steps):
        tell(Progress(name, at + 1, len(steps)))
        try:
            found.by_name[name] = await step()
        except Interrupted as interrupted:
            found.faults.append((name, str(interrupted)))
    return _put_together(asked, found)


def _steps(
    public: Way, straight: Way, asked: Parameters, limits: Limits
) -> list[tuple[str, Callable[[], Awaitable[object]]]]:
    size, tokens = asked.size, asked.tokens

    def first_byte() -> Awaitable[object]:
        most = limits.first_byte_p99_us
        return first_byte_rounds(public, straight, asked.samples, rounds=asked.rounds, most=most)

    def events(rate: tuple[int, int]) -> Callable[[], Awaitable[object]]:
        most = limits.event_p99_us
        return lambda: event_rounds(public, straight, rate, rounds=asked.rounds, most=most)

    return [
        ("first byte", first_byte),
        *((f"{rate[0]} events a second", events(rate)) for rate in asked.rates),
        ("large answer", lambda: measure_down(public, straight, size=size)),
        ("large request", lambda: measure_up(public, straight, size=size)),
        ("long answer", lambda: measure_down(public, straight, tokens=tokens)),
        ("long request", lambda: measure_up(public, straight, tokens=tokens)),
        ("changes", lambda: measure_changes(public)),
        ("leaving", lambda: measure_leaving(public, asked.departures)),
        ("breaking", lambda: measure_breaking(public, asked.departures)),
        ("silence", lambda: measure_silences(public, asked.silence_ms)),
    ]


def _put_together(asked: Parameters, found: _Found) -> Measured:
    got = found.by_name
    connect, first_byte = got.get("first byte") or (None, None)
    return Measured(
        parameters=asked,
        connect=connect,
        first_byte=first_byte,
        events=tuple(each for each in got.values() if isinstance(each, Events)),
        bodies=tuple(each for each in got.values() if isinstance(each, Body)),
        changes=got.get("changes"),
        leaving=got.get("leaving"),
        breaking=got.get("breaking"),
        silences=got.get("silence", ()),
        faults=tuple(found.faults),
    )
