"""Percentiles by nearest rank, and events that come in clumps."""

from __future__ import annotations

import random

import pytest

from underpass.prove.streaming.numbers import Spread, at_percent, clumped, spread

MS = 1_000_000


def test_a_spread_is_of_what_is_beyond_the_usual_and_never_below_nothing() -> None:
    values = [number * MS for number in range(1, 101)]
    assert spread(values) == Spread(100, 50_000, 99_000, 100_000)
    assert spread(values, less=60 * MS) == Spread(100, 0, 39_000, 40_000)


@pytest.mark.parametrize("count", [1, 2, 7, 100, 101, 1000])
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(count: int) -> None:
    values = sorted(random.Random(count).sample(range(10_000), count))
    for percent in (1, 50, 99, 100):
        found = at_percent(values, percent)
        assert sum(value <= found for value in values) * 100 >= percent * count
        assert sum(value < found for value in values) * 100 < percent * count


def test_a_steady_stream_is_not_clumped_however_late_it_is() -> None:
    sent = [number * 100 * MS for number in range(20)]
    assert clumped(sent, [each + 900 * MS for each in sent], 100 * MS) == 0


def test_a_stream_that_was_collected_is_clumped() -> None:
    sent = [number * 100 * MS for number in range(21)]
    seen = [(number // 5 + 1) * 500 * MS + number for number in range(21)]
    assert clumped(sent, seen, 100 * MS) == 800


def test_events_that_were_sent_together_may_come_together() -> None:
    assert clumped([0, 10, 20], [0, 10, 20], 100 * MS) == 0
    assert clumped([5], [6], 100 * MS) == 0
