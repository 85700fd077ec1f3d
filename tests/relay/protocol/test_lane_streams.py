"""Exchanges on one lane, as both ends hear them."""

from __future__ import annotations

import pytest
from lane_pair import Heard, Pair, lane_frames_of

from underpass.relay.protocol import frames
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.frames import BLOCK_LIMIT, FULL_LIMIT

pytestmark = pytest.mark.pure


def test_small_request_and_answer_are_one_frame_each_way() -> None:
    pair = Pair()
    mine, theirs = pair.open(head=b"GET /", body=b"x", end=True)
    theirs.send_head(b"200", b"ok", end=True)
    pair.settle()
    assert [one.kind for one in lane_frames_of(pair.relay.raw)] == [frames.OPEN]
    assert [one.kind for one in lane_frames_of(pair.connector.raw)] == [frames.FULL]
    got, said = pair.got(theirs), pair.said(mine)
    assert (got.heads, bytes(got.body), got.ended) == ([b"GET /"], b"x", True)
    assert (said.heads, bytes(said.body), said.ended) == ([b"200"], b"ok", True)
    pair.assert_clean()


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (1, 0),
        (100, FULL_LIMIT - 100),
        (100, FULL_LIMIT - 99),
        (FULL_LIMIT, 0),
        (FULL_LIMIT + 1, 0),
        (BLOCK_LIMIT, 0),
        (BLOCK_LIMIT, 300_000),
        (10, 1_000_000),
    ],
)
def test_messages_of_all_sizes_arrive_whole(head: int, body: int) -> None:
    pair = Pair()
    mine, theirs = pair.open(head=b"q" * head, body=b"Q" * body, end=True)
    theirs.send_head(b"a" * head, b"A" * body, end=True)
    pair.settle()
    got, said = pair.got(theirs), pair.said(mine)
    assert (got.heads, bytes(got.body), got.ended) == ([b"q" * head], b"Q" * body, True)
    assert (said.heads, bytes(said.body), said.ended) == ([b"a" * head], b"A" * body, True)
    pair.assert_clean()


def test_informational_heads_come_before_the_answer() -> None:
    pair = Pair()
    mine, theirs = pair.open(head=b"POST /")
    theirs.send_informational(b"100")
    theirs.send_informational(b"103")
    theirs.send_head(b"200", end=True)
    mine.send_end()
    pair.settle()
    assert pair.said(mine).heads == [b"100", b"103", b"200"]
    pair.assert_clean()


def test_body_in_parts_with_trailers() -> None:
    pair = Pair()
    mine, theirs = pair.open(head=b"GET /", end=True)
    theirs.send_head(b"200")
    for part in (b"one", b"two", b"three"):
        theirs.send_data(part)
    theirs.send_trailers(b"trailers")
    theirs.send_end()
    pair.settle()
    said = pair.said(mine)
    assert (said.heads, bytes(said.body)) == ([b"200"], b"onetwothree")
    assert (said.trailers, said.ended) == ([b"trailers"], True)
    pair.assert_clean()


def test_head_larger_than_credit_comes_in_parts_as_one_block() -> None:
    pair = Pair()
    mine, theirs = pair.open(head=b"GET /", end=True)
    theirs.credit = 1000  # what the peer would have left after an answer that used the rest
    mine.outstanding = 1000
    head = bytes(range(256)) * 100
    theirs.send_head(head, b"body", end=True)
    pair.settle()
    assert pair.said(mine).heads == [head]
    assert any(one.kind == frames.HEAD | frames.MORE for one in lane_frames_of(pair.connector.raw))


@pytest.mark.parametrize("kind", ["tcp", "tls", "reach"])
def test_half_close_leaves_the_other_direction_open(kind: str) -> None:
    pair = Pair()
    mine, theirs = pair.open(kind)
    mine.send_data(b"question")
    mine.send_end()
    pair.exchange()
    assert pair.got(theirs).ended
    assert not pair.said(mine).over
    assert mine.id in pair.relay.lane.streams
    theirs.send_data(b"answer")
    pair.exchange()
    assert bytes(pair.said(mine).body) == b"answer"
    theirs.send_end()
    pair.settle()
    assert pair.said(mine).ended
    pair.assert_clean()


def test_connector_may_end_first() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    theirs.send_end()
    pair.exchange()
    mine.send_data(b"still talking")
    mine.send_end()
    pair.settle()
    assert bytes(pair.got(theirs).body) == b"still talking"
    pair.assert_clean()


def test_end_rides_on_the_last_data() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    pair.relay.lane.say_lease(1.0)  # something else waits: data takes its turn with its end
    mine.send_data(b"bye")
    mine.send_end()
    pair.exchange()
    last = [one for one in lane_frames_of(pair.relay.raw) if one.stream == mine.id][-1]
    assert (last.kind, last.payload) == (frames.DATA | frames.END, b"bye")
    assert pair.got(theirs).ended


