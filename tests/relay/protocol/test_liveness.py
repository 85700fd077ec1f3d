"""Silence on a link, by stepped time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.relay.protocol.liveness import DEAD, LATE, SILENCE, Doubt, Liveness

pytestmark = pytest.mark.pure


def doubts(liveness: Liveness, until: float) -> list[tuple[float, Doubt]]:
    """What a shell hears that calls ``tick`` at each deadline and nothing else."""
    found = []
    while (now := liveness.next_deadline()) <= until:
        doubt = liveness.tick(now)
        assert doubt is not None
        found.append((now, doubt))
        if doubt is Doubt.DEAD:
            break
    return found


def test_silence_is_asked_about_then_doubted_then_believed() -> None:
    assert doubts(Liveness(100.0), 200.0) == [
        (103.0, Doubt.PING),
        (104.5, Doubt.LATE),
        (109.0, Doubt.DEAD),
    ]


def test_dead_path_is_noticed_within_ten_seconds() -> None:
    assert DEAD < 10
    assert LATE - SILENCE == 1.5


@pytest.mark.parametrize("heard", [0.0, 2.9, 3.0, 3.2, 4.4, 4.6, 8.9])
def test_any_byte_ends_the_doubt(heard: float) -> None:
    liveness = Liveness(0.0)
    doubts(liveness, heard)
    liveness.heard(heard)
    assert liveness.last == heard
    assert liveness.tick(heard) is None
    assert doubts(liveness, heard + 3.0) == [(heard + 3.0, Doubt.PING)]


@pytest.mark.parametrize("step", [0.1, 0.25, 0.5])
def test_each_doubt_is_said_once_a_silence(step: float) -> None:
    liveness = Liveness(0.0)
    said = [liveness.tick(number * step) for number in range(int(8.9 / step))]
    assert [one for one in said if one] == [Doubt.PING, Doubt.LATE]


def test_link_that_keeps_talking_is_never_doubted() -> None:
    liveness = Liveness(0.0)
    for number in range(100):
        liveness.heard(number * 2.9)
        assert liveness.tick(number * 2.9 + 2.89) is None


def test_sleep_is_followed_by_a_question_at_once() -> None:
    liveness = Liveness(0.0)
    liveness.heard(50.0)
    liveness.suspect(50.5)
    assert liveness.next_deadline() == pytest.approx(50.5)
    assert doubts(liveness, 100.0) == [
        (pytest.approx(50.5), Doubt.PING),
        (pytest.approx(52.0), Doubt.LATE),
        (pytest.approx(56.5), Doubt.DEAD),
    ]


def test_suspicion_does_not_make_a_silent_link_younger() -> None:
    liveness = Liveness(0.0)
    doubts(liveness, 4.0)
    liveness.suspect(4.0)
    assert liveness.last == 0.0
    assert liveness.tick(4.0) is Doubt.PING


def test_answer_after_suspicion_clears_it() -> None:
    liveness = Liveness(0.0)
    liveness.suspect(1.0)
    assert liveness.tick(1.0) is Doubt.PING
    liveness.heard(1.1)
    assert liveness.next_deadline() == pytest.approx(4.1)


@given(st.lists(st.floats(0.0, 12.0), max_size=20))
def test_deadline_never_comes_too_late(gaps: list[float]) -> None:
    liveness = Liveness(0.0)
    now = 0.0
    for gap in gaps:
        deadline = liveness.next_deadline()
        now += gap
        doubt = liveness.tick(now)
        assert (doubt is not None) == (now >= deadline)
        if gap > 6:
            liveness.heard(now)
