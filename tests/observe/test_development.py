"""Tapes become records: parts with their times, secrets gone, what cannot be searched left out."""

from __future__ import annotations

import gzip

import pytest
from websockets.frames import Frame, Opcode

from underpass.http.messages import RequestHead, ResponseHead
from underpass.observe.development import develop
from underpass.observe.record import Body, Messages, Outline
from underpass.observe.redaction import Redaction
from underpass.observe.tape import NOTHING, Side, Tape

pytestmark = pytest.mark.pure

JSON = [(b"Content-Type", b"application/json")]


def tape(kind: str = "http", room: int = 1000) -> Tape:
    made = Tape(1, kind, "203.0.113.7", 10.0, 1_795_000_000.0, Side(room), Side(room))
    made.request = RequestHead(b"POST", b"/x?token=abc", b"tools.test", [], 5)
    made.response, made.status = ResponseHead(200, b"OK", JSON), 200
    made.first, made.ended, made.outcome = 10.5, 11.0, "complete"
    return made


def developed(made: Tape, *, bodies: bool = True) -> tuple[Outline, Messages]:
    return develop(made, Redaction(), tunnel="tools", limit=1000 if bodies else 0)


def test_an_outline_says_what_passed() -> None:
    made = tape()
    made.up.take(b"hello", 10.1)
    outline, messages = developed(made)
    assert (outline.method, outline.target, outline.host) == (
        "POST",
        "/x?token=[redacted]",
        "tools.test",
    )
    assert (outline.first, outline.total, outline.up, outline.status) == (0.5, 1.0, 5, 200)
    assert messages.request.data == b"hello"
    assert messages.redacted == 1


def test_a_secret_across_parts_of_a_body_is_gone() -> None:
    made = tape()
    for part in (b'{"pass', b'word": "can', b'ary"}'):
        made.down.take(part, 10.6)
    body = developed(made)[1].response
    assert body == Body(data=b'{"password": "[redacted]"}', redacted=1)


def test_a_body_beyond_the_limit_is_cut_and_says_so() -> None:
    made = tape(room=10)
    made.down.take(b"0123456", 10.6)
    made.down.take(b"789abc", 10.7)
    body = developed(made)[1].response
    assert (body.data, body.cut, made.down.size) == (b"0123456789", True, 13)


def test_a_compressed_body_is_undone_to_be_searched() -> None:
    made = tape()
    made.response = ResponseHead(200, b"OK", [(b"Content-Encoding", b"gzip")])
    made.down.take(gzip.compress(b'{"secret": "canary"}'), 10.6)
    body = developed(made)[1].response
    assert (body.data, body.decoded) == (b'{"secret": "[redacted]"}', "gzip")


def test_a_bomb_is_undone_no_further_than_the_limit() -> None:
    made = tape(room=100_000)
    made.response = ResponseHead(200, b"OK", [(b"Content-Encoding", b"gzip")])
    made.down.take(gzip.compress(b"0" * 10_000_000), 10.6)
    body = developed(made)[1].response
    assert (len(body.data), body.cut) == (1000, True)


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, br"])
def test_a_coding_that_we_cannot_undo_is_not_kept(coding: bytes) -> None:
    made = tape()
    made.response = ResponseHead(200, b"OK", [(b"Content-Encoding", coding)])
    made.down.take(b"canary", 10.6)
    body = developed(made)[1].response
    assert (body.data, body.opaque) == (b"", f"coding {coding.decode()}")


def test_events_are_kept_one_by_one_with_their_times() -> None:
    made = tape("events")
    made.down.take(b"data: one\n", 10.6)
    made.down.take(b'\nid: 7\r\ndata: {"token":\r\nda', 10.7)
    made.down.take(b'ta: "canary"}\r\n\r\ndata: thr', 10.9)
    body = developed(made)[1].response
    assert [(round(p.at, 3), p.data) for p in body.parts] == [
        (0.7, b"data: one\n\n"),
        (0.9, b'id: 7\r\ndata: {"token":\r\ndata: "[redacted]"}\r\n\r\n'),
        (0.9, b"data: thr"),
    ]


def test_a_secret_in_the_fragments_of_one_message_is_gone_from_both() -> None:
    made = tape("websocket")
    made.up.take(Frame(Opcode.TEXT, b'{"password": "can', fin=False).serialize(mask=True), 10.6)
    made.up.take(Frame(Opcode.PING, b"").serialize(mask=True), 10.7)
    made.up.take(Frame(Opcode.CONT, b'ary", "a": 1}').serialize(mask=True), 10.8)
    made.down.take(Frame(Opcode.TEXT, b"hi").serialize(mask=False), 10.9)
    _, messages = developed(made)
    assert [(p.kind, p.data, p.final) for p in messages.request.parts] == [
        ("text", b'{"password": "[redacted]', False),
        ("ping", b"", True),
        ("continuation", b'[redacted]", "a": 1}', True),
    ]
    assert [(round(p.at, 3), p.data) for p in messages.response.parts] == [(0.9, b"hi")]


def test_plain_bytes_are_counted_and_not_kept() -> None:
    made = tape("tcp")
    made.up.take(b"PASS canary", 10.6)
    _, messages = developed(made)
    assert messages.request == Body(cut=True, opaque="bytes")


def test_with_heads_only_parts_have_sizes_and_no_content() -> None:
    made = tape("websocket")
    made.up.take(Frame(Opcode.TEXT, b"canary").serialize(mask=True), 10.6)
    _, messages = developed(made, bodies=False)
    assert [(p.size, p.data) for p in messages.request.parts] == [(6, b"")]
    made = tape(room=0)
    made.down.take(b"canary", 10.6)
    assert developed(made, bodies=False)[1].response.opaque == "heads only"


def test_a_form_loses_its_secret_fields() -> None:
    made = tape()
    made.request = RequestHead(
        b"POST", b"/", b"h", [(b"Content-Type", b"application/x-www-form-urlencoded")], 5
    )
    made.up.take(b"user=bob&pass%77ord=canary+x&b=1", 10.1)
    assert developed(made)[1].request.data == b"user=bob&pass%77ord=[redacted]&b=1"


def test_an_event_stream_that_was_there_at_once_is_kept_as_its_events() -> None:
    made = tape()
    others = [(b"X-Like-Other", b"text/event-stream"), (b"content-type", b"text/event-stream")]
    made.response = ResponseHead(200, b"OK", others)
    made.take_down(b"data: 1\n\ndata: 2\n\n", 10.5)
    outline, messages = developed(made)
    assert outline.kind == "events"
    assert [part.data for part in messages.response.parts] == [b"data: 1\n\n", b"data: 2\n\n"]


def test_an_answer_that_names_a_code_of_ours_was_ours() -> None:
    made = tape()
    made.outcome = "open"
    assert developed(made)[0].outcome == "complete"
    made.response, made.answered = (
        ResponseHead(502, b"", [(b"Underpass-Error", b"origin-away")]),
        None,
    )
    outline = developed(made)[0]
    assert (outline.outcome, outline.code) == ("answered", "origin-away")


def test_where_nothing_came_nothing_is_made() -> None:
    made = Tape(1, "http", "", 10.0, 1_795_000_000.0, NOTHING, NOTHING, 8)
    assert developed(made)[1].request == Body()
    made.take_up(b"0123456789", 10.1)
    assert (made.up.size, made.up.cut, NOTHING.size) == (10, True, 0)
