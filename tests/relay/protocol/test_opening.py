"""How streams begin: what is said, what is counted, and when none is opened."""

from __future__ import annotations

import pytest
from lane_pair import Pair

from underpass.relay.protocol.errors import LaneAway, OverLimit
from underpass.relay.protocol.frames import BLOCK_LIMIT

pytestmark = pytest.mark.pure


def test_open_says_who_the_visitor_is() -> None:
    pair = Pair()
    mine, theirs = pair.open("reach", peer=("2001:db8::9", 5041), secure=True, token="secret")
    assert (theirs.kind, theirs.peer, theirs.secure, theirs.token) == (
        "reach",
        ("2001:db8::9", 5041),
        True,
        "secret",
    )
    assert mine.id == theirs.id == 1


def test_stream_is_opened_only_on_an_attached_lane() -> None:
    pair = Pair(attached=False)
    with pytest.raises(LaneAway):
        pair.relay.lane.open("tcp")
    pair.link()
    pair.relay.lane.open("tcp")
    pair.cut()
    with pytest.raises(LaneAway):
        pair.relay.lane.open("tcp")


def test_closed_lane_opens_nothing() -> None:
    pair = Pair()
    pair.relay.lane.close("lane-lost")
    with pytest.raises(LaneAway):
        pair.relay.lane.open("tcp")


def test_stream_numbers_rise_and_are_never_used_twice() -> None:
    pair = Pair()
    numbers = []
    for _ in range(5):
        mine, theirs = pair.open(head=b"GET", end=True)
        theirs.send_head(b"200", end=True)
        pair.settle()
        numbers.append(mine.id)
    assert numbers == [1, 2, 3, 4, 5]


def test_lane_whose_numbers_are_used_up_opens_no_more() -> None:
    pair = Pair()
    pair.relay.lane.last_id = 2**32 - 2
    pair.relay.lane.open("tcp")
    with pytest.raises(OverLimit):
        pair.relay.lane.open("tcp")


def test_request_head_over_the_block_limit_is_refused_before_anything_is_sent() -> None:
    pair = Pair()
    with pytest.raises(OverLimit):
        pair.relay.lane.open("http", head=bytes(BLOCK_LIMIT + 1), end=True)
    pair.exchange()
    assert pair.relay.raw == b""
    pair.assert_clean()


def test_owner_travels_with_the_stream() -> None:
    pair = Pair()
    owner = object()
    mine = pair.relay.lane.open("tcp", owner=owner)
    assert mine.owner is owner


def test_tokens_are_in_no_repr() -> None:
    pair = Pair()
    _, theirs = pair.open("reach", token="up_secret")
    assert "up_secret" not in repr(pair.got(theirs).record)
