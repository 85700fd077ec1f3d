"""Links come and go, and the lane goes on at the exact byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lane_pair import Pair, frames_of

from underpass.relay.protocol import frames
from underpass.relay.protocol.budget import FIRST_CREDIT, SMALL_CREDIT, ReceiveBudget
from underpass.relay.protocol.errors import OffsetMismatch

pytestmark = pytest.mark.pure


def test_lost_bytes_are_said_again_and_heard_once() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.send_data(b"first ")
    pair.write()
    pair.cut()
    mine.send_data(b"second")
    pair.link()
    pair.settle()
    assert bytes(pair.got(theirs).body) == b"first second"


def test_acknowledged_bytes_are_not_said_again() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.send_data(b"heard")
    pair.settle()
    said = len(pair.relay.raw)
    pair.cut()
    pair.link()
    pair.settle()
    assert bytes(pair.got(theirs).body) == b"heard"
    again = frames_of(bytes(pair.relay.raw[said:]))
    assert all(one.kind & frames.LINK for one in again)


def test_heard_but_not_acknowledged_bytes_are_not_said_again() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.send_data(b"heard")
    pair.write()
    pair.carry()  # no time for an ACK
    pair.cut()
    said = len(pair.relay.raw)
    pair.link()
    pair.exchange()
    assert len(pair.relay.raw) == said
    assert bytes(pair.got(theirs).body) == b"heard"


def test_rest_of_a_frame_precedes_every_link_frame() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(30_000))
    pair.write()
    pair.carry(down=1000)
    pair.cut()
    pair.link()
    pair.relay.lane.send_link_frame(frames.frame(frames.PING, 0, b"12345678"))
    rest = pair.relay.write(pair.now)
    assert rest.endswith(frames.frame(frames.PING, 0, b"12345678"))
    pair.down += rest
    pair.carry()
    assert len(pair.got(theirs).body) == 30_000
    assert pair.connector.links == [(frames.PING, b"12345678")]


def test_rest_of_a_frame_goes_out_whatever_is_in_flight() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.credit = theirs.outstanding = 2**22
    pair.relay.lane._outbox.pacing.window = 2**20
    mine.send_data(bytes(120_000))
    pair.write()
    pair.carry(down=1000)
    pair.cut()
    pair.link()
    pair.relay.lane._outbox.pacing.window = 0
    pair.write()
    pair.carry()
    assert len(pair.got(theirs).body) == 120_000


def test_both_ends_in_the_middle_of_a_frame_find_each_other() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(50_000))
    theirs.send_data(bytes(50_000))
    pair.write()
    pair.carry(down=20_000, up=30_000)
    pair.cut()
    pair.link()
    pair.settle()
    assert len(pair.got(theirs).body) == len(pair.said(mine).body) == 50_000


def test_new_link_may_replace_one_that_still_lives() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.send_data(b"in flight on the old link")
    pair.write()
    pair.link()  # without any loss that was noticed
    pair.settle()
    assert bytes(pair.got(theirs).body) == b"in flight on the old link"


def test_resets_and_credit_wait_for_the_next_link() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    theirs.send_data(bytes(50_000))
    pair.settle()
    pair.cut()
    pair.said(mine).drain()
    mine.abort("left")
    pair.link()
    pair.settle()
    assert pair.got(theirs).aborted == "left"
    assert theirs.credit == FIRST_CREDIT


def test_ten_links_in_a_row_lose_nothing() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    expected = b""
    for number in range(10):
        part = bytes((number,)) * 5000
        expected += part
        mine.send_data(part)
        pair.write()
        pair.carry(down=700 * number)
        pair.cut()
        pair.link()
    mine.send_end()
    pair.settle()
    assert bytes(pair.got(theirs).body) == expected
    assert pair.got(theirs).ended


@pytest.mark.parametrize("asked", [0, 99, 10_000])
def test_offset_outside_of_what_can_be_said_again_is_refused(asked: int) -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    mine.send_data(bytes(200))
    pair.settle()
    assert 99 < pair.relay.lane._outbox.acked < 10_000
    pair.cut()
    before = (pair.relay.lane.generation, pair.relay.lane.buffered)
    with pytest.raises(OffsetMismatch) as caught:
        pair.relay.lane.attach(generation=9, peer_received=asked, peer_credit=1, now=0.0)
    assert caught.value.asked == asked
    assert (pair.relay.lane.generation, pair.relay.lane.buffered) == before
    assert not pair.relay.lane.attached


def test_every_offset_between_acknowledged_and_sent_is_accepted() -> None:
    asked, said = 0, 1
    while asked <= said:
        pair = Pair()
        mine = pair.relay.lane.open("tcp")
        mine.send_data(b"0123456789")
        data = pair.relay.write(0.0)
        said = len(data)
        pair.cut()
        pair.relay.lane.attach(generation=2, peer_received=asked, peer_credit=1, now=0.0)
        assert pair.relay.write(0.0) == data[asked:]
        asked += 1


def test_link_gives_the_generation_and_the_credit() -> None:
    pair = Pair()
    pair.cut()
    pair.relay.lane.attach(generation=7, peer_received=0, peer_credit=1234, now=0.0)
    assert pair.relay.lane.generation == 7
    assert pair.relay.lane.open("tcp").credit == 1234


def test_detached_lane_says_nothing() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    pair.cut()
    mine.send_data(b"later")
    assert pair.relay.lane.data_to_send(1.0) == []
    assert pair.relay.lane.next_deadline() is None


def test_detached_lane_takes_a_mebibyte_more_at_most() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    mine.credit = 2**30
    pair.cut()
    taken = 0
    while room := mine.room:
        mine.send_data(bytes(room))
        taken += room
    assert 1024 * 1024 <= taken <= 1024 * 1024 + 64 * 1024


# -- acknowledgements -------------------------------------------------------------------------


def acks(data: bytes) -> list[int]:
    return [frames.U64.unpack(one.payload)[0] for one in frames_of(data) if one.kind == frames.ACK]


def test_little_is_acknowledged_after_two_tenths_of_a_second() -> None:
    pair = Pair()
    pair.relay.lane.open("tcp")
    pair.now = 5.0
    pair.write()
    pair.carry()
    lane = pair.connector.lane
    assert lane.next_deadline() == pytest.approx(5.2)
    assert pair.connector.write(5.19) == b""
    woken = pair.connector.woken
    lane.tick(5.2)
    assert pair.connector.woken == woken + 1
    assert acks(pair.connector.write(5.2)) == [lane.received]
    assert lane.next_deadline() is None


def test_much_is_acknowledged_at_once() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    mine.send_data(bytes(20_000))
    pair.write()
    woken = pair.connector.woken
    pair.carry()
    assert pair.connector.woken > woken
    assert acks(pair.connector.write(pair.now)) == [pair.connector.lane.received]


def test_one_acknowledgement_stands_for_a_whole_read() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    mine.send_data(bytes(60_000))
    pair.write()
    pair.carry()
    assert len(acks(pair.connector.write(pair.now))) == 1


def test_acknowledgement_frees_the_log() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    mine.send_data(bytes(50_000))
    pair.write()
    assert pair.relay.lane.buffered > 50_000
    pair.settle()
    assert pair.relay.lane.buffered == 0
    assert pair.relay.lane._outbox.logged == 0


def test_acknowledgement_inside_a_frame_keeps_the_frame() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    pair.settle()
    mine.send_data(bytes(40_000))
    pair.write()
    pair.carry(down=30_000)
    pair.up += pair.connector.write(pair.now)
    pair.carry(up=None, down=0)
    assert pair.relay.lane._outbox.logged == 40_008
    pair.cut()
    pair.link()
    pair.settle()
    assert len(pair.got(theirs).body) == 40_000


def test_new_link_needs_no_acknowledgement_of_what_the_introduction_said() -> None:
    pair = Pair()
    pair.relay.lane.open("tcp")
    pair.write()
    pair.carry()
    pair.cut()
    pair.link()
    pair.now += 1
    pair.connector.lane.tick(pair.now)
    assert acks(pair.connector.write(pair.now)) == []


# -- first credit in the introduction and after ------------------------------------------------


def test_first_credit_shrinks_when_half_of_the_budget_is_given_and_recovers() -> None:
    pair = Pair(connector_budget=ReceiveBudget(8 * FIRST_CREDIT))
    assert pair.connector.lane.first_credit == FIRST_CREDIT
    streams = [pair.open("tcp") for _ in range(5)]
    assert pair.connector.lane.first_credit == SMALL_CREDIT
    last, _ = pair.open("tcp")
    assert last.credit == SMALL_CREDIT
    for mine, theirs in streams:
        mine.abort("x")
        theirs.abort("x")
        mine.stop("x")
    pair.settle()
    pair.open("tcp")
    after, _ = pair.open("tcp")
    assert after.credit == FIRST_CREDIT


def test_first_credit_is_said_again_by_a_new_link() -> None:
    pair = Pair(connector_budget=ReceiveBudget(4 * FIRST_CREDIT))
    for _ in range(3):
        pair.open("tcp")
    pair.cut()
    pair.link()
    assert pair.relay.lane.open("tcp").credit == SMALL_CREDIT


# -- any cuts ---------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=5),
    cuts=st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 50_000)), max_size=5),
)
def test_whatever_is_cut_arrives_once_and_in_order(
    sizes: list[int], cuts: list[tuple[int, int]]
) -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    expected = b""
    for number, size in enumerate(sizes):
        part = bytes((number,)) * min(size, mine.room)
        expected += part
        mine.send_data(part)
        theirs.send_data(part)
        if cuts:
            down, up = cuts.pop()
            pair.write()
            pair.carry(down=down, up=up)
            pair.cut()
            pair.link()
    mine.send_end()
    theirs.send_end()
    pair.settle()
    assert bytes(pair.got(theirs).body) == bytes(pair.said(mine).body) == expected
    pair.assert_clean()
