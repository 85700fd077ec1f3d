"""A link that the engine thinks well while no proof comes through is made anew, patiently."""

from __future__ import annotations

from typing import Any

import pytest

from underpass.drivers.base import LinkPhase, LinkView
from underpass.supervise.doubt import REDIAL_SECONDS


@pytest.fixture
async def kept(keep: Any) -> Any:
    """A live tunnel whose engine can dial anew, and says that its link is well."""
    kept = await keep()
    kept.redialled = []
    kept.engine.redial = kept.redialled.append
    await kept.supervisor.open(10.0)
    kept.engine.say(LinkView(LinkPhase.ATTACHED))
    return kept


async def fail_for(kept: Any, seconds: float) -> None:
    await kept.supervisor.prove()
    kept.clock.advance(seconds)
    await kept.supervisor.prove()


async def test_a_dead_link_is_redialled_after_two_intervals_and_then_less_often(kept: Any) -> None:
    await kept.engine.edge.stop()
    await fail_for(kept, REDIAL_SECONDS - 1)
    assert kept.redialled == []
    await fail_for(kept, 2)
    assert kept.redialled == ["proofs have failed at the layer relay"]
    await fail_for(kept, REDIAL_SECONDS + 1)
    assert len(kept.redialled) == 1
    await fail_for(kept, REDIAL_SECONDS)
    assert len(kept.redialled) == 2


async def test_an_engine_that_knows_of_its_lost_link_is_left_alone(kept: Any) -> None:
    kept.engine.say(LinkView(LinkPhase.LOST, "link-lost"))
    await kept.engine.edge.stop()
    await fail_for(kept, 10 * REDIAL_SECONDS)
    assert kept.redialled == []


async def test_an_origin_that_is_away_is_no_reason(kept: Any, origin: Any) -> None:
    await origin.stop()
    await fail_for(kept, 10 * REDIAL_SECONDS)
    assert kept.redialled == []


async def test_a_proof_in_between_begins_the_count_anew(kept: Any) -> None:
    edge = kept.engine.edge
    for _ in range(3):
        await edge.stop()
        await fail_for(kept, REDIAL_SECONDS - 1)
        await edge.start()
        await kept.supervisor.prove()
    assert kept.redialled == []
