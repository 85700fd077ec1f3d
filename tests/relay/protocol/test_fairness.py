"""Whose turn it is: deficit round-robin, new streams first for one quantum, nobody starves."""

from __future__ import annotations

import pytest
from lane_pair import Frame, Pair, frames_of, lane_frames_of
from networks import SlowLink

from underpass.relay.protocol import frames
from underpass.relay.protocol.outbox import LEAST_QUANTUM
from underpass.relay.protocol.pacing import LEAST_WINDOW, UNMEASURED_WINDOW
from underpass.relay.protocol.stream import Stream

pytestmark = pytest.mark.pure

MEGABIT = 125_000.0


def data_of(data: bytes) -> list[Frame]:
    return [one for one in frames_of(data) if one.kind & ~frames.END == frames.DATA]


def plenty(pair: Pair, count: int) -> list[tuple[Stream, Stream]]:
    """Streams whose credit is no matter."""
    streams = [pair.open("tcp") for _ in range(count)]
    for mine, theirs in streams:
        mine.credit = theirs.credit = 2**30
        mine.outstanding = theirs.outstanding = 2**30
    return streams


def test_stream_alone_sends_in_large_frames() -> None:
    pair = Pair()
    ((mine, _),) = plenty(pair, 1)
    mine.send_data(bytes(40_000))
    assert [len(one.payload) for one in data_of(pair.relay.write(0.0))] == [40_000]


def test_no_frame_of_a_stream_alone_is_over_its_limit() -> None:
    pair = Pair()
    ((mine, _),) = plenty(pair, 1)
    pair.relay.lane._outbox.pacing.window = 2**24
    mine.send_data(bytes(600_000))
    sizes = [len(one.payload) for one in data_of(pair.relay.write(0.0))]
    assert sizes == [frames.ALONE, frames.ALONE, 600_000 - 2 * frames.ALONE]


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_streams_beside_each_other_send_a_quantum_in_turn(count: int) -> None:
    pair = Pair()
    streams = plenty(pair, count)
    pair.relay.lane._outbox.pacing.window = 2**24
    for mine, _ in streams:
        mine.send_data(bytes(64 * 1024))
    sent = data_of(pair.relay.write(0.0))
    order = [one.stream for one in sent]
    assert order == [mine.id for mine, _ in streams] * 4
    assert {len(one.payload) for one in sent} == {frames.QUANTUM}


@pytest.mark.parametrize("room", [20_000, 50_000, 100_000, 300_000])
def test_no_stream_is_ever_more_than_two_quanta_ahead(room: int) -> None:
    pair = Pair()
    streams = plenty(pair, 6)
    pair.relay.lane._outbox.pacing.window = 0  # until all of them wait
    for number, (mine, _) in enumerate(streams):
        for _ in range(40):
            mine.send_data(bytes((1_000, 16_384, 5_000, 70_000, 333, 9_999)[number]))
    spent = dict.fromkeys((mine.id for mine, _ in streams), 0)
    left = {mine.id: mine.queued for mine, _ in streams}
    while any(left.values()):
        pair.relay.lane._outbox.pacing.window = room
        pair.now += 0.05
        for one in data_of(pair.relay.write(pair.now)):
            spent[one.stream] += len(one.payload)
            left[one.stream] -= len(one.payload)
            busy = [spent[number] for number in spent if left[number]]
            if len(busy) > 1:
                assert max(busy) - min(busy) <= 2 * frames.QUANTUM
        pair.relay.lane._outbox.acknowledge(pair.relay.lane._outbox.sent, pair.now)


def test_link_is_given_no_more_than_a_mebibyte_in_one_go_and_the_rest_right_after() -> None:
    pair = Pair()
    ((mine, _),) = plenty(pair, 1)
    pair.relay.lane._outbox.pacing.window = 2**24
    mine.send_data(bytes(5 * 2**19))
    sizes = []
    for _ in range(3):
        pair.relay.woken = 0
        sizes.append(sum(len(one.payload) for one in data_of(pair.relay.write(0.0))))
        assert bool(pair.relay.woken) == (mine.queued > 0)
    assert sizes == [2**20, 2**20, 2**19]


def test_new_stream_goes_before_those_that_had_their_turn() -> None:
    pair = Pair()
    (bulk, _), (other, _), (small, _) = plenty(pair, 3)
    bulk.send_data(bytes(200_000))
    other.send_data(bytes(200_000))
    pair.write()
    pair.down.clear()
    small.send_data(b"a small request")
    pair.relay.lane._outbox.pacing.window += 64 * 1024
    order = [one.stream for one in data_of(pair.relay.write(0.0))]
    assert order[0] == small.id


