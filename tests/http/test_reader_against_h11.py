"""h11 as the oracle: whatever our readers accept, h11 accepts and sees the same message.

Also the fuzz target of the reader. Messages are made from fragments that parsers are known to
disagree about, and by mutating the files in ``corpus/``. To fuzz for longer than the tests do:
``python tests/http/test_reader_against_h11.py 200000``.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import h11
import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from underpass.http.errors import HeadInvalid
from underpass.http.reader import (
    EndOfMessage,
    Malformed,
    RequestEvent,
    RequestHead,
    RequestReader,
    ResponseEvent,
    ResponseHead,
    ResponseReader,
)
from underpass.http.writer import request_bytes, response_bytes

T = TypeVar("T")

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.http"))

Seen = tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]], bytes]
"""Method (or status), target, Host, end-to-end fields, body: of one complete message."""

HOP = {
    b"host",
    b"connection",
    b"content-length",
    b"transfer-encoding",
    b"keep-alive",
    b"te",
    b"trailer",
    b"upgrade",
    b"expect",
    b"proxy",
    b"http2-settings",
    b"proxy-connection",
    b"proxy-authorization",
}


def joined(events: list[RequestEvent]) -> list[RequestEvent]:
    result: list[RequestEvent] = []
    for event in events:
        if isinstance(event, bytes) and result and isinstance(result[-1], bytes):
            result[-1] += event
        elif isinstance(event, Malformed):
            result.append(Malformed(event.status, event.code, ""))
        else:
            result.append(event)
    return result


def our_requests(raw: bytes) -> tuple[list[Seen], list[RequestEvent]]:
    """The complete requests we accept, and all events."""
    reader = RequestReader()
    events = reader.receive_data(raw)
    seen: list[Seen] = []
    body = b""
    for event in events:
        if isinstance(event, RequestHead):
            head, body = event, b""
        elif isinstance(event, bytes):
            body += event
        elif isinstance(event, EndOfMessage):
            fields = [(name.lower(), value) for name, value in head.headers]
            seen.append((head.method, head.target, head.host, fields, body))
    return seen, events


def h11_request(raw: bytes) -> tuple[Seen, bytes, bool] | None:
    """The first complete request h11 accepts, what follows, and whether more may."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(raw)
    body = b""
    while True:
        try:
            said = server.next_event()
        except h11.RemoteProtocolError:
            return None
        if isinstance(said, h11.Request):
            request = said
        elif isinstance(said, h11.Data):
            body += bytes(said.data)
        elif isinstance(said, h11.EndOfMessage):
            break
        else:
            return None
    fields = list(request.headers)
    host = next((value for name, value in fields if name == b"host"), b"")
    options = {
        word.strip().lower() for n, v in fields if n == b"connection" for word in v.split(b",")
    }
    # h11 gives HTTP/1.0 no second request, and waits after any Upgrade; we are asked for both.
    goes_on = b"close" not in options and (
        request.http_version == b"1.1" or b"keep-alive" in options
    )
    return (request.method, request.target, host, fields, body), server.trailing_data[0], goes_on


def h11_requests(raw: bytes) -> list[Seen]:
    """The complete requests h11 accepts; an error of h11's ends the list."""
    seen: list[Seen] = []
    while True:
        # h11 knows no empty line before a request; RFC 9112 2.2 lets us skip one.
        found = h11_request(raw.removeprefix(b"\r\n"))
        if found is None:
            return seen
        message, raw, goes_on = found
        seen.append(message)
        if not goes_on:
            return seen


def assert_same(ours: list[Seen], theirs: list[Seen]) -> None:
    assert len(theirs) >= len(ours)
    for mine, other in zip(ours, theirs, strict=False):
        assert mine[:3] == other[:3]
        assert mine[4] == other[4]
        rest = [field for field in other[3] if field[0] not in HOP]
        named = {
            word.strip().lower()
            for name, value in other[3]
            if name == b"connection"
            for word in value.split(b",")
        }
        assert mine[3] == [field for field in rest if field[0] not in named]


def check(raw: bytes, cuts: list[int]) -> int:
    """Every promise of the reader, on one sequence of bytes; answers how many were accepted."""
    ours, events = our_requests(raw)
    assert_same(ours, h11_requests(raw))

    # However the bytes arrive, the same is accepted and the same is refused.
    reader = RequestReader()
    points = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    split = [
        event for start, end in pairwise(points) for event in reader.receive_data(raw[start:end])
    ]
    mine, other = joined(events), joined(split)
    if mine and isinstance(mine[-1], Malformed):
        assert isinstance(other[-1], Malformed)
        mine.pop()
        other.pop()
    assert other == mine

    # What was accepted can be written, and reads back as the same head.
    for event in events:
        if isinstance(event, RequestHead) and not event.http10:
            [again, *_] = RequestReader().receive_data(request_bytes(event))
            assert again == event
    return len(ours)


