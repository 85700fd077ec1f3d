"""However a visitor's bytes are cut, and whenever answers come, the same requests get the same
answers in the same order."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from underpass.http.messages import ResponseHead, decode_request, encode_head
from underpass.relay.edges.arrival import Arrival
from underpass.relay.edges.http_edge import HttpEdge
from underpass.relay.edges.ports import EdgeEvent, StreamOwner

pytestmark = pytest.mark.pure


class Wire(asyncio.Transport):
    """A transport in memory that honours pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.closing = False

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def close(self) -> None:
        self.closing = True

    abort = close


@dataclass
class Far:
    """A stream whose far end echoes target and body once told to answer."""

    target: bytes
    owner: StreamOwner
    body: bytes = b""
    ended: bool = False
    room: int = 65536

    def send_data(self, data: bytes) -> bool:
        self.body += data
        return True

    def send_trailers(self, trailers: bytes) -> None: ...

    def send_end(self) -> None:
        assert not self.ended
        self.ended = True

    def abort(self, code: str) -> None:
        raise AssertionError(f"aborted: {code}")

    def stop(self, code: str) -> None:
        raise AssertionError(f"stopped: {code}")

    def drained(self, count: int) -> None: ...

    def answer(self) -> None:
        said = self.target + b" " + self.body
        self.owner.head_received(encode_head(ResponseHead(200, b"OK", [], len(said))))
        self.owner.data_received(memoryview(said))
        self.owner.end_received()


@dataclass
class Memory:
    """A directory, its one exposure and its one lane."""

    name: str = "demo"
    kind: str = "http"
    tls: str = "terminate"
    exposure: str = "open"
    allow: tuple[str, ...] = ()
    public_url: str = ""
    relay_host: str = "relay.test"
    attached: bool = True
    opened: deque[Far] = field(default_factory=deque)
    taken: int = 0

    def find(self, host: str) -> Memory | None:
        return self if host == "demo.test" else None

    def lane_nowait(self) -> Memory:
        return self

    def take_stream(self) -> bool:
        self.taken += 1
        return True

    def give_stream(self) -> None:
        self.taken -= 1

    def note(self, event: EdgeEvent) -> None:
        assert event is EdgeEvent.REQUEST

    def open(self, kind: str, *, head: bytes, body: bytes, end: bool, **_: object) -> Far:
        far = Far(decode_request(head).target, _["owner"], body, end)  # type: ignore[arg-type]
        self.opened.append(far)
        return far


REQUESTS = {
    "get": (b"GET /g HTTP/1.1\r\nHost: demo.test\r\n\r\n", b"/g "),
    "sized": (
        b"POST /s HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 5\r\n\r\nhello",
        b"/s hello",
    ),
    "chunked": (
        b"POST /c HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\none\r\n3\r\ntwo\r\n0\r\nX-T: 1\r\n\r\n",
        b"/c onetwo",
    ),
    "unknown": (b"GET /u HTTP/1.1\r\nHost: nobody.test\r\n\r\n", None),
    "upgrade": (
        b"GET /w HTTP/1.1\r\nHost: demo.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        b"/w ",
    ),
}


def answers_in(written: bytes) -> list[bytes | None]:
    """The bodies of the answers; None for our own refusals."""
    found: list[bytes | None] = []
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        found.append(None if b"Underpass-Error" in head else rest[:length])
        written = rest[length:]
    return found


@given(
    kinds=st.lists(st.sampled_from(sorted(REQUESTS)), min_size=1, max_size=30),
    cuts=st.lists(st.integers(1, 120), max_size=60),
    patience=st.lists(st.integers(0, 3), max_size=60),
)
@settings(max_examples=250, deadline=None)
def test_the_same_requests_get_the_same_answers(
    kinds: list[str], cuts: list[int], patience: list[int]
) -> None:
    stream = b"".join(REQUESTS[kind][0] for kind in kinds)
    expected = [REQUESTS[kind][1] for kind in kinds]
    loop = asyncio.new_event_loop()
    memory = Memory()
    edge = HttpEdge(memory, loop=loop)  # type: ignore[arg-type]
    wire = Wire()
    connection = edge.connection(Arrival(("203.0.113.7", 1)))
    connection.connection_made(wire)

    def turn() -> None:
        loop.call_soon(loop.stop)
        loop.run_forever()

    def answer_one() -> bool:
        if memory.opened and (memory.opened[0].ended or memory.opened[0].target == b"/w"):
            assert len(memory.opened) == 1, "one request at a time"
            memory.opened.popleft().answer()
            return True
        return False

    pieces, rest = deque[bytes](), stream
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    waits = iter(patience)
    for _ in range(1000):
        while pieces and wire.reading:
            piece = pieces.popleft()
            if piece:
                connection.get_buffer(65536)[: len(piece)] = piece
                connection.buffer_updated(len(piece))
            if next(waits, 1) == 0:
                answer_one()
        turn()
        if not answer_one() and not pieces and not memory.opened and connection.exchange is None:
            break
        turn()
    assert answers_in(wire.written) == expected
    assert not wire.closing
    assert wire.reading
    assert memory.taken == 0
    connection.connection_lost(None)
    edge.close()
    loop.close()
