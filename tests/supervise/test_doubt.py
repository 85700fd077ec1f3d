"""When a link is made anew that looks well: after two intervals, and ever less often."""

from __future__ import annotations

from itertools import pairwise

import pytest

from underpass.model.verdict import Layer, LayerResult, LayerStatus, judge
from underpass.supervise.doubt import REDIAL_CAP, REDIAL_SECONDS, LinkDoubt

FAILED, PASSED = LayerResult(LayerStatus.FAILED), LayerResult(LayerStatus.PASSED)


def redials(layer: Layer, seconds: int) -> list[float]:
    """When a link is dialled anew while proofs fail at ``layer`` once a second."""
    doubt, verdict = LinkDoubt(), judge({layer: FAILED}, at=0.0)
    return [at for at in range(seconds) if doubt.judged(verdict, float(at), is_attached=True)]


def test_the_wait_doubles_up_to_its_cap() -> None:
    ends = redials(Layer.LINK, 3_000)
    assert ends[0] == REDIAL_SECONDS
    waits = [after - before for before, after in pairwise(ends)]
    assert waits[:4] == [60, 120, 240, REDIAL_CAP]
    assert set(waits[4:]) == {REDIAL_CAP}


@pytest.mark.parametrize("layer", [each for each in Layer if each not in ("relay", "link")])
def test_what_is_not_the_way_to_us_is_never_a_reason(layer: Layer) -> None:
    assert redials(layer, 3_000) == []


def test_a_verdict_that_knows_nothing_changes_nothing() -> None:
    doubt, nothing = LinkDoubt(), judge({}, at=0.0)
    failed = judge({Layer.RELAY: FAILED}, at=0.0)
    assert not doubt.judged(failed, 0.0, is_attached=True)
    assert not doubt.judged(nothing, REDIAL_SECONDS, is_attached=True)
    assert doubt.judged(failed, REDIAL_SECONDS, is_attached=True)


def test_a_good_one_begins_the_count_and_the_wait_anew() -> None:
    doubt, failed = LinkDoubt(), judge({Layer.RELAY: FAILED}, at=0.0)
    good = judge(dict.fromkeys(Layer, PASSED), at=0.0)
    for start in (0.0, 1_000.0):
        assert not doubt.judged(failed, start, is_attached=True)
        assert doubt.judged(failed, start + REDIAL_SECONDS, is_attached=True)
        assert not doubt.judged(good, start + REDIAL_SECONDS, is_attached=True)


def test_an_engine_at_work_on_its_link_is_left_alone() -> None:
    doubt, failed = LinkDoubt(), judge({Layer.LINK: FAILED}, at=0.0)
    assert not doubt.judged(failed, 0.0, is_attached=True)
    assert not doubt.judged(failed, 1_000.0, is_attached=False)
    assert not doubt.judged(failed, 1_001.0, is_attached=True)