def test_what_is_sent_after_the_end_is_nothing() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.send_end()
    assert mine.send_data(b"too late") is True
    mine.send_head(b"too late")
    mine.send_trailers(b"too late")
    mine.send_informational(b"too late")
    mine.send_end()
    mine.abort("too-late")
    pair.settle()
    got = pair.got(theirs)
    assert (got.heads, bytes(got.body), got.trailers, got.ended) == ([], b"", [], True)
    assert got.aborted is None


def test_many_streams_do_not_mix() -> None:
    pair = Pair()
    streams = [pair.open("tcp") for _ in range(50)]
    for number, (mine, theirs) in enumerate(streams):
        mine.send_data(bytes((number,)) * (number * 700))
        theirs.send_data(bytes((255 - number,)) * (number * 900))
        mine.send_end()
        theirs.send_end()
    pair.settle()
    for number, (mine, theirs) in enumerate(streams):
        assert bytes(pair.got(theirs).body) == bytes((number,)) * (number * 700)
        assert bytes(pair.said(mine).body) == bytes((255 - number,)) * (number * 900)
    pair.assert_clean()


# -- resets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["relay", "connector"])
def test_abort_breaks_one_direction(who: str) -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    breaker, other = (mine, theirs) if who == "relay" else (theirs, mine)
    heard = pair.got(theirs) if who == "relay" else pair.said(mine)
    breaker.send_data(b"a part")
    breaker.abort("origin-gone")
    pair.exchange()
    assert heard.aborted == "origin-gone"
    assert not heard.ended
    other.send_data(b"the other direction lives")
    other.send_end()
    pair.settle()
    echo = pair.said(mine) if who == "relay" else pair.got(theirs)
    assert bytes(echo.body) == b"the other direction lives"
    assert echo.ended
    pair.assert_clean()


def test_abort_drops_what_was_queued() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    pair.relay.lane._outbox.pacing.window = 0
    mine.send_data(bytes(50_000))
    mine.abort("left")
    assert mine.queued == 0
    pair.settle()
    assert pair.got(theirs).body == b""
    assert pair.got(theirs).aborted == "left"


def test_stop_is_answered_by_abort_with_the_same_code() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    theirs.send_data(b"a lot")
    mine.stop("visitor-left")
    pair.settle()
    resets = [one.payload for one in lane_frames_of(pair.connector.raw) if one.kind == frames.RESET]
    assert resets == [b"\1visitor-left"]
    assert pair.got(theirs).stopped == "visitor-left"
    mine.send_end()
    pair.settle()
    pair.assert_clean()


def test_stopped_upload_does_not_touch_the_answer_on_its_way() -> None:
    pair = Pair()
    mine, theirs = pair.open(head=b"POST /")
    mine.send_data(bytes(50_000))
    pair.write()
    theirs_later = pair.connector.heard
    pair.carry()
    theirs.send_head(b"413", b"too large", end=True)
    theirs.stop("answer-complete")
    pair.settle()
    said = pair.said(mine)
    assert (said.heads, bytes(said.body), said.ended) == ([b"413"], b"too large", True)
    assert said.stopped == "answer-complete"
    assert theirs_later[mine.id].stream is theirs
    pair.assert_clean()


def test_stop_after_the_end_says_nothing() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    theirs.send_end()
    pair.exchange()
    mine.stop("late")
    pair.settle()
    assert pair.got(theirs).stopped is None
    mine.send_end()
    pair.settle()
    pair.assert_clean()


def test_stop_that_crosses_the_end_is_nothing() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    theirs.send_data(b"all of it")
    theirs.send_end()
    mine.stop("crossing")
    pair.settle()
    assert pair.got(theirs).stopped is None
    assert pair.said(mine).body == b""
    mine.send_end()
    pair.settle()
    pair.assert_clean()


@pytest.mark.parametrize("first", ["abort", "stop"])
@pytest.mark.parametrize("second", ["abort", "stop"])
def test_resets_of_both_ends_at_once(first: str, second: str) -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.send_data(bytes(3000))
    theirs.send_data(bytes(3000))
    getattr(mine, first)("mine")
    getattr(theirs, second)("theirs")
    pair.settle()
    for stream in (mine, theirs):
        stream.abort("done")
        stream.stop("done")
    pair.settle()
    pair.assert_clean()


def test_abort_and_stop_are_idempotent() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    assert mine.abort("once") is True
    assert mine.abort("twice") is False
    mine.stop("once")
    mine.stop("twice")
    pair.settle()
    assert pair.got(theirs).aborted == "once"
    assert pair.got(theirs).stopped == "once"
    resets = [one.payload for one in lane_frames_of(pair.relay.raw) if one.kind == frames.RESET]
    assert sorted(resets) == [b"\1once", b"\2once"]
    pair.assert_clean()


