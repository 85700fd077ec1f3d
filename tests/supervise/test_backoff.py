"""How long tries are apart, by stepped time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.relay.protocol.backoff import EARLY, EARLY_CAP, FIRST_BOUND, LATE_CAP, Backoff

pytestmark = pytest.mark.pure

ALMOST_ONE = 0.999_999


def test_the_bound_doubles_to_one_second_and_after_a_minute_to_fifteen() -> None:
    backoff = Backoff()
    now, bounds = 0.0, []
    while now < 120:
        delay = backoff.failed(now, ALMOST_ONE)
        bounds.append(round(delay, 2))
        now += delay
    assert bounds[:6] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    late = bounds[bounds.index(2.0) :]
    assert late[:5] == [2.0, 4.0, 8.0, 15.0, 15.0]


def test_a_success_ends_the_outage() -> None:
    backoff = Backoff()
    for step in range(200):
        backoff.failed(float(step), 0.5)
    assert backoff.is_trying
    backoff.recovered()
    assert not backoff.is_trying
    assert backoff.failed(500.0, ALMOST_ONE) <= FIRST_BOUND


@given(tries=st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1, exclude_max=True)), max_size=100))
def test_no_wait_is_longer_than_the_cap_of_its_time(tries: list[tuple[float, float]]) -> None:
    backoff = Backoff()
    now = began = 0.0
    for index, (pause, jitter) in enumerate(tries):
        now += pause
        began = now if index == 0 else began
        delay = backoff.failed(now, jitter)
        cap = EARLY_CAP if now - began < EARLY else LATE_CAP
        assert 0 <= delay <= cap * jitter