starts = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\n",
        b"GET /a?b HTTP/1.0\r\n",
        b"POST / HTTP/1.0\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"GET http://b.test/ HTTP/1.1\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"CONNECT b.test:443 HTTP/1.1\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
    ]
)
lines = st.sampled_from(
    [
        b"Host: a.test\r\n",
        b"Host: b.test\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 05\r\n",
        b"content-length: 5, 5\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: Chunked \r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"transfer_encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive, x-a\r\n",
        b"Connection: upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"Expect: 100-continue\r\n",
        b"TE: trailers\r\n",
        b"X-A: b\r\n",
        b"X-A:\r\n",
        b"X-A: \t b\tc \t\r\n",
        b"X-A: b\r\n c\r\n",
        b"X-A: b\n",
        b"X-A: caf\xc3\xa9\r\n",
        b"X-A: b\x00\r\n",
        b": b\r\n",
    ]
)
tails = st.lists(
    st.sampled_from(
        [
            b"\r\n",
            b"\r\n",
            b"hello",
            b"5\r\nhello\r\n",
            b"1\r\na\r\n",
            b"0\r\n\r\n",
            b"0\r\nX: y\r\n\r\n",
            b"0\r\nX: y\r\n z\r\n\r\n",
            b"00\r\n\r\n",
            b"5;x=y\r\nhello\r\n",
            b"5\nhello\r\n",
            b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\n",
            b"\r",
        ]
    ),
    max_size=6,
).map(b"".join)
requests = st.builds(
    lambda start, host, some, tail: start + host + b"".join(some) + b"\r\n" + tail,
    starts,
    st.sampled_from([b"Host: a.test\r\n"] * 7 + [b""]),
    st.lists(lines, max_size=5),
    tails,
)
cuts = st.lists(st.integers(0, 300), max_size=4)


@settings(max_examples=800, deadline=None)
@given(raw=st.one_of(requests, st.tuples(requests, requests).map(b"".join)), cuts=cuts)
def test_what_we_accept_h11_accepts_and_sees_the_same(raw: bytes, cuts: list[int]) -> None:
    note(f"{check(raw, cuts)} accepted")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(st.sampled_from(CORPUS)).read_bytes())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw)))
        size = draw(st.integers(0, 4))
        raw[at : at + size] = draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from(
                    [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b",", b"\x00", b"0", b"_"]
                ),
                lines,
            )
        )
    return bytes(raw)


def fuzz(examples: int) -> None:
    """Mutate the corpus ``examples`` times and check every promise on each outcome."""

    @settings(max_examples=examples, deadline=None)
    @given(raw=mutated(), cuts=cuts)
    def keeps_every_promise(raw: bytes, cuts: list[int]) -> None:
        note(f"{check(raw, cuts)} accepted")

    keeps_every_promise()


def test_fuzzed_requests_keep_every_promise_of_the_reader() -> None:
    fuzz(800)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus_keeps_every_promise_of_the_reader(path: Path) -> None:
    raw = path.read_bytes()
    check(raw, list(range(len(raw))))
    for at in range(len(raw)):
        check(raw, [at])


answer_starts = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 304 Not Modified\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 404\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n",
    ]
)


@settings(max_examples=600, deadline=None)
@given(
    start=answer_starts,
    some=st.lists(lines, max_size=4),
    tail=tails,
    method=st.sampled_from([b"GET", b"HEAD", b"POST"]),
    cut=st.integers(0, 200),
)
def test_answers_we_accept_h11_accepts_and_sees_the_same(
    start: bytes, some: list[bytes], tail: bytes, method: bytes, cut: int
) -> None:
    raw = start + b"".join(some) + b"\r\n" + tail
    reader = ResponseReader(method)
    events: list[ResponseEvent] = reader.receive_data(raw[:cut])
    events += reader.receive_data(raw[cut:])
    events += reader.receive_eof()
    assert isinstance(events[-1], (Malformed, EndOfMessage))
    if not isinstance(events[-1], EndOfMessage):
        return
    note("accepted")
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    client.receive_data(b"")
    theirs: list[tuple[int, bytes]] = []
    while True:
        said = client.next_event()
        if isinstance(said, (h11.Response, h11.InformationalResponse)):
            theirs.append((said.status_code, b""))
        elif isinstance(said, h11.Data):
            theirs[-1] = (theirs[-1][0], theirs[-1][1] + bytes(said.data))
        else:
            assert isinstance(said, h11.EndOfMessage)
            break
    ours: list[tuple[int, bytes]] = []
    for event in events:
        if isinstance(event, ResponseHead):
            ours.append((event.status, b""))
            written = response_bytes(event, method=method)
            assert ResponseReader(method).receive_data(written)[0] == event
        elif isinstance(event, bytes):
            ours[-1] = (ours[-1][0], ours[-1][1] + event)
    assert ours == theirs


def mostly(*good: T, odd: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Nine times in ten something good."""
    return st.integers(0, 9).flatmap(lambda n: st.sampled_from(good) if n else odd)


@settings(max_examples=500, deadline=None)
@given(
    head=st.builds(
        RequestHead,
        mostly(b"GET", b"POST", odd=st.binary(max_size=6)),
        mostly(b"/a", odd=st.binary(max_size=8).map(lambda raw: b"/" + raw)),
        mostly(b"a.test", odd=st.binary(max_size=6)),
        st.lists(
            st.tuples(
                mostly(b"X", b"Y-1", odd=st.binary(max_size=4)),
                mostly(b"y", b"", b"a\tb", b"caf\xe9", odd=st.binary(max_size=8)),
            ),
            max_size=3,
        ),
        mostly(0, -1, 3, odd=st.integers(-3, 2**64)),
        mostly(b"", b"websocket", odd=st.binary(max_size=6)),
    )
)
def test_whatever_is_written_is_one_request_to_h11(head: RequestHead) -> None:
    try:
        raw = request_bytes(head)
    except HeadInvalid:
        return
    note("written")
    assert raw.count(b"\r\n\r\n") == 1
    server = h11.Connection(h11.SERVER)
    server.receive_data(raw)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (head.method, head.target)
    assert server.trailing_data[0] == b""


if __name__ == "__main__":
    fuzz(int(sys.argv[1]))
