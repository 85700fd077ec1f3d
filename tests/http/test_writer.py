"""What the writers write, what they refuse, and that readers take it back unchanged."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.http.errors import BodyLengthWrong, HeadInvalid
from underpass.http.messages import EndOfMessage, Headers, RequestHead, ResponseHead
from underpass.http.reader import RequestReader, ResponseReader
from underpass.http.writer import (
    request_bytes,
    request_framing,
    response_bytes,
    response_framing,
)

GET = RequestHead(b"GET", b"/a?b", b"a.test", [(b"X", b"y")])
OK = ResponseHead(200, b"OK", [(b"X", b"y")], 5)

replace = msgspec.structs.replace


def test_request_is_written_whole() -> None:
    head = replace(GET, method=b"POST", body=-1, upgrade=b"websocket", te_trailers=True)
    assert request_bytes(
        replace(head, expect_continue=True),
        host=b"127.0.0.1:3001",
        target=b"/base/a",
        extra=[(b"X-Forwarded-For", b"192.0.2.1")],
    ) == (
        b"POST /base/a HTTP/1.1\r\n"
        b"Host: 127.0.0.1:3001\r\n"
        b"X: y\r\n"
        b"X-Forwarded-For: 192.0.2.1\r\n"
        b"Transfer-Encoding: chunked\r\n"
        b"Connection: TE, upgrade\r\n"
        b"Upgrade: websocket\r\n"
        b"TE: trailers\r\n"
        b"Expect: 100-continue\r\n"
        b"\r\n"
    )


def test_get_is_written_plainly() -> None:
    assert request_bytes(GET) == b"GET /a?b HTTP/1.1\r\nHost: a.test\r\nX: y\r\n\r\n"


@pytest.mark.parametrize(("method", "expected"), [(b"POST", True), (b"PUT", True), (b"GET", False)])
def test_empty_body_is_said_where_one_is_expected(method: bytes, expected: bool) -> None:
    raw = request_bytes(replace(GET, method=method))
    assert (b"Content-Length: 0\r\n" in raw) is expected


def test_answer_is_written_whole() -> None:
    assert response_bytes(OK, method=b"GET", extra=[(b"Referrer-Policy", b"no-referrer")]) == (
        b"HTTP/1.1 200 OK\r\nX: y\r\nReferrer-Policy: no-referrer\r\nContent-Length: 5\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("head", "options", "lines"),
    [
        (OK, {"keep_alive": False}, [b"Content-Length: 5", b"Connection: close"]),
        (OK, {"http10": True}, [b"Content-Length: 5", b"Connection: keep-alive"]),
        (replace(OK, body=-1), {}, [b"Transfer-Encoding: chunked"]),
        (replace(OK, body=-1), {"http10": True}, [b"Connection: close"]),
        (replace(OK, body=-1), {"method": b"HEAD"}, []),
        (OK, {"method": b"HEAD"}, [b"Content-Length: 5"]),
        (replace(OK, status=304), {}, [b"Content-Length: 5"]),
        (replace(OK, status=304, body=-1), {}, []),
        (replace(OK, status=204, body=0), {}, []),
        (replace(OK, status=103, body=0), {}, []),
        (replace(OK, status=103, body=0), {"keep_alive": False}, []),
        (
            replace(OK, status=101, body=0, upgrade=b"websocket"),
            {},
            [b"Connection: upgrade", b"Upgrade: websocket"],
        ),
        (
            replace(OK, status=426, body=0, upgrade=b"websocket"),
            {},
            [b"Content-Length: 0", b"Connection: upgrade", b"Upgrade: websocket"],
        ),
    ],
)
def test_framing_and_connection_fields_are_ours(
    head: ResponseHead, options: dict[str, object], lines: list[bytes]
) -> None:
    raw = response_bytes(head, **{"method": b"GET", **options})  # type: ignore[arg-type]
    assert raw.split(b"\r\n")[2:-2] == lines


HOSTILE_FIELDS: list[tuple[bytes, bytes]] = [
    (b"X", b"a\r\nY: b"),
    (b"X", b"a\r\n\r\nHTTP/1.1 200 OK"),
    (b"X", b"a\n"),
    (b"X", b"\ra"),
    (b"X", b"a\x00"),
    (b"X", b"a\x7f"),
    (b"X", b"a\x0b"),
    (b"X\r\nY", b"a"),
    (b"X:", b"a"),
    (b"X ", b"a"),
    (b" X", b"a"),
    (b"", b"a"),
    (b"X\x00", b"a"),
    (b"X\xff", b"a"),
    (b"Content-Length", b"5"),
    (b"content-length", b"5"),
    (b"Transfer-Encoding", b"chunked"),
    (b"Connection", b"close"),
    (b"Host", b"b.test"),
    (b"Upgrade", b"h2c"),
    (b"TE", b"trailers"),
    (b"Expect", b"100-continue"),
    (b"Keep-Alive", b"5"),
    (b"Trailer", b"X"),
    (b"Proxy-Connection", b"close"),
    (b"HTTP2-Settings", b"AAA"),
]


@pytest.mark.parametrize("field", HOSTILE_FIELDS)
def test_field_that_would_make_another_message_is_refused(field: tuple[bytes, bytes]) -> None:
    fields: Headers = [(b"A", b"b"), field]
    with pytest.raises(HeadInvalid):
        request_bytes(replace(GET, headers=fields))
    with pytest.raises(HeadInvalid):
        request_bytes(GET, extra=fields)
    with pytest.raises(HeadInvalid):
        response_bytes(replace(OK, headers=fields), method=b"GET")
    with pytest.raises(HeadInvalid):
        response_bytes(OK, method=b"GET", extra=fields)


def test_underscore_twin_is_refused_towards_an_origin_only() -> None:
    twin: Headers = [(b"X_Forwarded_For", b"127.0.0.1")]
    with pytest.raises(HeadInvalid):
        request_bytes(replace(GET, headers=twin))
    assert b"X_Forwarded_For" in response_bytes(replace(OK, headers=twin), method=b"GET")


@pytest.mark.parametrize(
    "changes",
    [
        {"method": b""},
        {"method": b"get"},
        {"method": b"CONNECT"},
        {"method": b"GET /x HTTP/1.1\r\nA: b\r\n\r\nGET"},
        {"target": b""},
        {"target": b"//b.test"},
        {"target": b"http://b.test/"},
        {"target": b"/ HTTP/1.1\r\nA: b"},
        {"target": b"*"},
        {"target": b"/\\b"},
        {"host": b""},
        {"host": b"a b"},
        {"host": b"a\r\nX: y"},
        {"host": b"u@a"},
        {"body": -2},
        {"body": 2**63},
        {"upgrade": b"x\r\nA: b"},
        {"upgrade": b"a b"},
    ],
)
def test_request_that_no_reader_would_have_made_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(HeadInvalid):
        request_bytes(replace(GET, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 99},
        {"status": 600},
        {"status": -1},
        {"reason": b"OK\r\nX: y"},
        {"reason": b"OK\n"},
        {"reason": b"\x00"},
        {"body": -2},
        {"body": 2**63},
        {"status": 101, "upgrade": b""},
        {"status": 101, "upgrade": b"x\r\ny"},
    ],
)
def test_answer_that_no_reader_would_have_made_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(HeadInvalid) as caught:
        response_bytes(replace(OK, **changes), method=b"GET")
    assert caught.value.code == "head-invalid"
    assert str(caught.value).startswith("cannot write the message head: ")


def test_sized_body_takes_exactly_its_length() -> None:
    framing = request_framing(replace(GET, body=5))
    part = memoryview(b"hello")
    assert framing.data(part)[0] is part
    assert framing.end() == ()
    with pytest.raises(BodyLengthWrong, match="6 bytes where the head said 5"):
        framing.data(b"!")


def test_sized_body_that_ends_early_is_refused() -> None:
    framing = response_framing(OK, method=b"GET")
    framing.data(b"hell")
    with pytest.raises(BodyLengthWrong) as caught:
        framing.end()
    assert caught.value.code == "body-length-wrong"


def test_chunks_are_three_buffers_and_never_copied() -> None:
    framing = response_framing(replace(OK, body=-1), method=b"GET")
    part = b"x" * 100_000
    head, same, tail = framing.data(part)
    assert same is part
    assert (head, tail) == (b"186a0\r\n", b"\r\n")
    assert framing.data(b"") == ()
    assert framing.end() == (b"0\r\n\r\n",)
    assert framing.end([(b"X", b"y")]) == (b"0\r\nX: y\r\n\r\n",)
    assert not framing.closes


@pytest.mark.parametrize("field", HOSTILE_FIELDS)
def test_trailer_that_is_no_field_is_refused(field: tuple[bytes, bytes]) -> None:
    framing = response_framing(replace(OK, body=-1), method=b"GET")
    with pytest.raises(HeadInvalid):
        framing.end([field])


def test_old_visitors_get_a_body_that_the_close_ends() -> None:
    framing = response_framing(replace(OK, body=-1), method=b"GET", http10=True)
    assert framing.closes
    assert framing.data(b"x") == (b"x",)
    assert framing.end([(b"X", b"y")]) == ()


@pytest.mark.parametrize(
    ("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304), (b"GET", 100)]
)
def test_answer_without_a_body_takes_no_part(method: bytes, status: int) -> None:
    framing = response_framing(replace(OK, status=status), method=method)
    assert framing.data(b"") == ()
    with pytest.raises(BodyLengthWrong):
        framing.data(b"x")
    assert framing.end() == ()


names = st.from_regex(r"\AX-[A-Za-z0-9!#$%&'*+.^`|~-]{1,12}\Z").map(str.encode)
values = st.from_regex(r"\A([!-~]([ -~\t]{0,20}[!-~])?)?\Z").map(str.encode)
fields = st.lists(st.tuples(names, values), max_size=20)
bodies = st.lists(st.binary(min_size=1, max_size=50), max_size=5)


@given(
    method=st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH"]),
    target=st.from_regex(r"\A/([a-z%][!$-\[\]-~]{0,30})?\Z").map(str.encode),
    headers=fields,
    parts=bodies,
    chunked=st.booleans(),
    te_trailers=st.booleans(),
    trailers=st.lists(st.tuples(names, values), max_size=3),
)
def test_request_survives_writing_and_reading(
    method: bytes,
    target: bytes,
    headers: Headers,
    parts: list[bytes],
    chunked: bool,
    te_trailers: bool,
    trailers: Headers,
) -> None:
    body = b"".join(parts)
    length = -1 if chunked else len(body)
    head = RequestHead(method, target, b"a.test", headers, length, te_trailers=te_trailers)
    framing = request_framing(head)
    raw = [request_bytes(head)]
    for part in parts:
        raw += framing.data(part)
    raw += framing.end(trailers if chunked else None)
    first, *middle, last = RequestReader().receive_data(b"".join(raw))
    assert first == head
    assert b"".join(part for part in middle if isinstance(part, bytes)) == body
    assert last == EndOfMessage(trailers if chunked else [])


@given(
    status=st.integers(200, 599),
    reason=st.from_regex(r"\A([!-~][ -~]{0,20})?\Z").map(lambda text: text.rstrip().encode()),
    headers=fields,
    parts=bodies,
    chunked=st.booleans(),
)
def test_answer_survives_writing_and_reading(
    status: int, reason: bytes, headers: Headers, parts: list[bytes], chunked: bool
) -> None:
    if status in (204, 304):
        parts = []
    body = b"".join(parts)
    head = ResponseHead(
        status, reason, headers, 0 if status == 204 else -1 if chunked else len(body)
    )
    framing = response_framing(head, method=b"GET")
    raw = [response_bytes(head, method=b"GET")]
    for part in parts:
        raw += framing.data(part)
    raw += framing.end()
    first, *middle, last = ResponseReader(b"GET").receive_data(b"".join(raw))
    assert first == head
    assert b"".join(part for part in middle if isinstance(part, bytes)) == body
    assert last == EndOfMessage([])
