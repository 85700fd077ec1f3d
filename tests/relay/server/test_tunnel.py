from __future__ import annotations

import asyncio
from typing import Any

import pytest

from underpass.relay.edges.errors import ConnectorAway
from underpass.relay.edges.ports import EdgeEvent

WITHIN = 10.0


async def test_without_connector_a_visitor_is_told_so(rig: Any, process: Any) -> None:
    await process.welcome()
    await rig.restart()
    with pytest.raises(ConnectorAway) as caught:
        await rig.tunnel().lane_within(0.01)
    assert caught.value.seconds == 0.01


async def test_waiting_visitors_are_bounded(
    rig: Any, process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("underpass.relay.server.tunnel.MOST_WAITING", 1)
    await process.welcome()
    await rig.restart()
    first = asyncio.ensure_future(rig.tunnel().lane_within(WITHIN))
    await asyncio.sleep(0)
    with pytest.raises(ConnectorAway):
        await rig.tunnel().lane_within(WITHIN)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not rig.tunnel()._waiting


async def test_a_new_stream_takes_the_lane_with_least_queued(rig: Any, process: Any) -> None:
    await process.welcome(0)
    await process.welcome(1)
    first = rig.tunnel().lane_nowait()
    first.open("tcp", owner=object_owner()).send_data(b"x" * 30_000)
    second = rig.tunnel().lane_nowait()
    assert second is not first


async def test_a_lane_without_link_is_never_chosen(rig: Any, process: Any) -> None:
    await process.welcome(0)
    await process.welcome(1)
    process.runner(0).link.abort("cut by the test")
    async with asyncio.timeout(WITHIN):
        while len(rig.tunnel().links) == 2:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    chosen = rig.tunnel().lane_nowait()
    assert chosen.identity == process.runner(1).lane.identity


async def test_streams_are_counted_over_all_tunnels_of_a_key(rig: Any, process: Any) -> None:
    await process.welcome()
    other = process.restarted()
    other.name = "other"
    await other.welcome()
    rig.tunnel().usage.limits = type(rig.limits)(streams=2)
    assert rig.tunnel("tools").take_stream()
    assert rig.tunnel("other").take_stream()
    assert not rig.tunnel("tools").take_stream()
    rig.tunnel("other").give_stream()
    assert rig.tunnel("tools").take_stream()
    other.close()


async def test_events_are_counted_without_names(rig: Any, process: Any) -> None:
    await process.welcome()
    rig.tunnel().note(EdgeEvent.REQUEST)
    rig.tunnel().note(EdgeEvent.REQUEST)
    assert rig.tunnels.counts == {EdgeEvent.REQUEST: 2}


@pytest.mark.parametrize(
    "host", ["tools.relay.test.", "relay.test", ".relay.test", "a.tools.relay.test", "tools", ""]
)
async def test_other_hosts_are_no_tunnel(rig: Any, process: Any, host: str) -> None:
    await process.welcome()
    assert rig.tunnels.find(host) is None


def object_owner() -> Any:
    class Owner:
        def __getattr__(self, name: str) -> Any:
            return lambda *args: None

    return Owner()
