"""Credit and budgets: a slow reader stops its stream, never the lane, and memory stays bounded."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lane_pair import Pair, lane_frames_of

from underpass.relay.protocol import frames
from underpass.relay.protocol.budget import (
    FIRST_CREDIT,
    LANE_LIMIT,
    LANE_RESERVE,
    SMALL_CREDIT,
    WINDOW_LIMIT,
    ReceiveBudget,
    ReplayBudget,
)
from underpass.relay.protocol.errors import OverLimit

pytestmark = pytest.mark.pure


def credits(data: bytes, stream: int) -> list[int]:
    return [
        frames.U32.unpack(one.payload)[0]
        for one in lane_frames_of(data)
        if one.kind == frames.CREDIT and one.stream == stream
    ]


def test_sender_stops_where_credit_ends() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    assert mine.send_data(bytes(FIRST_CREDIT)) is False
    assert mine.room == 0
    pair.settle()
    assert len(pair.got(theirs).body) == FIRST_CREDIT
    mine.send_data(b"one byte more")
    pair.settle()
    assert len(pair.got(theirs).body) == FIRST_CREDIT


def test_slow_reader_stops_its_stream_and_not_the_lane() -> None:
    pair = Pair(drains=False)
    slow, slows = pair.open("tcp")
    quick, quicks = pair.open("tcp")
    slow.send_data(bytes(500_000))
    for _ in range(20):
        quick.send_data(bytes(20_000))
        pair.settle()
        pair.got(quicks).drain()
    pair.settle()
    assert len(pair.got(slows).body) == FIRST_CREDIT
    assert len(pair.got(quicks).body) == 400_000


def test_drained_bytes_let_the_sender_go_on() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(FIRST_CREDIT))
    pair.settle()
    pair.got(theirs).drain()
    pair.settle()
    assert mine.credit >= FIRST_CREDIT
    assert pair.relay.heard[mine.id].writable == 1


def test_credit_is_said_once_a_quarter_of_the_window_is_drained() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(30_000))
    pair.settle()
    pair.got(theirs).drain(FIRST_CREDIT // 4 - 1)
    pair.settle()
    assert credits(bytes(pair.connector.raw), mine.id) == []
    pair.got(theirs).drain(1)
    pair.settle()
    assert credits(bytes(pair.connector.raw), mine.id) == [FIRST_CREDIT // 4]


def test_credit_is_said_when_nothing_is_outstanding() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(FIRST_CREDIT))
    pair.settle()
    pair.got(theirs).drain(1)
    pair.settle()
    assert credits(bytes(pair.connector.raw), mine.id) == [1]


def test_many_small_drains_become_one_credit_frame() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(FIRST_CREDIT))
    pair.settle()
    for _ in range(1000):
        pair.got(theirs).drain(20)
    pair.settle()
    assert len(credits(bytes(pair.connector.raw), mine.id)) == 1


def test_heads_are_credited_as_soon_as_they_are_parsed() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open(head=b"GET", end=True)
    for _ in range(50):
        theirs.send_informational(bytes(30_000))
        pair.settle()
    assert len(pair.said(mine).heads) == 50
    assert theirs.credit > 0


def test_bodies_are_not_credited_before_they_are_drained() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(50_000))
    pair.settle()
    assert mine.credit == FIRST_CREDIT - 50_000
    assert theirs.undrained == 50_000
    assert pair.connector.budget.used == FIRST_CREDIT


def test_drained_counts_no_more_than_was_received() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    mine.send_data(b"abc")
    pair.settle()
    theirs.drained(1_000_000)
    theirs.drained(5)
    pair.settle()
    assert pair.connector.budget.used == FIRST_CREDIT - 3
    assert mine.credit <= FIRST_CREDIT


def test_window_doubles_while_it_drains_quickly_and_no_further_than_its_limit() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    for _ in range(200):
        mine.send_data(bytes(mine.room))
        pair.exchange()
        pair.now += 0.001
    assert theirs.window == WINDOW_LIMIT
    assert pair.connector.budget.used <= WINDOW_LIMIT


def test_window_stays_when_it_drains_slowly() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    pair.connector.lane.round_trip(0.02, 0.0)
    for _ in range(50):
        mine.send_data(bytes(min(mine.room, 16_384)))
        pair.exchange()
        pair.now += 0.2
    assert theirs.window == FIRST_CREDIT


def test_long_way_needs_a_larger_window() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    pair.connector.lane.round_trip(0.2, 0.0)
    for _ in range(20):
        mine.send_data(bytes(min(mine.room, 65_536)))
        pair.exchange()
        pair.now += 0.4
    assert theirs.window > FIRST_CREDIT


def test_window_shrinks_by_withholding_credit_when_the_budget_is_half_given() -> None:
    budget = ReceiveBudget(1_000_000)
    pair = Pair(connector_budget=budget, drains=False)
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(FIRST_CREDIT))
    pair.settle()
    budget.used += 500_000
    pair.got(theirs).drain()
    assert theirs.outstanding == SMALL_CREDIT
    budget.used -= 500_000
    assert budget.used == SMALL_CREDIT


def test_credit_that_was_given_is_never_taken_back() -> None:
    budget = ReceiveBudget(1_000_000)
    pair = Pair(connector_budget=budget)
    mine, theirs = pair.open("tcp")
    budget.used += 900_000
    mine.send_data(bytes(FIRST_CREDIT))
    pair.settle()
    assert len(pair.got(theirs).body) == FIRST_CREDIT
    assert pair.got(theirs).aborted is None


# -- over limit -------------------------------------------------------------------------------


def test_opener_without_memory_opens_nothing() -> None:
    pair = Pair(relay_budget=ReceiveBudget(2 * FIRST_CREDIT))
    # half of it in large windows, the rest in small ones
    for _ in range(1 + FIRST_CREDIT // SMALL_CREDIT):
        pair.relay.lane.open("tcp")
    with pytest.raises(OverLimit):
        pair.relay.lane.open("tcp")
    assert pair.relay.budget.used <= pair.relay.budget.limit


def test_acceptor_without_memory_resets_the_stream_in_both_directions() -> None:
    pair = Pair(connector_budget=ReceiveBudget(FIRST_CREDIT))
    first, _ = pair.open("tcp")
    second = pair.relay.lane.open("http", head=b"GET", body=b"x", end=True)
    third = pair.relay.lane.open("tcp")
    third.send_data(bytes(third.room))
    pair.settle()
    assert second.id not in pair.connector.heard
    assert third.id not in pair.connector.heard
    assert pair.relay.heard[second.id].aborted == "over-limit"
    assert pair.relay.heard[third.id].aborted == "over-limit"
    assert pair.relay.heard[third.id].stopped == "over-limit"
    assert list(pair.relay.lane.streams) == [first.id]
    assert list(pair.connector.lane.streams) == [first.id]
    assert pair.connector.budget.used <= FIRST_CREDIT


def test_bytes_of_a_stream_over_the_limit_are_skipped_and_cost_nothing() -> None:
    pair = Pair(connector_budget=ReceiveBudget(FIRST_CREDIT))
    first, firsts = pair.open("tcp")
    third = pair.relay.lane.open("tcp")
    third.send_data(bytes(third.room))
    first.send_data(b"the lane lives")
    pair.settle()
    assert bytes(pair.got(firsts).body) == b"the lane lives"
    assert pair.connector.budget.used <= FIRST_CREDIT


def test_memory_that_came_back_is_given_again() -> None:
    pair = Pair(connector_budget=ReceiveBudget(FIRST_CREDIT))
    first, firsts = pair.open("tcp")
    first.abort("x")
    firsts.abort("x")
    pair.settle()
    again, agains = pair.open("tcp")
    again.send_data(b"welcome")
    pair.settle()
    assert bytes(pair.got(agains).body) == b"welcome"


def test_stopped_stream_gives_its_memory_back_at_once() -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(50_000))
    pair.settle()
    theirs.stop("enough")
    assert pair.connector.budget.used == 0
    mine.send_data(bytes(1000))
    pair.settle()
    assert pair.connector.budget.used == 0


# -- replay memory ----------------------------------------------------------------------------


def test_lane_holds_its_reserve_and_sixteen_mebibytes() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    mine.credit = 2**31
    while room := mine.room:
        mine.send_data(bytes(room))
    assert pair.relay.lane.buffered <= LANE_RESERVE + LANE_LIMIT + 200
    assert pair.relay.lane.buffered >= LANE_LIMIT
    assert pair.relay.account.used <= LANE_LIMIT + 200


def test_key_holds_a_quarter_of_the_process() -> None:
    budget = ReplayBudget(4 * 1024 * 1024)
    account, other = budget.account(), budget.account()
    pairs = [Pair() for _ in range(3)]
    for pair in pairs[:2]:
        pair.relay.lane.account = account
    pairs[2].relay.lane.account = other
    taken = []
    for pair in pairs:
        mine, _ = pair.open("tcp")
        mine.credit = 2**31
        count = 0
        while room := mine.room:
            mine.send_data(bytes(room))
            count += room
        taken.append(count)
    assert account.used <= 1024 * 1024 + 100
    assert taken[1] <= LANE_RESERVE
    assert taken[2] >= 1024 * 1024


def test_lane_has_its_reserve_even_when_nothing_else_is_left() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    mine.credit = 2**31
    pair.relay.account.charge(pair.relay.account.limit)
    assert LANE_RESERVE - 200 <= mine.room <= LANE_RESERVE
    mine.send_data(bytes(mine.room))
    assert mine.room == 0


def test_full_memory_pauses_and_acknowledgement_resumes() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.credit = theirs.outstanding = 2**30
    pair.relay.account.charge(pair.relay.account.limit)
    assert mine.send_data(bytes(mine.room)) is False
    pair.settle()
    assert pair.relay.heard[mine.id].writable == 1
    assert mine.send_data(b"on we go") is True


def test_opens_beside_bulk_pass_and_a_flood_of_them_does_not() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    mine.credit = 2**31
    while room := mine.room:
        mine.send_data(bytes(room))
    for _ in range(100):
        pair.relay.lane.open("http", head=bytes(1000), end=True)
    with suppress(OverLimit):
        for _ in range(5000):
            pair.relay.lane.open("http", head=bytes(1000), end=True)
    with pytest.raises(OverLimit):
        pair.relay.lane.open("http", head=bytes(1000), end=True)
    assert pair.relay.lane.buffered <= LANE_RESERVE + LANE_LIMIT + 300 * 1024


@given(st.lists(st.integers(1, 70_000), max_size=30))
def test_what_is_counted_is_what_is_held(sizes: list[int]) -> None:
    pair = Pair(drains=False)
    mine, theirs = pair.open("tcp")
    for size in sizes:
        mine.send_data(bytes(min(size, mine.room)))
        pair.write()
        lane = pair.relay.lane
        assert lane.buffered == lane._outbox.logged + mine.queued
        pair.carry(down=size)
        pair.got(theirs).drain(size // 2)
        assert pair.connector.budget.used == theirs.outstanding + theirs.undrained
        assert pair.connector.budget.used <= pair.connector.budget.limit
