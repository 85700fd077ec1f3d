"""Waits between tries, by stepped time and given jitter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.relay.protocol.backoff import EARLY, EARLY_CAP, FIRST_BOUND, LATE_CAP, Backoff

pytestmark = pytest.mark.pure

MOST = 0.999999


def test_bounds_double_up_to_a_second() -> None:
    backoff = Backoff()
    waits = [backoff.failed(float(number), MOST) for number in range(7)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0], rel=1e-3)


def test_after_a_minute_bounds_grow_to_fifteen_seconds() -> None:
    backoff = Backoff()
    for second in range(60):
        assert backoff.failed(float(second), MOST) <= EARLY_CAP
    waits = [backoff.failed(EARLY + number * 15, MOST) for number in range(7)]
    assert waits == pytest.approx([1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0], rel=1e-3)


def test_success_ends_the_outage() -> None:
    backoff = Backoff()
    assert not backoff.is_trying
    for number in range(100):
        backoff.failed(float(number), MOST)
    assert backoff.is_trying
    backoff.recovered()
    backoff.recovered()
    assert not backoff.is_trying
    assert backoff.failed(1000.0, MOST) <= FIRST_BOUND
    assert backoff.failed(1001.0, MOST) <= 2 * FIRST_BOUND


def test_jitter_is_full() -> None:
    backoff = Backoff()
    assert backoff.failed(0.0, 0.0) == 0.0
    assert backoff.failed(0.0, 0.5) == pytest.approx(0.1)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1, exclude_max=True)), max_size=60))
def test_no_wait_is_ever_over_the_cap_of_its_time(tries: list[tuple[float, float]]) -> None:
    backoff = Backoff()
    now = 0.0
    for gap, jitter in tries:
        wait = backoff.failed(now, jitter)
        assert 0.0 <= wait <= (EARLY_CAP if now < EARLY else LATE_CAP)
        now += gap
