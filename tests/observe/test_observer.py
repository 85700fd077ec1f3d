"""What many exchanges that go on at once may hold of memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from underpass.observe.observer import BODY_BYTES, OPEN_IN_FULL, Observer
from underpass.observe.tape import Tape
from underpass.observe.writer import CaptureWriter

MOST_OPEN = 4096
"""What one gatehouse carries at once at most."""


@pytest.fixture
async def observer(tmp_path: Path) -> AsyncIterator[Observer]:
    writer = CaptureWriter(tmp_path / "captures.db")
    made = Observer("tools", writer=writer)
    yield made
    await made.close()
    await writer.close()


def begin(observer: Observer, count: int) -> list[Tape]:
    """So many exchanges, each with more of an answer than is ever kept."""
    tapes = [observer.begin("http", "192.0.2.1") for _ in range(count)]
    part = bytes(BODY_BYTES + 1)
    for tape in tapes:
        tape.take_down(part, observer.clock())
    return tapes


def kept(tapes: list[Tape]) -> int:
    return sum(len(part) for tape in tapes for part in tape.down.parts)


async def test_a_crowd_is_kept_in_full(observer: Observer):
    assert kept(begin(observer, OPEN_IN_FULL)) == OPEN_IN_FULL * BODY_BYTES


async def test_of_a_larger_crowd_less_is_kept_and_it_says_so(observer: Observer):
    tapes = begin(observer, MOST_OPEN)
    assert kept(tapes) < 24 * 1024 * 1024
    assert len(tapes[-1].down.parts[0]) == BODY_BYTES * OPEN_IN_FULL // (MOST_OPEN - 1)
    assert all(tape.down.cut for tape in tapes)


async def test_what_comes_after_the_crowd_is_kept_in_full_again(observer: Observer):
    for tape in begin(observer, MOST_OPEN):
        observer.forget(tape)
    assert kept(begin(observer, 1)) == BODY_BYTES


async def test_streams_of_a_crowd_are_widened_by_as_much_less(observer: Observer):
    tapes = begin(observer, MOST_OPEN)
    last = observer.begin("events", "192.0.2.1")
    before = last.room
    observer.widen(last)
    assert 0 < last.room - before < BODY_BYTES
    assert len(tapes) == MOST_OPEN
