from __future__ import annotations

import asyncio
from typing import Any

import pytest

from underpass.relay.protocol.records import Refuse, Terms
from underpass.relay.server.keys import new_enrolment_token
from underpass.relay.server.registry import KeyLimits, KeyRecord

WITHIN = 10.0


async def until(condition: Any) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class TestFirstLink:
    async def test_an_enrolled_key_is_welcomed(self, rig: Any, process: Any) -> None:
        welcome = await process.welcome()
        assert (welcome.name, welcome.epoch) == ("tools", 1)
        assert welcome.public_url == "https://tools.relay.test"
        assert welcome.lease_end == process.terms.lease_end
        assert rig.tunnels.find("tools.relay.test") is rig.tunnel()
        assert rig.tunnel().lane_nowait() is not None

    async def test_the_epoch_is_stored_before_the_welcome(self, rig: Any, process: Any) -> None:
        await process.welcome()
        record = await rig.stored()
        assert (record.epoch, record.instance) == (1, process.instance)

    async def test_a_stream_reaches_the_connector_and_back(
        self, rig: Any, process: Any, owner: Any
    ) -> None:
        await process.welcome()
        lane = rig.tunnel().lane_nowait()
        mine = lane.open("tcp", peer=("192.0.2.1", 5), secure=True, owner=owner)
        mine.send_data(b"hello")
        theirs = await asyncio.wait_for(process.streams.get(), WITHIN)
        assert (theirs.kind, theirs.peer, theirs.secure) == ("tcp", ("192.0.2.1", 5), True)
        theirs.send_data(b"welcome")
        theirs.send_end()
        await asyncio.wait_for(owner.ended.wait(), WITHIN)
        assert owner.data == b"welcome"
        await until(lambda: theirs.owner.data == b"hello")

    async def test_an_empty_name_gets_a_random_one(self, rig: Any, process: Any) -> None:
        process.name = ""
        welcome = await process.welcome()
        assert len(welcome.name) == 16
        assert not (await rig.stored(welcome.name)).chosen

    async def test_a_lost_welcome_gets_the_same_random_name(self, rig: Any, process: Any) -> None:
        process.name = ""
        first = await process.welcome()
        process.name, process.epoch = "", 0
        process.welcomed.clear()
        again = await process.welcome()
        assert (again.name, again.epoch) == (first.name, first.epoch)

    async def test_a_second_lane_joins(self, rig: Any, process: Any) -> None:
        await process.welcome(0)
        welcome = await process.welcome(1)
        assert welcome.epoch == 1
        assert len(rig.tunnel().session.lanes) == 2


class TestEnrolment:
    async def test_a_stranger_is_asked_to_enrol(self, rig: Any, stranger: Any) -> None:
        assert await stranger.refusal() == "key-unknown"
        assert len(rig.tunnels) == 0

    async def test_a_token_lets_a_stranger_in(self, rig: Any, stranger: Any) -> None:
        token = (await new_enrolment_token(rig.registry)).reveal()
        await stranger.refusal()
        await stranger.welcome(token=token)
        assert rig.keys.is_good(stranger.public)
        stranger.close()

    async def test_a_wrong_token_is_refused_and_never_logged(self, rig: Any, stranger: Any) -> None:
        token = "up_" + "canary-" * 6 + "a"
        assert await stranger.refusal(token=token) == "enrolment-refused"
        assert "canary" not in repr(rig.lines.said)

    async def test_a_good_token_is_never_logged(self, rig: Any, stranger: Any) -> None:
        token = (await new_enrolment_token(rig.registry)).reveal()
        await stranger.welcome(token=token)
        assert token not in repr(rig.lines.said)
        stranger.close()


