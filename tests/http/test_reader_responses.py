"""What an origin's bytes become: delimiting, informational heads, upgrades, and what is refused."""

from __future__ import annotations

import pytest

from underpass.http.reader import (
    EndOfMessage,
    Malformed,
    ResponseEvent,
    ResponseHead,
    ResponseReader,
)

END = EndOfMessage([])
OK = b"HTTP/1.1 200 OK\r\n"


def every_split(raw: bytes, method: bytes = b"GET", *, eof: bool = False) -> list[ResponseEvent]:
    """What a reader says to ``raw``, which must not depend on how it arrives."""

    def said(pieces: list[bytes]) -> list[ResponseEvent]:
        reader = ResponseReader(method)
        events: list[ResponseEvent] = []
        for piece in pieces:
            events += reader.receive_data(piece)
        if eof:
            events += reader.receive_eof()
        joined: list[ResponseEvent] = []
        for event in events:
            if isinstance(event, bytes) and joined and isinstance(joined[-1], bytes):
                joined[-1] += event
            elif isinstance(event, Malformed):
                joined.append(Malformed(event.status, event.code, ""))
            else:
                joined.append(event)
        return joined

    whole = said([raw])
    assert said([raw[at : at + 1] for at in range(len(raw))]) == whole
    for at in range(1, len(raw)):
        assert said([raw[:at], raw[at:]]) == whole
    return whole


def test_sized_answer() -> None:
    events = every_split(OK + b"Content-Length: 5\r\nX: y\r\nConnection: keep-alive\r\n\r\nhello")
    assert events == [ResponseHead(200, b"OK", [(b"X", b"y")], 5), b"hello", END]


def test_chunked_answer_with_trailers() -> None:
    events = every_split(
        OK + b"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"
    )
    assert events == [ResponseHead(200, b"OK", [], -1), b"hello", EndOfMessage([(b"X", b"y")])]


def test_close_delimited_answer_ends_with_the_connection() -> None:
    reader = ResponseReader(b"GET")
    events = reader.receive_data(OK + b"\r\nhel") + reader.receive_data(b"lo")
    assert events == [ResponseHead(200, b"OK", [], -1), b"hel", b"lo"]
    assert reader.receive_eof() == [END]
    assert not reader.keep_alive


@pytest.mark.parametrize(
    ("method", "status", "line"),
    [
        (b"HEAD", 200, b"Content-Length: 5\r\n"),
        (b"HEAD", 200, b"Transfer-Encoding: chunked\r\n"),
        (b"HEAD", 200, b""),
        (b"HEAD", 404, b"Content-Length: 5\r\n"),
        (b"GET", 304, b"Content-Length: 5\r\n"),
        (b"GET", 204, b""),
        (b"GET", 204, b"Content-Length: 5\r\n"),
        (b"GET", 200, b"Content-Length: 0\r\n"),
    ],
)
def test_bytes_after_an_answer_without_a_body_are_no_body(
    method: bytes, status: int, line: bytes
) -> None:
    reader = ResponseReader(method)
    events = reader.receive_data(b"HTTP/1.1 %d X\r\n%b\r\nhello" % (status, line))
    assert [type(event) for event in events] == [ResponseHead, EndOfMessage]
    assert not reader.keep_alive  # they belong to no answer: the connection is poisoned


def test_bytes_that_come_later_cost_the_connection_its_reuse() -> None:
    reader = ResponseReader(b"GET")
    reader.receive_data(OK + b"Content-Length: 2\r\n\r\nhi")
    assert reader.keep_alive
    assert reader.receive_data(OK + b"Content-Length: 0\r\n\r\n") == []
    assert not reader.keep_alive


def test_head_answer_names_the_length_of_the_body_that_is_not_sent() -> None:
    [head, end] = every_split(OK + b"Content-Length: 1234\r\n\r\n", b"HEAD")
    assert head == ResponseHead(200, b"OK", [], 1234)
    assert end == END


