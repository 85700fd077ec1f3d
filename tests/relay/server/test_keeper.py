from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from underpass.relay.protocol.admission import Bounds
from underpass.relay.protocol.records import Terms
from underpass.relay.server.leases import Due, Phase
from underpass.relay.server.names import transfer_name
from underpass.relay.server.registry import KeyLimits, KeyRecord

WITHIN = 10.0


async def until(condition: Any) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class TestEndOfLease:
    @pytest.fixture(autouse=True)
    def the_clock_is_looked_at_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("underpass.relay.server.leases.LONGEST_SLEEP", 0.01)

    async def test_new_visitors_are_refused_at_the_end(self, rig: Any, process: Any) -> None:
        await process.welcome()
        rig.clock.at = process.terms.lease_end
        assert rig.tunnels.find("tools.relay.test") is None
        assert rig.tunnels.find_name("tools") is None

    async def test_streams_go_on_until_the_cut(self, rig: Any, process: Any, owner: Any) -> None:
        await process.welcome()
        rig.tunnel().lane_nowait().open("tcp", owner=owner)
        rig.keeper.lease_due(Due("tools", Phase.ENDED))
        assert rig.tunnel().session.streams == 1
        rig.clock.at = process.terms.lease_end + 30
        rig.keeper.lease_due(Due("tools", Phase.CUT))
        assert owner.codes == ["lease-expired", "lease-expired"]
        assert await process.last.refused() == "lease-expired"
        await until(lambda: rig.tunnels.get("tools") is None)
        assert (await rig.stored()).terms is None

    async def test_the_clock_brings_both_though_the_connector_vanished(
        self, rig: Any, process: Any
    ) -> None:
        await process.welcome()
        process.cut()
        rig.clock.at = process.terms.lease_end + 30
        await until(lambda: rig.tunnels.get("tools") is None)
        record = await rig.stored()
        assert (record.terms, record.epoch) == (None, 1)

    async def test_a_random_name_is_forgotten_with_its_lease(self, rig: Any, process: Any) -> None:
        process.name = ""
        await process.welcome()
        rig.clock.at = process.terms.lease_end + 30
        await until(lambda: len(rig.tunnels) == 0)
        await until_async(lambda: rig.registry.names(), ())

    async def test_a_name_opened_again_outlives_its_old_lease(self, rig: Any, process: Any) -> None:
        await process.welcome()
        newer = process.restarted()
        newer.terms = Terms(kind="http", lease_end=process.terms.lease_end + 9999)
        await newer.welcome()
        rig.clock.at = process.terms.lease_end + 31
        assert rig.tunnels.find_name("tools") is rig.tunnel()
        newer.close()


class TestRenewal:
    async def test_it_is_stored_then_granted(self, rig: Any, process: Any) -> None:
        await process.welcome()
        process.runner().lane.say_lease(1_009_000.0)
        assert await asyncio.wait_for(process.leases.get(), WITHIN) == 1_009_000.0
        assert (await rig.stored()).lease_end == 1_009_000.0
        assert rig.tunnel().record.lease_end == 1_009_000.0

    async def test_no_more_is_granted_than_the_relay_allows(self, rig: Any, process: Any) -> None:
        await process.welcome()
        process.runner().lane.say_lease(9e9)
        longest = rig.clock.at + Bounds().lease_seconds
        assert await asyncio.wait_for(process.leases.get(), WITHIN) == longest

    async def test_a_lane_that_joins_late_takes_nothing_back(self, rig: Any, process: Any) -> None:
        await process.welcome(0)
        process.runner().lane.say_lease(1_009_000.0)
        await asyncio.wait_for(process.leases.get(), WITHIN)
        welcome = await process.welcome(1)
        assert welcome.lease_end == 1_009_000.0
        assert (await rig.stored()).lease_end == 1_009_000.0

    async def test_of_a_thousand_asks_the_last_is_answered(self, rig: Any, process: Any) -> None:
        await process.welcome()
        lane = process.runner().lane
        for second in range(1000):
            lane.say_lease(1_005_000.0 + second)
        granted = 0.0
        while granted < 1_005_999.0:
            granted = await asyncio.wait_for(process.leases.get(), WITHIN)
        assert (await rig.stored()).lease_end == 1_005_999.0
        assert (await rig.stored()).revision < 100

    async def test_an_end_in_the_past_closes_the_tunnel(self, rig: Any, process: Any) -> None:
        await process.welcome()
        process.runner().lane.say_lease(0.0)
        assert await asyncio.wait_for(process.leases.get(), WITHIN) == rig.clock.at
        await until(lambda: rig.tunnels.get("tools") is None)
        assert (await rig.stored()).terms is None