class TestRefusals:
    async def test_a_name_of_another_key_is_taken(
        self, rig: Any, process: Any, stranger: Any
    ) -> None:
        await process.welcome()
        await rig.registry.put_key(KeyRecord(stranger.public))
        await rig.keys.load()
        assert await stranger.refusal() == "name-taken"
        assert rig.tunnel().instance == process.instance

    async def test_a_name_that_is_no_label_is_refused(self, process: Any) -> None:
        assert await process.refusal(name="Not A Name") == "name-invalid"

    async def test_a_reserved_name_is_refused(self, process: Any) -> None:
        assert await process.refusal(name="www") == "name-invalid"

    async def test_an_ended_lease_is_refused(self, rig: Any, process: Any) -> None:
        rig.clock.at = process.terms.lease_end
        assert await process.refusal() == "lease-expired"

    async def test_senseless_terms_are_refused(self, process: Any) -> None:
        terms = Terms(kind="gopher", lease_end=2e9)
        assert await process.refusal(terms=terms) == "bad-hello"

    async def test_a_forged_signature_is_refused(self, process: Any, stranger: Any) -> None:
        assert await stranger.refusal(key=process.public) == "handshake-refused"

    async def test_a_hello_for_another_relay_is_refused(self, process: Any) -> None:
        assert await process.refusal(relay="evil.example") == "handshake-refused"

    async def test_a_certificate_on_a_plain_link_is_refused(self, process: Any) -> None:
        assert await process.refusal(certificate=b"c" * 32) == "tls-intercepted"

    async def test_names_of_a_key_are_limited(self, rig: Any, process: Any) -> None:
        limits = KeyLimits(names=1)
        await rig.registry.put_key(KeyRecord(process.public, limits=limits))
        await rig.keys.load()
        await process.welcome()
        other = process.restarted()
        other.name = "other"
        assert await other.refusal() == "too-many-names"

    async def test_a_refused_link_is_closed(self, process: Any) -> None:
        process_peer = None
        await process.refusal(name="www")
        process_peer = process.last
        await asyncio.wait_for(process_peer.lost.wait(), WITHIN)

    async def test_an_instance_cannot_change_its_kind(self, process: Any) -> None:
        await process.welcome()
        process.terms = Terms(kind="tcp", lease_end=process.terms.lease_end)
        assert await process.refusal() == "bad-hello"


class TestResume:
    async def test_a_lane_goes_on_after_a_lost_link(
        self, rig: Any, process: Any, owner: Any
    ) -> None:
        await process.welcome()
        mine = rig.tunnel().lane_nowait().open("tcp", owner=owner)
        theirs = await asyncio.wait_for(process.streams.get(), WITHIN)
        process.cut()
        await until(lambda: rig.tunnel().lane_nowait() is None)
        mine.send_data(b"while away")
        await process.welcome()
        await until(lambda: theirs.owner.data == b"while away")
        assert owner.codes == []

    async def test_an_older_link_is_stale(self, rig: Any, process: Any) -> None:
        await process.welcome(generation=5)
        assert await process.refusal(generation=5) == "stale-link"
        assert rig.tunnel().lane_nowait() is not None

    async def test_offsets_that_cannot_be_joined_lose_the_lane(
        self, rig: Any, process: Any, owner: Any
    ) -> None:
        await process.welcome()
        rig.tunnel().lane_nowait().open("tcp", owner=owner)
        await asyncio.wait_for(process.streams.get(), WITHIN)
        assert await process.refusal(received=10_000_000) == "unknown-lane"
        assert owner.codes == ["lane-lost", "lane-lost"]

    async def test_after_a_restart_the_session_is_unknown(self, rig: Any, process: Any) -> None:
        await process.welcome()
        process.cut()
        await rig.restart()
        assert await process.refusal() == "unknown-session"

    async def test_after_a_restart_a_new_instance_is_welcome(self, rig: Any, process: Any) -> None:
        await process.welcome()
        process.cut()
        await rig.restart()
        welcome = await process.restarted().welcome()
        assert welcome.epoch == 2

    async def test_visitors_that_wait_are_let_in_when_the_link_is_back(
        self, rig: Any, process: Any
    ) -> None:
        await process.welcome()
        process.cut()
        await until(lambda: rig.tunnel().lane_nowait() is None)
        waiting = asyncio.ensure_future(rig.tunnel().lane_within(WITHIN))
        await process.welcome()
        assert (await waiting).attached

    async def test_a_lane_without_link_is_lost_after_the_resume_window(
        self, rig: Any, process: Any, owner: Any
    ) -> None:
        await process.welcome()
        rig.tunnel().session._window = 0.0
        rig.tunnel().lane_nowait().open("tcp", owner=owner)
        process.cut()
        await asyncio.wait_for(owner.ended.wait(), WITHIN)
        assert owner.codes == ["lane-lost", "lane-lost"]
        assert rig.tunnel().session is None
        assert await process.refusal() == "unknown-session"


