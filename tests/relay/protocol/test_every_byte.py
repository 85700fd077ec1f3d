"""One scripted conversation with every frame type, cut at every byte in both directions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lane_pair import Heard, Pair, frames_of

from underpass.relay.protocol import frames
from underpass.relay.protocol.budget import FIRST_CREDIT, ReceiveBudget

pytestmark = pytest.mark.pure


def script(pair: Pair) -> Iterator[None]:
    """The conversation, a step at a time; both ends have exchanged everything between steps."""
    relay, connector = pair.relay.lane, pair.connector.lane

    def opened(number: int) -> Heard:
        return pair.connector.heard[number]

    first = relay.open("http", head=b"GET /one", body=b"b", end=True)
    second = relay.open("http", head=b"POST /two")
    connector.say_lease(100.0)
    relay.send_link_frame(frames.frame(frames.PING, 0, b"12345678"))
    yield
    one, two = opened(1).stream, opened(2).stream
    one.send_head(b"200 one", b"whole", end=True)
    two.send_informational(b"100 two")
    two.credit = min(two.credit, 40)  # so that the next head needs two frames
    yield
    second.send_data(b"upload")
    second.send_trailers(b"trailers up")
    second.send_end()
    two.send_head(b"200 two, a head that credit cuts in two")
    two.send_data(b"answer")
    two.send_trailers(b"trailers down")
    two.send_end()
    third = relay.open("tcp")
    fourth = relay.open("tcp")
    yield
    two.credit += FIRST_CREDIT
    connector.queue_grew(two, 0)
    three, four = opened(3).stream, opened(4).stream
    # a window of three bytes, so that they are credited
    pair.connector.budget.used -= three.outstanding - 3
    third.credit = three.outstanding = three.window = 3
    third.send_data(b"abc")
    yield
    relay.say_lease(90.0)  # it goes first, so that the end can ride on the data behind it
    third.send_data(b"def")
    third.send_end()
    three.send_data(b"d" * 20)
    three.abort("origin-gone")
    fourth.stop("left")
    four.send_data(b"in vain")
    pair.connector.budget.used += pair.connector.budget.limit // 2  # LIMIT says less
    yield
    fourth.send_end()
    relay.open("tcp").abort("changed-mind")
    yield
    pair.connector.budget.used -= pair.connector.budget.limit // 2
    opened(5).stream.abort("so-be-it")
    assert first.send_done
    yield


def play(cut_at: tuple[str, int] | None) -> Pair:
    pair = Pair(connector_budget=ReceiveBudget(100 * FIRST_CREDIT))
    for _ in script(pair):
        while True:
            pair.write()
            down, up = len(pair.down), len(pair.up)
            if not down and not up:
                break
            if cut_at is not None:
                side, offset = cut_at
                before = len((pair.relay if side == "down" else pair.connector).raw)
                size = down if side == "down" else up
                if before - size <= offset < before:
                    keep = offset - (before - size)
                    pair.carry(**{side: keep, "up" if side == "down" else "down": None})
                    pair.cut()
                    pair.link()
                    cut_at = None
                    continue
            pair.carry()
        pair.now += 0.25
        pair.relay.lane.tick(pair.now)
        pair.connector.lane.tick(pair.now)
        pair.exchange()
    pair.settle()
    return pair


def outcome(pair: Pair) -> list[object]:
    def told(heard: Heard) -> tuple[object, ...]:
        return (
            heard.heads,
            bytes(heard.body),
            heard.trailers,
            heard.ended,
            heard.aborted,
            heard.stopped,
        )

    return [
        {number: told(heard) for number, heard in sorted(pair.relay.heard.items())},
        {number: told(heard) for number, heard in sorted(pair.connector.heard.items())},
        pair.relay.leases,
        pair.connector.leases,
        pair.relay.budget.used,
        pair.connector.budget.used,
        sorted(pair.relay.lane.streams),
        sorted(pair.connector.lane.streams),
        pair.relay.lane.buffered,
        pair.connector.lane.buffered,
        pair.relay.lane.received == pair.connector.lane._outbox.sent,
        pair.connector.lane.received == pair.relay.lane._outbox.sent,
    ]


UNCUT = play(None)
EXPECTED = outcome(UNCUT)


def test_script_uses_every_frame_type() -> None:
    said = frames_of(bytes(UNCUT.relay.raw)) + frames_of(bytes(UNCUT.connector.raw))
    kinds = {one.kind for one in said}
    assert kinds >= {
        frames.OPEN,
        frames.DATA,
        frames.DATA | frames.END,
        frames.HEAD,
        frames.HEAD | frames.MORE,
        frames.TRAILERS,
        frames.FULL,
        frames.CREDIT,
        frames.RESET,
        frames.LIMIT,
        frames.LEASE,
        frames.FIN,
        frames.PING,
        frames.ACK,
    }


def test_script_ends_as_it_should() -> None:
    said, got = UNCUT.relay.heard, UNCUT.connector.heard
    assert (said[1].heads, bytes(said[1].body)) == ([b"200 one"], b"whole")
    assert said[2].heads == [b"100 two", b"200 two, a head that credit cuts in two"]
    assert (bytes(said[2].body), said[2].trailers) == (b"answer", [b"trailers down"])
    assert (bytes(got[2].body), got[2].trailers, got[2].ended) == (
        b"upload",
        [b"trailers up"],
        True,
    )
    assert said[3].aborted == "origin-gone"
    assert bytes(got[3].body) == b"abcdef"
    assert got[4].stopped == "left"
    assert got[5].aborted == "changed-mind"
    assert UNCUT.relay.leases == [100.0]
    assert UNCUT.connector.leases == [90.0]
    UNCUT.assert_clean()


@pytest.mark.parametrize("side", ["down", "up"])
def test_cut_at_every_byte_changes_nothing(side: str) -> None:
    raw = UNCUT.relay.raw if side == "down" else UNCUT.connector.raw
    assert len(raw) > 200
    for offset in range(len(raw)):
        assert outcome(play((side, offset))) == EXPECTED, f"cut at byte {offset}"
