"""What a well-behaved visitor's bytes become, and how little a hostile one can make us hold."""

from __future__ import annotations

import sys
import time
import tracemalloc

import pytest

from underpass.http.fields import stamp
from underpass.http.messages import MAX_HEAD_BYTES, encode_head
from underpass.http.names import kind_of
from underpass.http.reader import (
    EndOfMessage,
    Limits,
    Malformed,
    RequestHead,
    RequestReader,
)

END = EndOfMessage([])


def test_head_keeps_end_to_end_fields_as_they_were_sent() -> None:
    reader = RequestReader()
    events = reader.receive_data(
        b"GET /a?b HTTP/1.1\r\nHost: A.Test:80\r\nX-One:  1 \r\nx-one: 2\r\nCookie: a=b\r\n\r\n"
    )
    assert events == [
        RequestHead(
            method=b"GET",
            target=b"/a?b",
            host=b"A.Test:80",
            headers=[(b"X-One", b"1"), (b"x-one", b"2"), (b"Cookie", b"a=b")],
        ),
        END,
    ]
    assert reader.keep_alive
    assert not reader.in_message


def test_hop_by_hop_fields_and_what_connection_names_stay_behind() -> None:
    [head, _] = RequestReader().receive_data(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n"
        b"TE: trailers, deflate\r\nTrailer: X\r\nProxy-Authorization: Basic eDp5\r\n"
        b"Proxy-Connection: keep-alive\r\nProxy: http://b.test\r\nHTTP2-Settings: AAA\r\n"
        b"X-Kept: 1\r\n\r\n"
    )
    assert isinstance(head, RequestHead)
    assert head.headers == [(b"X-Kept", b"1")]
    assert head.te_trailers


def test_sized_body_is_passed_on_in_the_parts_it_came_in() -> None:
    reader = RequestReader()
    [head] = reader.receive_data(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    )
    assert isinstance(head, RequestHead)
    assert (head.body, head.expect_continue) == (10, True)
    assert reader.in_message
    part = b"12345"
    [passed] = reader.receive_data(part)
    assert passed is part  # not copied
    assert reader.receive_data(b"67890") == [b"67890", END]


def test_chunked_body_ends_with_its_trailers() -> None:
    reader = RequestReader()
    events = reader.receive_data(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n3\r\ndef\r\n0\r\nX-Sum: 1\r\nAuthorization: x\r\nX-Forwarded-For: y\r\n\r\n"
    )
    head = events[0]
    assert isinstance(head, RequestHead)
    assert head.body == -1
    assert events[1:] == [b"abcdef", EndOfMessage([(b"X-Sum", b"1")])]


def test_pipelined_requests_come_in_order_in_one_call() -> None:
    reader = RequestReader()
    events = reader.receive_data(
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    targets = [event.target for event in events if isinstance(event, RequestHead)]
    assert targets == [b"/1", b"/2"]


def test_pipeline_limit_holds_the_rest_back_until_asked() -> None:
    reader = RequestReader(Limits(pipeline=2))
    raw = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(5))
    seen = []
    events = reader.receive_data(raw)
    while events:
        targets = [event.target for event in events if isinstance(event, RequestHead)]
        assert len(targets) <= 2
        seen += targets
        events = reader.receive_data(b"") if reader.waiting else []
    assert seen == [b"/0", b"/1", b"/2", b"/3", b"/4"]
    assert not reader.waiting


def test_requests_held_back_are_still_read_after_the_end() -> None:
    reader = RequestReader(Limits(pipeline=1))
    raw = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(3))
    events = reader.receive_data(raw + b"GET /cut")
    assert reader.receive_eof() == []
    while reader.waiting:
        events += reader.receive_data(b"")
    targets = [event.target for event in events if isinstance(event, RequestHead)]
    assert targets == [b"/0", b"/1", b"/2"]
    assert isinstance(events[-1], Malformed)
    assert events[-1].code == "request-incomplete"


