"""When a tunnel's time is over, by stepped time."""

from __future__ import annotations

import pytest

from underpass.supervise.lease import LeaseClock, LeaseEnd

pytestmark = pytest.mark.pure


def lease(*, seconds: float = 3600.0, idle: int | None = None) -> LeaseClock:
    return LeaseClock(ends_at=1_000_000 + seconds, idle_seconds=idle, now=50.0, unix=1_000_000.0)


def test_a_lease_ends_when_its_seconds_have_passed() -> None:
    clock = lease(seconds=60)
    assert clock.next_deadline() == 110.0
    assert clock.ended(109.9) is None
    assert clock.ended(110.0) is LeaseEnd.EXPIRED


def test_a_renewed_lease_ends_later() -> None:
    clock = lease(seconds=60)
    clock.renewed(1_000_000 + 7200, now=80.0, unix=1_000_030.0)
    assert clock.ends_at == 1_007_200
    assert clock.ended(110.0) is None
    assert clock.ended(50.0 + 7200) is LeaseEnd.EXPIRED


def test_a_tunnel_without_visitors_ends_at_its_idle_limit() -> None:
    clock = lease(idle=15)
    assert clock.next_deadline() == 65.0
    assert clock.ended(65.0) is LeaseEnd.IDLE


def test_the_idle_limit_counts_from_the_last_visitor() -> None:
    clock = lease(idle=15)
    clock.visited(62.0)
    assert clock.ended(76.9) is None
    assert clock.ended(77.0) is LeaseEnd.IDLE


def test_a_tunnel_with_a_quiet_visitor_inside_is_not_idle() -> None:
    clock = lease(idle=15)
    assert clock.ended(65.0, has_visitors=True) is None
    assert clock.next_deadline() == 80.0
    assert clock.ended(80.0, has_visitors=True) is None
    assert clock.ended(95.0) is LeaseEnd.IDLE


def test_the_hard_end_comes_although_visitors_are_inside() -> None:
    clock = lease(seconds=60, idle=15)
    assert clock.ended(110.0, has_visitors=True) is LeaseEnd.EXPIRED