class TestTakeover:
    async def test_a_new_instance_takes_over_at_once(
        self, rig: Any, process: Any, owner: Any
    ) -> None:
        await process.welcome()
        rig.tunnel().lane_nowait().open("tcp", owner=owner)
        newer = process.restarted()
        welcome = await newer.welcome()
        assert welcome.epoch == 2
        assert rig.tunnel().instance == newer.instance
        assert owner.codes == ["lane-lost", "lane-lost"]
        newer.close()

    async def test_the_older_instance_hears_superseded(self, rig: Any, process: Any) -> None:
        await process.welcome()
        newer = process.restarted()
        await newer.welcome()
        assert await process.last.refused() == "superseded"
        assert await process.refusal() == "superseded"
        newer.close()

    async def test_a_living_holder_is_counted(self, rig: Any, process: Any) -> None:
        await process.welcome()
        newer = process.restarted()
        await newer.welcome()
        await until(lambda: rig.tunnel().unsettled == 0)
        assert len(rig.tunnel().takeovers) == 1
        newer.close()

    async def test_a_frozen_holder_is_not_counted(self, rig: Any, process: Any) -> None:
        await process.welcome()
        process.last.hangs_up = False
        newer = process.restarted()
        await newer.welcome()
        assert rig.tunnel().unsettled == 1
        await until(lambda: rig.tunnel().unsettled == 0)
        assert len(rig.tunnel().takeovers) == 0
        newer.close()

    async def test_a_crashed_holder_is_not_counted(self, rig: Any, process: Any) -> None:
        await process.welcome()
        process.cut()
        await until(lambda: not rig.tunnel().links)
        newer = process.restarted()
        await newer.welcome()
        await until(lambda: rig.tunnel().unsettled == 0)
        assert len(rig.tunnel().takeovers) == 0
        newer.close()

    async def test_the_fourth_takeover_from_the_living_is_contended(
        self, rig: Any, process: Any
    ) -> None:
        await process.welcome()
        holders = [process]
        for _ in range(3):
            newer = holders[-1].restarted()
            await newer.welcome()
            await until(lambda: rig.tunnel().unsettled == 0)
            holders.append(newer)
        late = process.restarted()
        answer = await late.say()
        assert isinstance(answer, Refuse)
        assert answer.code == "name-contended"
        assert 50 < answer.retry_after <= 60
        assert rig.tunnel().instance == holders[-1].instance
        assert rig.tunnel().lane_nowait() is not None
        for holder in holders:
            holder.close()

    async def test_thirty_takeovers_from_the_dead_leave_nothing(
        self, rig: Any, process: Any
    ) -> None:
        await process.welcome()
        for _ in range(30):
            process.cut()
            await until(lambda: not rig.tunnel().links)
            process = process.restarted()
            await process.welcome()
        assert rig.tunnel().session.instance == process.instance
        await until(lambda: rig.tunnel().unsettled == 0)
        assert len(rig.tunnels._farewells) == 0
        assert len(rig.turns) == 0
        assert len(rig.tunnels.memory) == 1
        assert len(rig.tunnel().links) == 1
        process.close()


class TestMalice:
    @pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, b"\x41" * 70_000])
    async def test_what_is_no_hello_ends_the_link(self, rig: Any, words: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(words)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1 << 20), WITHIN)
        writer.close()
        await until(lambda: not rig.acceptor._introductions)

    async def test_introductions_are_bounded(
        self, process: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("underpass.relay.server.acceptor.MOST_INTRODUCTIONS", 0)
        assert await process.refusal() == "over-limit"

    async def test_whoever_only_knocks_makes_room(
        self, rig: Any, process: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("underpass.relay.server.acceptor.MOST_INTRODUCTIONS", 2)
        knocks = [await asyncio.open_connection("127.0.0.1", rig.port) for _ in range(2)]
        await until(lambda: len(rig.acceptor._introductions) == 2)
        await process.welcome()
        assert len(rig.acceptor._introductions) == 1
        for _, writer in knocks:
            writer.close()

    async def test_a_silent_link_is_given_up(
        self, rig: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("underpass.relay.server.acceptor.INTRODUCTION_SECONDS", 0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1 << 20), WITHIN)
        writer.close()
        assert not rig.acceptor._introductions
