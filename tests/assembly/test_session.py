"""How long a vendor's session lasts, by a clock that is stepped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from underpass.assembly.session import SessionWatch
from underpass.drivers.base import LinkPhase, LinkView


class Linked:
    """An engine as far as its link goes."""

    def __init__(self) -> None:
        self.say: Callable[[LinkView], None] = lambda view: None

    def observe(self, listener: Callable[[LinkView], None]) -> LinkView:
        self.say = listener
        return LinkView(LinkPhase.DIALLING)


class Timers:
    """The timers of a loop, which end when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[..., None], *words: Any) -> Timers.Handle:
        entry = (self.now + seconds, call, words)
        self.due.append(entry)
        return self.Handle(lambda: self.due.remove(entry) if entry in self.due else None)

    def step(self, seconds: float) -> None:
        self.now += seconds
        for entry in [each for each in self.due if each[0] <= self.now]:
            self.due.remove(entry)
            entry[1](*entry[2])

    class Handle:
        def __init__(self, cancel: Callable[[], None]) -> None:
            self.cancel = cancel


def watch() -> tuple[SessionWatch, Linked, Timers, list[int]]:
    timers, engine, told = Timers(), Linked(), cast(list[int], [])
    watching = SessionWatch(cast(Any, engine), 3_600, told.append, cast(Any, timers))
    return watching, engine, timers, told


def test_a_session_is_told_at_80_and_100_percent_and_begins_with_its_link() -> None:
    session, engine, timers, told = watch()
    timers.step(5_000)
    assert told == []  # not attached so far
    engine.say(LinkView(LinkPhase.ATTACHED))
    timers.step(2_879)
    engine.say(LinkView(LinkPhase.ATTACHED, public_url="https://other.example.com"))
    session.tell()
    assert told == [2_879]
    timers.step(1)
    timers.step(720)
    assert told == [2_879, 2_880, 3_600]
    engine.say(LinkView(LinkPhase.LOST))
    engine.say(LinkView(LinkPhase.ATTACHED))
    timers.step(2_880)
    assert told[3:] == [0, 2_880]


def test_nothing_is_told_when_it_is_over() -> None:
    session, engine, timers, told = watch()
    engine.say(LinkView(LinkPhase.ATTACHED))
    session.close()
    timers.step(5_000)
    assert (told, timers.due) == ([], [])