def test_new_stream_goes_first_for_one_quantum_only() -> None:
    pair = Pair()
    (bulk, _), (greedy, _) = plenty(pair, 2)
    bulk.send_data(bytes(400_000))
    pair.write()
    greedy.send_data(bytes(400_000))
    pair.relay.lane._outbox.pacing.window += 128 * 1024
    order = [one.stream for one in data_of(pair.relay.write(0.0))]
    assert order[:5] == [greedy.id, bulk.id, greedy.id, bulk.id, greedy.id]


def test_stream_that_keeps_coming_back_does_not_starve_the_others() -> None:
    pair = Pair()
    (bulk, _), (pulsing, _) = plenty(pair, 2)
    bulk.send_data(bytes(2_000_000))
    pair.write()
    box = pair.relay.lane._outbox
    spent = {bulk.id: 0, pulsing.id: 0}
    for _ in range(40):
        if pulsing.queued == 0:
            pulsing.send_data(bytes(frames.QUANTUM))
        box.acknowledge(box.sent, None)
        box.pacing.window = frames.QUANTUM
        for one in data_of(pair.relay.write(0.0)):
            spent[one.stream] += len(one.payload)
    assert spent[bulk.id] >= 0.45 * sum(spent.values())


@pytest.mark.parametrize("count", [3, 8, 16])
def test_round_of_many_streams_fits_into_the_bytes_in_flight(count: int) -> None:
    pair = Pair()
    streams = plenty(pair, count)
    pair.relay.lane._outbox.pacing.window = 0  # until all of them wait
    for mine, _ in streams:
        mine.send_data(bytes(40_000))
    pair.write()
    pair.relay.lane._outbox.pacing.window = 32 * 1024
    order = [one.stream for one in data_of(pair.relay.write(0.0))]
    assert set(order) == {mine.id for mine, _ in streams}


def test_turn_is_never_worth_less_than_a_packet() -> None:
    pair = Pair()
    streams = plenty(pair, 200)
    pair.relay.lane._outbox.pacing.window = 0
    for mine, _ in streams:
        mine.send_data(bytes(4_000))
    pair.write()
    pair.relay.lane._outbox.pacing.window = 10 * LEAST_QUANTUM
    sent = data_of(pair.relay.write(0.0))
    assert len(sent) > 5
    assert {len(one.payload) for one in sent[:-1]} == {LEAST_QUANTUM}  # the last fills the room


def test_one_new_stream_among_many_gets_a_whole_quantum() -> None:
    pair = Pair()
    streams = plenty(pair, 32)
    (small, _), *bulks = streams
    for mine, _ in bulks:
        mine.send_data(bytes(100_000))
    box = pair.relay.lane._outbox
    for _ in range(8):  # until each of the others has had its first turn
        box.acknowledge(box.sent, None)
        box.pacing.window = LEAST_WINDOW
        pair.relay.write(0.0)
    small.send_data(bytes(10_000))
    box.acknowledge(box.sent, None)
    first = data_of(pair.relay.write(0.0))[0]
    assert (first.stream, len(first.payload)) == (small.id, 10_000)


def test_control_overtakes_queued_data() -> None:
    pair = Pair()
    (bulk, _), (other, _) = plenty(pair, 2)
    bulk.send_data(bytes(1_000_000))
    pair.write()
    other.stop("enough")
    pair.relay.lane.say_lease(5.0)
    kinds = [one.kind for one in lane_frames_of(pair.relay.write(0.0))]
    assert kinds[:2] == [frames.LEASE, frames.RESET]


def test_end_does_not_overtake_the_data_before_it() -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    other, _ = pair.open("tcp")
    other.send_data(bytes(60_000))
    mine.send_data(bytes(60_000))
    mine.send_end()
    pair.settle()
    assert len(pair.got(theirs).body) == 60_000
    assert pair.got(theirs).ended


def test_trailers_stay_behind_the_body() -> None:
    pair = Pair()
    _, theirs = pair.open(head=b"request", end=True)
    theirs.send_head(b"answer")
    theirs.send_data(bytes(200_000))
    theirs.send_trailers(b"trailers")
    theirs.send_end()
    order = []
    for _ in range(40):
        pair.exchange()
        pair.now += 0.25
        pair.relay.lane.tick(pair.now)
    order = [one.kind for one in lane_frames_of(bytes(pair.connector.raw)) if one.stream]
    order = [kind for kind in order if kind not in (frames.CREDIT,)]
    assert order[0] == frames.HEAD
    assert order[-2:] == [frames.TRAILERS, frames.FIN]


