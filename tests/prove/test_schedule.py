"""When proofs are due, by stepped time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.drivers.base import Quota
from underpass.prove.schedule import (
    CLOSED_INTERVAL,
    LIVE_INTERVAL,
    MIN_GAP,
    QUOTA_SHARE,
    RETRIES,
    Action,
    Allowance,
    Schedule,
)

pytestmark = pytest.mark.pure

LIVE, CLOSED = Action.LIVE, Action.CLOSED


def settled(now: float = 0.0, **options: object) -> Schedule:
    """A schedule whose first probe and first closed check have passed at ``now``."""
    schedule = Schedule(now, **options)  # type: ignore[arg-type]
    for action in schedule.tick(now):
        schedule.finished(action, ok=True, now=now)
    return schedule


def test_both_actions_are_due_at_once_and_only_once() -> None:
    schedule = Schedule(7.0)
    assert schedule.next_deadline() == 7.0
    assert schedule.tick(7.0) == (LIVE, CLOSED)
    assert schedule.tick(7.0) == ()
    assert schedule.next_deadline() is None


def test_a_public_tunnel_is_never_checked_for_being_closed() -> None:
    schedule = settled(closed=False)
    assert schedule.tick(LIVE_INTERVAL) == (LIVE,)
    schedule.finished(LIVE, ok=True, now=LIVE_INTERVAL)
    assert schedule.tick(LIVE_INTERVAL + CLOSED_INTERVAL) == (LIVE,)


def test_silence_of_one_interval_makes_the_live_probe_due() -> None:
    schedule = settled()
    assert schedule.next_deadline() == LIVE_INTERVAL
    assert schedule.tick(LIVE_INTERVAL - 0.01) == ()
    assert schedule.tick(LIVE_INTERVAL) == (LIVE,)


def test_a_busy_tunnel_is_not_probed_but_still_checked_for_being_closed() -> None:
    schedule = settled()
    started = []
    for step in range(1, 1200):
        now = step / 10
        schedule.exchange_completed(now)
        for action in schedule.tick(now):
            started.append((action, now))
            schedule.finished(action, ok=True, now=now)
    assert started == [(CLOSED, CLOSED_INTERVAL)]


def test_doubt_makes_the_live_probe_due_although_visitors_come() -> None:
    schedule = settled()
    schedule.exchange_completed(3.0)
    schedule.doubt(3.0)
    assert schedule.tick(3.0) == (LIVE,)


def test_doubt_during_a_probe_is_followed_by_another_probe() -> None:
    schedule = settled()
    assert schedule.tick(15.0) == (LIVE,)
    schedule.doubt(15.1)
    assert schedule.tick(15.1) == ()
    schedule.finished(LIVE, ok=True, now=15.2)
    assert schedule.next_deadline() == 15.0 + MIN_GAP
    assert schedule.tick(15.0 + MIN_GAP) == (LIVE,)


def test_a_storm_of_doubts_gives_two_probes_a_second() -> None:
    schedule = settled()
    probes = 0
    for step in range(10_001):
        now = 20 + step / 1000
        schedule.doubt(now)
        for action in schedule.tick(now):
            probes += action is LIVE
            schedule.finished(action, ok=True, now=now)
    assert probes == 10 / MIN_GAP + 1


def test_failures_are_retried_in_growing_steps_until_one_passes() -> None:
    schedule = settled(closed=False)
    now, waits = LIVE_INTERVAL, []
    for _ in range(len(RETRIES) + 1):
        assert schedule.tick(now) == (LIVE,)
        schedule.finished(LIVE, ok=False, now=now)
        deadline = schedule.next_deadline()
        assert deadline is not None
        waits.append(deadline - now)
        now = deadline
    assert waits == [*RETRIES, RETRIES[-1]]
    schedule.tick(now)
    schedule.finished(LIVE, ok=True, now=now)
    assert schedule.next_deadline() == now + LIVE_INTERVAL


def test_a_visitor_who_gets_through_a_failing_tunnel_brings_the_probe_forward() -> None:
    schedule = settled()
    schedule.tick(15.0)
    schedule.finished(LIVE, ok=False, now=15.0)
    schedule.exchange_completed(15.6)
    assert schedule.tick(15.6) == (LIVE,)


def test_a_gate_found_open_is_looked_at_again_soon() -> None:
    schedule = settled()
    schedule.tick(LIVE_INTERVAL)
    schedule.finished(LIVE, ok=True, now=59.0)
    assert schedule.tick(60.0) == (CLOSED,)
    schedule.finished(CLOSED, ok=False, now=60.0)
    assert schedule.tick(60.0 + RETRIES[0]) == (CLOSED,)


def test_a_recovered_tunnel_is_checked_for_being_closed_at_once() -> None:
    schedule = Schedule(0.0)
    schedule.tick(0.0)
    for now in (0.0, 1.0, 3.0, 7.0):
        schedule.finished(LIVE, ok=False, now=now)
        schedule.finished(CLOSED, ok=False, now=now)
        schedule.tick(now + 15)
    schedule.finished(CLOSED, ok=False, now=23.0)
    schedule.finished(LIVE, ok=True, now=24.0)
    assert schedule.tick(24.0) == (CLOSED,)


def test_a_quota_stretches_both_intervals_alike() -> None:
    month = 30 * 86_400.0
    schedule = Schedule(0.0, quota=Quota(20_000, month))
    assert schedule.live_interval * 4 == pytest.approx(schedule.closed_interval)
    proofs_a_month = month / schedule.live_interval + month / schedule.closed_interval
    assert proofs_a_month <= 20_000 * QUOTA_SHARE


def test_a_generous_quota_changes_nothing() -> None:
    schedule = Schedule(0.0, quota=Quota(1_000_000, 3600.0))
    assert (schedule.live_interval, schedule.closed_interval) == (LIVE_INTERVAL, CLOSED_INTERVAL)


def test_a_quota_too_small_for_any_proof_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        Allowance(Quota(20, 60.0), 0.0)


def test_a_deadline_given_under_a_quota_is_met_by_something_to_start() -> None:
    schedule = Schedule(0.0, quota=Quota(1000, 3600.0))
    now = 0.0
    for _ in range(200):
        deadline = schedule.next_deadline()
        assert deadline is not None
        now = max(now, deadline)
        started = schedule.tick(now)
        assert started
        for action in started:
            schedule.finished(action, ok=False, now=now)


@given(
    requests=st.integers(21, 2000),
    seconds=st.floats(1.0, 10_000.0),
    steps=st.lists(st.tuples(st.floats(0, 50), st.booleans(), st.booleans()), max_size=300),
)
def test_no_window_ever_holds_more_than_the_share_of_the_quota(
    requests: int, seconds: float, steps: list[tuple[float, bool, bool]]
) -> None:
    schedule = Schedule(0.0, quota=Quota(requests, seconds))
    now, starts = 0.0, []
    for pause, doubted, ok in steps:
        now += pause
        if doubted:
            schedule.doubt(now)
        for action in schedule.tick(now):
            starts.append(now)
            schedule.finished(action, ok=ok, now=now)
    for index, at in enumerate(starts):
        inside = [later for later in starts[index:] if later < at + seconds]
        assert len(inside) <= requests * QUOTA_SHARE


@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from("xdpf")), max_size=200))
def test_a_tunnel_is_never_left_unprobed_for_longer_than_an_interval(
    steps: list[tuple[float, str]],
) -> None:
    """Whatever happens, within one interval of the last sign of life a live probe is due."""
    schedule = settled()
    now, sign = 0.0, 0.0
    for pause, event in steps:
        now += pause
        if event == "x":
            schedule.exchange_completed(now)
            sign = now
        elif event == "d":
            schedule.doubt(now)
        for action in schedule.tick(now):
            schedule.finished(action, ok=event != "f", now=now)
            sign = now if action is LIVE else sign
        deadline = schedule.next_deadline()
        assert deadline is not None
        assert deadline <= max(now, sign + LIVE_INTERVAL)