def test_requests_behind_a_refused_upgrade_are_still_read_after_the_end() -> None:
    reader = RequestReader()
    reader.receive_data(
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert reader.receive_eof() == []
    [head, _] = reader.refuse_upgrade()
    assert isinstance(head, RequestHead)
    assert head.target == b"/next"
    assert not reader.keep_alive


@pytest.mark.parametrize(
    ("version", "connection", "expected"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: keep-alive, CLOSE\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_keep_alive_follows_version_and_connection(
    version: bytes, connection: bytes, expected: bool
) -> None:
    reader = RequestReader()
    reader.receive_data(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, connection))
    assert reader.keep_alive is expected


def test_upgrade_stops_the_reader_and_leaves_the_rest_as_bytes() -> None:
    reader = RequestReader()
    events = reader.receive_data(
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x05hel"
    )
    assert isinstance(events[0], RequestHead)
    assert events[0].upgrade == b"websocket"
    assert events[1:] == [END]
    assert reader.receive_data(b"lo") == []
    assert reader.take_rest() == b"\x81\x05hello"
    assert reader.receive_data(b"more") == []


def test_upgrade_with_a_body_takes_effect_after_it() -> None:
    reader = RequestReader()
    events = reader.receive_data(
        b"POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        b"Content-Length: 2\r\n\r\n{}raw"
    )
    assert events[1:] == [b"{}", END]
    assert reader.take_rest() == b"raw"


def test_refused_upgrade_goes_on_with_requests() -> None:
    reader = RequestReader()
    reader.receive_data(
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    [head, end] = reader.refuse_upgrade()
    assert isinstance(head, RequestHead)
    assert head.target == b"/next"
    assert end == END


def test_upgrade_refused_before_the_body_ended_goes_on_with_requests() -> None:
    reader = RequestReader()
    reader.receive_data(
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n"
        b"Content-Length: 2\r\n\r\n"
    )
    assert reader.refuse_upgrade() == []
    events = reader.receive_data(b"hiGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [type(event) for event in events] == [bytes, EndOfMessage, RequestHead, EndOfMessage]


def test_impatient_visitor_is_refused_while_an_upgrade_is_undecided() -> None:
    reader = RequestReader(Limits(held_bytes=100))
    reader.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
    assert reader.receive_data(b"x" * 101) == []
    [refusal] = reader.receive_data(b"x")
    assert isinstance(refusal, Malformed)
    assert refusal.code == "upgrade-impatient"


@pytest.mark.parametrize(
    "lines",
    [
        b"Upgrade: websocket\r\n",
        b"Connection: upgrade\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: upgrade, http2-settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        b"Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n",
        b"Connection: upgrade\r\nUpgrade: TLS/1.2\r\n",
        b"Connection: upgrade\r\nUpgrade: \r\n",
    ],
)
def test_upgrade_half_said_or_past_the_gatehouse_is_no_upgrade(lines: bytes) -> None:
    reader = RequestReader()
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n"
    events = reader.receive_data(raw + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    heads = [event for event in events if isinstance(event, RequestHead)]
    assert [head.upgrade for head in heads] == [b"", b""]
    assert heads[0].headers == []


def test_expect_without_a_body_is_dropped() -> None:
    [head, _] = RequestReader().receive_data(
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"
    )
    assert isinstance(head, RequestHead)
    assert not head.expect_continue


def test_end_between_messages_is_no_fault() -> None:
    reader = RequestReader()
    assert reader.receive_eof() == []
    reader = RequestReader()
    reader.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert reader.receive_eof() == []


def test_malformed_message_after_a_good_one_refuses_only_itself() -> None:
    events = RequestReader().receive_data(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET  / HTTP/1.1\r\n\r\n"
    )
    assert [type(event) for event in events] == [RequestHead, EndOfMessage, Malformed]


def test_refusal_never_repeats_what_the_visitor_sent() -> None:
    secret = b"up_canary"
    for raw in (
        b"GET /%b HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n",
        b"GET http://%b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: %b@a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\n\r\n",
        b"%b / HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        [refusal] = RequestReader().receive_data(raw % secret)
        assert isinstance(refusal, Malformed)
        assert "canary" not in repr(refusal)


def test_ten_thousand_fields_are_refused_cheaply() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"
    before = time.process_time()
    for _ in range(100):
        [refusal] = RequestReader().receive_data(raw)
    spent = time.process_time() - before
    assert isinstance(refusal, Malformed)
    assert refusal.status == 431
    # A hundredth of what F30 of the fault table allows for one; no parser has seen a field.
    assert spent < 1.0


def test_largest_head_we_take_fits_the_wire_with_what_an_edge_adds() -> None:
    host = b"a" * 255
    start = b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n"
    fields = [b"X-%02d: " % n + b"y" * 590 for n in range(99)]
    room = Limits().head_bytes - len(start) - sum(len(line) + 2 for line in fields) - 2
    fields[0] += b"y" * room
    raw = start + b"\r\n".join([*fields, b"", b""])
    assert len(raw) == Limits().head_bytes
    [head, _] = RequestReader().receive_data(raw)
    assert isinstance(head, RequestHead)
    address = "2001:0db8:0000:0000:0000:0000:0000:0001"
    head.headers.extend(stamp(address, secure=True, host=head.host))
    assert len(encode_head(head)) <= MAX_HEAD_BYTES
    [refusal] = RequestReader().receive_data(raw.replace(b"X-00: ", b"X-00: y"))
    assert isinstance(refusal, Malformed)
    assert refusal.status == 431


ENDLESS = {
    "line": (b"", b"x" * 1024),
    "target": (b"GET /", b"x" * 1024),
    "field": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"x" * 1024),
    "fields": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n" * 200),
    "extension": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;",
        b"x" * 1024,
    ),
    "chunk size": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0" * 1024,
    ),
    "trailer": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        b"x" * 1024,
    ),
    "trailers": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X: y\r\n" * 200,
    ),
    "upgrade": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"x" * 1024,
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_memory_is_bounded_whatever_does_not_end(name: str) -> None:
    start, more = ENDLESS[name]
    reader = RequestReader()
    tracemalloc.start()
    try:
        events = reader.receive_data(start)
        for _ in range(1000):
            if events and isinstance(events[-1], Malformed):
                break
            events = reader.receive_data(more)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(events[-1], Malformed)
    assert peak < 512 * 1024


def test_endless_body_of_tiny_chunks_is_held_nowhere() -> None:
    reader = RequestReader()
    reader.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"1\r\nx\r\n" * 1000
    tracemalloc.start()
    try:
        for _ in range(100):
            assert reader.receive_data(piece) == [b"x" * 1000]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 256 * 1024


def test_names_seen_are_remembered_within_bounds() -> None:
    for n in range(5000):
        kind_of(b"X-Random-%d" % n)
        kind_of(b"X-Long-" + b"y" * 1000 + b"%d" % n)
    known = kind_of._known
    assert len(known) <= 2048
    assert max(map(len, known)) <= 64
    assert sum(sys.getsizeof(name) for name in known) < 512 * 1024
