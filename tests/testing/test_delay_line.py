from __future__ import annotations

import pytest

from underpass.testing.delay_line import FLIGHT_LIMIT, SEGMENT, DelayLine, Mark, Path

pytestmark = pytest.mark.pure


def arrivals(line: DelayLine, now: float) -> list[bytes | Mark]:
    return list(iter(lambda: line.pop_due(now), None))


def test_without_conditions_bytes_arrive_at_once() -> None:
    line = DelayLine(Path())
    line.put(b"hello", 10.0)
    assert arrivals(line, 10.0) == [b"hello"]
    assert line.held == 0


def test_latency_delays_everything_alike_however_much_it_is() -> None:
    line = DelayLine(Path(latency=0.5))
    for _ in range(100):
        line.put(b"x" * 65536, 10.0)
    assert arrivals(line, 10.49) == []
    assert line.next_deadline() == 10.5
    assert sum(map(len, arrivals(line, 10.5))) == 6553600


def test_bandwidth_hands_out_one_segment_after_the_other() -> None:
    line = DelayLine(Path(bandwidth=SEGMENT * 8))
    line.put(b"x" * SEGMENT * 3, 0.0)
    assert [len(arrivals(line, now)) for now in (0.1, 0.125, 0.25, 0.3, 0.375)] == [0, 1, 1, 0, 1]


def test_bandwidth_is_shared_by_all_lines_of_a_path() -> None:
    path = Path(bandwidth=SEGMENT)
    first, second = DelayLine(path), DelayLine(path)
    first.put(b"x" * SEGMENT * 5, 0.0)
    second.put(b"y", 0.0)
    assert arrivals(second, 5.0) == []
    assert arrivals(second, 5.01) == [b"y"]


def test_bytes_that_follow_a_lowered_latency_do_not_overtake() -> None:
    path = Path(latency=1.0)
    line = DelayLine(path)
    line.put(b"first", 0.0)
    path.latency = 0.0
    line.put(b"second", 0.1)
    assert arrivals(line, 0.9) == []
    assert arrivals(line, 1.0) == [b"first", b"second"]


def test_an_end_arrives_after_the_bytes_before_it() -> None:
    line = DelayLine(Path(latency=0.2, bandwidth=SEGMENT))
    line.put(b"x" * SEGMENT, 0.0)
    line.put(Mark.END, 0.0)
    assert arrivals(line, 1.1) == []
    assert arrivals(line, 1.2) == [b"x" * SEGMENT, Mark.END]


def test_a_black_hole_holds_all_and_loses_nothing() -> None:
    path = Path(black_hole=True)
    line = DelayLine(path)
    line.put(b"kept", 0.0)
    line.put(Mark.RESET, 0.0)
    assert arrivals(line, 1e9) == []
    assert line.next_deadline() is None
    path.black_hole = False
    assert arrivals(line, 0.0) == [b"kept", Mark.RESET]


def test_the_sender_waits_when_a_black_hole_has_swallowed_a_window() -> None:
    line = DelayLine(Path(black_hole=True, queue=1000))
    line.put(b"x" * 999, 0.0)
    assert not line.is_full(0.0)
    line.put(b"x", 0.0)
    assert line.is_full(1e9)


def test_the_sender_waits_while_the_bottleneck_queue_is_full() -> None:
    line = DelayLine(Path(bandwidth=1000, queue=1000))
    line.put(b"x" * 1500, 0.0)
    assert line.is_full(0.4)
    assert not line.is_full(0.6)


def test_latency_alone_never_makes_the_sender_wait_below_the_flight_limit() -> None:
    line = DelayLine(Path(latency=1.0))
    line.put(bytes(FLIGHT_LIMIT - 1), 0.0)
    assert not line.is_full(0.0)
    line.put(b"x", 0.0)
    assert line.is_full(0.0)


def test_nothing_leaves_before_the_line_opens() -> None:
    line = DelayLine(Path(latency=1.0), opens_at=5.0)
    line.put(b"early", 3.0)
    line.put(b"late", 7.0)
    assert [arrivals(line, now) for now in (5.9, 6.0, 8.0)] == [[], [b"early"], [b"late"]]


def test_what_is_put_back_comes_first_again() -> None:
    line = DelayLine(Path(latency=1.0))
    line.put(b"abcdef", 0.0)
    line.put(b"g", 0.0)
    assert line.pop_due(1.0) == b"abcdef"
    line.put_back(b"cdef")
    assert line.held == 5
    assert arrivals(line, 1.0) == [b"cdef", b"g"]