class TestChanges:
    async def test_a_revoked_key_loses_its_tunnels(
        self, rig: Any, process: Any, owner: Any
    ) -> None:
        await process.welcome()
        rig.tunnel().lane_nowait().open("tcp", owner=owner)
        await rig.registry.put_key(KeyRecord(process.public, revoked_at=5.0))
        await rig.keeper.refresh()
        assert rig.tunnels.get("tools") is None
        assert owner.codes == ["key-revoked", "key-revoked"]
        assert await process.last.refused() == "key-revoked"
        assert await process.refusal() == "key-revoked"

    async def test_a_transferred_name_leaves_its_old_key(
        self, rig: Any, process: Any, stranger: Any
    ) -> None:
        await process.welcome()
        await transfer_name(rig.registry, "tools", stranger.public)
        await rig.registry.put_key(KeyRecord(stranger.public))
        await rig.keeper.refresh()
        assert rig.tunnels.get("tools") is None
        assert await process.last.refused() == "name-not-yours"
        assert await process.refusal() == "name-not-yours"
        welcome = await stranger.welcome()
        assert welcome.epoch == 2
        stranger.close()

    async def test_a_released_name_is_not_brought_back_by_resuming(
        self, rig: Any, process: Any
    ) -> None:
        await process.welcome()
        await rig.registry.delete_name(await rig.stored())
        assert await process.refusal(1) == "name-not-yours"
        assert rig.tunnels.get("tools") is None

    async def test_what_did_not_change_stays(self, rig: Any, process: Any, owner: Any) -> None:
        await process.welcome()
        rig.tunnel().lane_nowait().open("tcp", owner=owner)
        await rig.keeper.refresh()
        assert rig.tunnel().session.streams == 1
        assert owner.codes == []

    async def test_limits_change_while_tunnels_live(self, rig: Any, process: Any) -> None:
        await process.welcome()
        limits = KeyLimits(streams=1)
        await rig.registry.put_key(KeyRecord(process.public, limits=limits))
        await rig.keeper.refresh()
        assert rig.tunnel().take_stream()
        assert not rig.tunnel().take_stream()
        rig.tunnel().give_stream()
        assert rig.tunnel().take_stream()
        rig.tunnel().give_stream()


class TestRestart:
    async def test_tunnels_are_known_before_their_connectors_are_back(
        self, rig: Any, process: Any
    ) -> None:
        await process.welcome()
        await rig.restart()
        tunnel = rig.tunnels.find("tools.relay.test")
        assert tunnel is rig.tunnel()
        assert tunnel.lane_nowait() is None

    async def test_ended_ones_are_not(self, rig: Any, process: Any) -> None:
        await process.welcome()
        await rig.stop()
        rig.clock.at = process.terms.lease_end
        await rig.start()
        assert len(rig.tunnels) == 0
        assert (await rig.stored()).terms is None

    async def test_those_of_revoked_keys_are_not(self, rig: Any, process: Any) -> None:
        await process.welcome()
        record = await rig.registry.key(process.public)
        await rig.registry.put_key(replace(record, revoked_at=1.0))
        await rig.restart()
        assert len(rig.tunnels) == 0


async def until_async(ask: Any, wanted: object) -> None:
    async with asyncio.timeout(WITHIN):
        while await ask() != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
