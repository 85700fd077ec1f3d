"""Latencies in fixed buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.observe.histogram import BOUNDS, BUCKETS, Histogram, bucket_of

pytestmark = pytest.mark.pure


@given(st.floats(0, 200))
def test_a_duration_lies_between_the_bounds_of_its_bucket(
    seconds: float,
) -> None:
    bucket = bucket_of(seconds)
    if bucket < len(BOUNDS):
        assert seconds <= BOUNDS[bucket]
    if bucket:
        assert seconds >= BOUNDS[bucket - 1] * 0.99


def test_quantiles_are_right_to_a_factor_of_two() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.5) is None
    for milliseconds in range(1, 101):
        histogram.add(milliseconds / 1000)
    median, most = histogram.quantile(0.5), histogram.quantile(0.99)
    assert median is not None
    assert most is not None
    assert 0.050 <= median <= 0.100
    assert 0.099 <= most <= 0.2
    assert histogram.count == 100


def test_negative_and_endless_durations_have_buckets_too() -> None:
    histogram = Histogram()
    histogram.add(-1.0)
    histogram.add(1e9)
    assert (histogram.counts[0], histogram.counts[-1], len(histogram.counts)) == (1, 1, BUCKETS)
    assert histogram.quantile(1.0) == BOUNDS[-1]
