"""Slow and too slow."""

from __future__ import annotations

import pytest

from underpass.relay.edges.limits import EdgeLimits
from underpass.relay.edges.pace import BodyPace, StallWatch

pytestmark = pytest.mark.pure


def test_a_body_has_its_grace_and_then_a_least_rate() -> None:
    pace = BodyPace(EdgeLimits())
    assert not any(pace.is_late(now, reading=True) for now in range(100, 111))
    assert pace.is_late(111, reading=True)
    pace.received = 1024
    assert not pace.is_late(111, reading=True)
    assert pace.is_late(113, reading=True)


def test_time_in_which_nobody_reads_does_not_count() -> None:
    pace = BodyPace(EdgeLimits())
    assert not any(pace.is_late(now, reading=False) for now in range(100, 500))
    assert not pace.is_late(505, reading=True)


def test_a_visitor_that_takes_a_little_is_not_stalled() -> None:
    watch = StallWatch(EdgeLimits())
    assert not any(watch.is_stalled(now, 10_000 - now) for now in range(100, 1000, 29))
    assert not watch.is_stalled(1000, 5)
    assert not watch.is_stalled(1029, 5)
    assert watch.is_stalled(1030, 5)
