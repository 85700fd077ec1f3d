"""An engine whose public address changes: announced, proved anew, and only then shown."""

from __future__ import annotations

import sys
from typing import Any

from underpass.drivers.base import LinkPhase, LinkView

edge = sys.modules["underpass_tests_edge"]


async def test_another_address_is_announced_and_shown_only_once_it_is_proved(keep: Any) -> None:
    kept = await keep()
    await kept.supervisor.open(10.0)
    await kept.wait_event("live")
    former = kept.supervisor.status().url
    second = edge.Edge(kept.engine.edge.carrier)
    await second.start()
    try:
        kept.engine.say(LinkView(LinkPhase.LOST, "engine-ended"))
        kept.engine.say(LinkView(LinkPhase.ATTACHED, public_url=second.url))
        assert kept.supervisor.status().url is None
        changed = await kept.wait_event("address-changed")
        assert changed["address"] == second.url
        live = await kept.wait_event("live")
        assert live["tunnel"]["url"] == second.url != former
    finally:
        await second.stop()


async def test_the_same_address_again_is_no_news(keep: Any) -> None:
    kept = await keep()
    await kept.supervisor.open(10.0)
    await kept.wait_event("live")
    url = kept.supervisor.status().url
    kept.engine.say(LinkView(LinkPhase.ATTACHED, public_url=url))
    await kept.supervisor.close()
    assert "address-changed" not in await kept.rest()