def test_informational_heads_come_before_the_final_one() -> None:
    events = every_split(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi"
    )
    assert events == [
        ResponseHead(100, b"Continue", [], 0),
        ResponseHead(103, b"Early Hints", [(b"Link", b"</x>")], 0),
        ResponseHead(200, b"OK", [], 2),
        b"hi",
        END,
    ]


def test_change_of_protocol_leaves_the_rest_as_bytes() -> None:
    reader = ResponseReader(b"GET")
    [head] = reader.receive_data(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: x\r\n\r\n\x81\x00"
    )
    assert isinstance(head, ResponseHead)
    assert (head.status, head.upgrade) == (101, b"websocket")
    assert reader.receive_data(b"\x82\x00") == []
    assert reader.take_rest() == b"\x81\x00\x82\x00"
    assert not reader.keep_alive


def test_upgrade_required_names_the_protocol() -> None:
    [head, _] = every_split(
        b"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert isinstance(head, ResponseHead)
    assert head.upgrade == b"websocket"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", True),
        (OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_keep_alive_follows_version_and_connection(raw: bytes, expected: bool) -> None:
    reader = ResponseReader(b"GET")
    reader.receive_data(raw)
    assert reader.keep_alive is expected


def test_one_reader_serves_a_whole_connection() -> None:
    reader = ResponseReader(b"GET")
    for method in (b"GET", b"HEAD", b"GET"):
        reader.start(method)
        body = b"" if method == b"HEAD" else b"hi"
        events = reader.receive_data(OK + b"Content-Length: 2\r\n\r\n" + body)
        assert events[-1] == END
        assert reader.keep_alive


def test_fields_that_connection_names_stay_behind() -> None:
    [head, _] = every_split(
        OK + b"Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-X: 1\r\n"
        b"X_Forwarded_For: mine\r\nContent-Length: 0\r\n\r\n"
    )
    assert isinstance(head, ResponseHead)
    assert head.headers == [(b"X_Forwarded_For", b"mine")]


@pytest.mark.parametrize(
    "raw",
    [
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: +5\r\n\r\nhello",
        OK + b"Content-Length: 5,5\r\n\r\nhello",
        OK + b"Content-Length: \r\n\r\n",
        OK + b"Content-Length : 5\r\n\r\nhello",
        OK + b"X: y\r\n z\r\n\r\n",
        OK + b"X: a\x00b\r\n\r\n",
        OK + b"X: a\rSet-Cookie: b\r\n\r\n",
        OK + b"X: a\nSet-Cookie: b\r\n\r\n",
        OK + b": x\r\n\r\n",
        OK + b"X\r\n\r\n",
        OK.replace(b"\r\n", b"\n") + b"\n",
        b"\r\n" + OK + b"\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"200 OK\r\n\r\n",
        b"HTTP/1.1 200 a\x01b\r\n\r\n",
        b"<html>hello</html>\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
    ],
)
def test_answer_that_two_readers_could_take_in_two_ways_is_refused(raw: bytes) -> None:
    assert every_split(raw)[-1] == Malformed(502, "origin-malformed", "")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 20",
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        OK + b"Content-Length: 5\r\n\r\nhell",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
    ],
)
def test_answer_that_is_cut_off_never_looks_complete(raw: bytes) -> None:
    events = every_split(raw, eof=True)
    assert events[-1] == Malformed(502, "origin-incomplete", "")
    assert END not in events


def test_endless_head_is_refused() -> None:
    reader = ResponseReader(b"GET")
    reader.receive_data(OK)
    for _ in range(80):
        events = reader.receive_data(b"X: " + b"y" * 1000 + b"\r\n")
        if events:
            break
    assert isinstance(events[-1], Malformed)


def test_missing_reason_is_no_fault() -> None:
    [head, _] = every_split(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")
    assert head == ResponseHead(200, b"", [], 0)