@pytest.mark.parametrize("bulks", [1, 8, 64])
def test_small_requests_wait_less_than_half_a_second_beside_bulk_on_a_megabit(bulks: int) -> None:
    pair = Pair()
    net = SlowLink(pair, rate=MEGABIT, delay=0.02)
    streams = [pair.relay.lane.open("tcp") for _ in range(bulks)]
    bulk = bytes(16 * 1024)

    def feed() -> None:
        for stream in streams:
            while stream.room >= len(bulk):
                stream.send_data(bulk)

    net.run(4.0, feed)
    waits = []
    for _ in range(6):
        asked = pair.now
        small = pair.relay.lane.open("http", head=b"h" * 400, end=True)
        while small.id not in pair.connector.heard:
            net.run(0.01, feed)
            assert pair.now < asked + 5
        waits.append(pair.now - asked - 0.02)
        net.run(0.3, feed)
    assert max(waits) < 0.5


def answer_beside(bulks: int, *, kept: bool) -> list[float]:
    """Seconds that small answers take on half a megabit (one of two lanes' share), from the very
    moment at which so many large answers begin. ``kept``: all on one stream, like the
    conversation of a tcp visitor."""
    pair = Pair()
    net = SlowLink(pair, rate=MEGABIT / 2, delay=0.02)
    heard = pair.connector.heard
    asking = [pair.relay.lane.open("tcp") for _ in range(bulks)]
    talk = pair.relay.lane.open("tcp")
    while talk.id not in heard:
        net.run(0.01)
    bulk = bytes(16 * 1024)

    def feed() -> None:
        for stream in asking:
            far = heard[stream.id].stream
            while far.room >= len(bulk):
                far.send_data(bulk)

    taken = []
    for _ in range(5):
        asked = pair.now
        if kept:
            small, before = talk, len(pair.relay.heard[talk.id].body) if taken else 0
        else:
            small, before = pair.relay.lane.open("http", head=b"request", end=True), 0
        feed()
        while small.id not in heard:
            net.run(0.01, feed)
        heard[small.id].stream.send_data(bytes(1_200))
        while small.id not in pair.relay.heard or (
            len(pair.relay.heard[small.id].body) < before + 1_200
        ):
            net.run(0.01, feed)
            assert pair.now < asked + 5
        taken.append(pair.now - asked)
    return taken


@pytest.mark.parametrize("kept", [False, True], ids=["new streams", "one stream"])
@pytest.mark.parametrize("bulks", [1, 8, 32])
def test_small_answers_wait_less_than_two_seconds_although_much_begins_with_them(
    bulks: int, kept: bool
) -> None:
    taken = answer_beside(bulks, kept=kept)
    assert max(taken) < 2.0
    assert sorted(taken)[2] < 1.5


def test_queue_does_not_grow_while_bulk_goes_on_for_minutes() -> None:
    pair = Pair()
    net = SlowLink(pair, rate=MEGABIT, delay=0.02)
    streams = [pair.relay.lane.open("tcp") for _ in range(8)]
    bulk = bytes(16 * 1024)

    def feed() -> None:
        for stream in streams:
            while stream.room >= len(bulk):
                stream.send_data(bulk)

    net.run(5.0, feed)
    early = pair.relay.lane._outbox.pacing.window
    net.run(62.0, feed)
    assert pair.relay.lane._outbox.pacing.window <= early * 1.25


@pytest.mark.parametrize("rate", [MEGABIT, 10 * MEGABIT, 80 * MEGABIT])
def test_bulk_fills_the_path(rate: float) -> None:
    pair = Pair()
    net = SlowLink(pair, rate=rate, delay=0.03)
    stream = pair.relay.lane.open("tcp")
    bulk = bytes(64 * 1024)

    def feed() -> None:
        while stream.room:
            stream.send_data(bulk[: stream.room])

    net.run(2.0, feed)
    before = len(pair.connector.heard[stream.id].body)
    net.run(1.0, feed)
    assert len(pair.connector.heard[stream.id].body) - before >= 0.85 * rate


def test_in_flight_is_never_more_than_the_window_and_the_overdraft() -> None:
    pair = Pair()
    ((mine, _),) = plenty(pair, 1)
    mine.send_data(bytes(3_000_000))
    pair.write()
    box = pair.relay.lane._outbox
    assert box.handed - box.acked <= UNMEASURED_WINDOW + frames.HEADER_SIZE
    pair.down.clear()
    pair.write()
    assert pair.down == b""
    assert box.pacing.window >= LEAST_WINDOW