def test_frames_for_a_stream_that_is_over_are_skipped() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.abort("left")
    mine.stop("left")
    pair.write()
    theirs.send_data(b"crossing")  # leaves before the resets arrive
    pair.settle()
    pair.up += frames.frame(frames.DATA, mine.id, b"late") + frames.credit_frame(mine.id, 5)
    pair.carry()
    assert pair.said(mine).body == b""
    pair.assert_clean()


@pytest.mark.parametrize("what", ["head", "informational", "trailers"])
def test_block_over_the_limit_costs_its_stream_and_not_the_lane(what: str) -> None:
    pair = Pair()
    mine, theirs = pair.open(head=b"GET", end=True)
    other, others = pair.open("tcp")
    if what == "trailers":
        theirs.send_head(b"200")
    getattr(theirs, f"send_{what}")(bytes(BLOCK_LIMIT + 1))
    pair.settle()
    assert pair.said(mine).aborted == "head-too-large"
    others.send_data(b"the lane lives")
    pair.settle()
    assert bytes(pair.said(other).body) == b"the lane lives"


# -- the end of a lane ------------------------------------------------------------------------


def test_closed_lane_tells_every_stream_in_both_directions() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    done, dones = pair.open("tcp")
    dones.send_end()
    pair.exchange()
    pair.close("lane-lost")
    assert pair.said(mine).aborted == pair.said(mine).stopped == "lane-lost"
    assert pair.got(theirs).aborted == pair.got(theirs).stopped == "lane-lost"
    assert pair.said(done).ended
    assert pair.said(done).aborted is None
    assert pair.said(done).stopped == "lane-lost"
    pair.assert_clean()


def test_closed_lane_gives_all_memory_back() -> None:
    pair = Pair(drains=False)
    for _ in range(5):
        mine, theirs = pair.open("tcp")
        mine.send_data(bytes(60_000))
        theirs.send_data(bytes(60_000))
    pair.exchange()
    assert pair.relay.budget.used
    pair.close()
    for end in (pair.relay, pair.connector):
        assert end.budget.used == 0
        assert end.lane.buffered == 0
        assert end.account.used == 0
        assert end.account.budget.used == 0


def test_streams_of_a_closed_lane_may_be_used_without_effect() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    pair.close()
    mine.send_head(b"head")
    assert mine.send_data(b"data") is True
    mine.send_end()
    mine.abort("x")
    mine.stop("x")
    mine.drained(100)
    pair.relay.lane.say_lease(1.0)
    assert mine.room == 0 or mine.send_ended
    assert pair.relay.lane.data_to_send(1.0) == []
    assert pair.relay.account.used == 0
    assert pair.relay.lane.buffered == 0
    pair.assert_clean()


def test_close_is_idempotent() -> None:
    pair = Pair()
    mine, _ = pair.open("tcp")
    pair.close("first")
    pair.close("second")
    assert pair.said(mine).aborted == "first"


# -- lease ------------------------------------------------------------------------------------


def test_lease_is_asked_and_granted() -> None:
    pair = Pair()
    pair.connector.lane.say_lease(2_000_000.5)
    pair.exchange()
    assert pair.relay.leases == [2_000_000.5]
    pair.relay.lane.say_lease(1_900_000.0)
    pair.exchange()
    assert pair.connector.leases == [1_900_000.0]


def test_lease_survives_a_lost_link() -> None:
    pair = Pair()
    pair.connector.lane.say_lease(7.0)
    pair.write()
    pair.cut()
    pair.link()
    pair.exchange()
    assert pair.relay.leases == [7.0]


# -- what the shell is told -------------------------------------------------------------------


def test_link_frames_go_once_and_only_on_their_link() -> None:
    pair = Pair()
    ping = frames.frame(frames.PING, 0, b"12345678")
    pair.relay.lane.send_link_frame(ping)
    pair.cut()
    pair.relay.lane.send_link_frame(ping)
    pair.link()
    pair.exchange()
    assert pair.connector.links == []
    pair.relay.lane.send_link_frame(ping)
    pair.exchange()
    assert pair.connector.links == [(frames.PING, b"12345678")]
    assert pair.connector.lane.received == 0


def test_kit_insists_on_silence_after_the_end() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    mine.send_end()
    pair.exchange()
    heard: Heard = pair.got(theirs)
    with pytest.raises(AssertionError):
        heard.hear(object())
    with pytest.raises(ProtocolViolation):
        pair.connector.receive(frames.frame(frames.FIN, theirs.id), 0.0)
