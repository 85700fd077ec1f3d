"""How many bytes may be on their way, by stepped time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.relay.protocol.pacing import (
    HEADROOM,
    LEAST_WINDOW,
    RATE_SPAN,
    RTT_SPAN,
    SAMPLES,
    UNMEASURED_WINDOW,
    Pacing,
)

pytestmark = pytest.mark.pure

GAPS = st.one_of(st.just(0.0), st.floats(1e-6, 5))  # a clock shows no less than a microsecond


def steady(pacing: Pacing, *, rate: float, rtt: float, flights: int, limited: bool = True) -> float:
    """Flights one after another, each acknowledged after a round trip; the time at the end."""
    now, offset = 0.0, 0
    size = int(rate * rtt)
    for _ in range(flights):
        offset += size
        pacing.limited = limited
        pacing.sent(offset, now, idle=True)
        now += rtt
        pacing.acked(offset, now)
    return now


def test_unmeasured_link_carries_two_flights_of_slow_start_and_no_more_than_the_rules_say() -> None:
    pacing = Pacing(0.0, 0)
    assert 30 * 1460 <= pacing.window == UNMEASURED_WINDOW <= 128 * 1024
    assert pacing.rtt is None


@pytest.mark.parametrize("rate", [2e5, 1e6, 1e7, 1e8])
@pytest.mark.parametrize("rtt", [0.001, 0.02, 0.2])
def test_window_is_rate_times_round_trip_and_headroom(rate: float, rtt: float) -> None:
    pacing = Pacing(0.0, 0)
    steady(pacing, rate=rate, rtt=rtt, flights=3)
    assert pacing.rtt == pytest.approx(rtt)
    expected = max(rate * (rtt + HEADROOM), LEAST_WINDOW)
    assert pacing.window == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("rate", [1.0, 1_000.0, 50_000.0])
def test_window_is_never_under_its_least(rate: float) -> None:
    pacing = Pacing(0.0, 0)
    steady(pacing, rate=rate, rtt=1.0, flights=5)
    assert pacing.window >= LEAST_WINDOW


def test_sample_without_enough_to_send_may_raise_the_window_and_never_lower_it() -> None:
    pacing = Pacing(0.0, 0)
    now = steady(pacing, rate=1e6, rtt=0.05, flights=3)
    before = pacing.window
    offset = 3 * 50_000
    for _ in range(20):
        offset += 100
        pacing.limited = False
        pacing.sent(offset, now, idle=True)
        now += 0.5
        pacing.acked(offset, now)
    assert pacing.window == before
    pacing.limited = False
    offset += 1_000_000
    pacing.sent(offset, now, idle=True)
    pacing.acked(offset, now + 0.1)
    assert pacing.window > before


def test_rate_of_a_path_that_became_slow_is_forgotten_after_two_spans() -> None:
    pacing = Pacing(0.0, 0)
    now = steady(pacing, rate=1e7, rtt=0.02, flights=5)
    fast, offset = pacing.window, 5 * 200_000
    until = now + 2 * RATE_SPAN + 1.5
    while now < until:
        offset += 20_000
        pacing.limited = True
        pacing.sent(offset, now, idle=True)
        now += 0.2
        pacing.acked(offset, now)
    assert pacing.window < fast / 20


def test_first_part_of_a_large_flight_measures_the_round_trip() -> None:
    pacing = Pacing(0.0, 0)
    pacing.sent(128 * 1024, 0.0, idle=True)
    pacing.acked(16 * 1024, 0.15)
    assert pacing.rtt == pytest.approx(0.15)
    pacing.acked(128 * 1024, 1.1)
    assert pacing.rtt == pytest.approx(0.15)


def test_large_flight_on_a_slow_path_is_measured_before_all_of_it_has_arrived() -> None:
    pacing = Pacing(0.0, 0)
    pacing.round_trip(0.02, 0.0, idle=True)
    pacing.window = 1024 * 1024
    pacing.limited = True
    pacing.sent(1024 * 1024, 0.0, idle=True)
    for part in range(1, 5):
        pacing.acked(part * 16 * 1024, part * 0.131)
    assert pacing.window == pytest.approx(125_000 * (0.02 + HEADROOM), rel=0.02)


def test_long_idle_link_begins_anew() -> None:
    pacing = Pacing(0.0, 0)
    now = steady(pacing, rate=1e7, rtt=0.02, flights=5)
    offset = 5 * 200_000
    assert pacing.window > UNMEASURED_WINDOW
    fast = pacing.window
    pacing.sent(offset + 1, now + RATE_SPAN - 0.1, idle=True)
    pacing.acked(offset + 1, now + RATE_SPAN - 0.08)
    assert pacing.window == fast
    pacing.sent(offset + 2, now + 3 * RATE_SPAN, idle=True)
    assert pacing.window == UNMEASURED_WINDOW


def test_round_trip_of_a_busy_link_never_replaces_a_smaller_one() -> None:
    pacing = Pacing(0.0, 0)
    pacing.round_trip(0.02, 0.0, idle=True)
    now, offset = 0.0, 0
    while now < 3 * RTT_SPAN:
        offset += 40_000
        pacing.sent(offset, now, idle=False)
        now += 0.35
        pacing.acked(offset, now)
    assert pacing.rtt == 0.02


def test_round_trip_of_an_idle_link_replaces_an_old_one() -> None:
    pacing = Pacing(0.0, 0)
    pacing.round_trip(0.02, 0.0, idle=True)
    pacing.round_trip(0.2, RTT_SPAN - 1, idle=True)
    assert pacing.rtt == 0.02
    pacing.round_trip(0.2, RTT_SPAN + 1, idle=True)
    assert pacing.rtt == 0.2


def test_idle_time_is_not_taken_for_slowness() -> None:
    pacing = Pacing(0.0, 0)
    now = steady(pacing, rate=1e6, rtt=0.05, flights=3)
    before = pacing.window
    now += 100.0
    pacing.limited = True
    pacing.sent(200_000, now, idle=True)
    pacing.acked(200_000, now + 0.05)
    assert pacing.window >= before * 0.9


def test_memory_of_flights_is_bounded() -> None:
    pacing = Pacing(0.0, 0)
    for number in range(1, 1000):
        pacing.sent(number * 100, number * 0.001, idle=False)
    assert len(pacing._flights) == SAMPLES
    pacing.acked(99_900, 2.0)
    assert len(pacing._flights) == 0
    assert pacing.rtt is not None
    assert pacing.rtt > 0


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), GAPS, st.booleans(), st.booleans()),
        max_size=60,
    )
)
def test_whatever_happens_the_window_stays_sane(steps: list[tuple[int, float, bool, bool]]) -> None:
    pacing = Pacing(0.0, 0)
    now, sent = 0.0, 0
    for size, gap, limited, acked in steps:
        sent += size
        pacing.limited = limited
        pacing.sent(sent, now, idle=False)
        now += gap
        if acked:
            pacing.acked(sent, now)
        assert pacing.window >= LEAST_WINDOW
        assert pacing.rtt is None or pacing.rtt >= 0
