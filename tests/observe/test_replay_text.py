"""A request as text: written, edited, read back; and what keeps one from being sent again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from underpass.observe.errors import ReplayImpossible, ReplayText
from underpass.observe.record import Body, Messages, Outline
from underpass.observe.redaction import WORD
from underpass.observe.replay_text import (
    ReplayRequest,
    read_text,
    recorded_request,
    with_headers,
    write_text,
)

pytestmark = pytest.mark.pure

REQUEST = ReplayRequest(
    b"POST", b"/hooks?x=1", b"tools.test", [(b"Content-Type", b"text/plain")], b"a\n\nb\r\n"
)


def test_what_is_written_is_read_back_to_the_byte() -> None:
    assert read_text(write_text(REQUEST, ["a note", "another"])) == REQUEST


def test_lines_of_the_head_may_end_with_crlf_and_framing_fields_are_ours() -> None:
    text = b"GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\nA: b\r\n\r\nbody"
    assert read_text(text) == ReplayRequest(b"GET", b"/x", b"h", [(b"A", b"b")], b"body")


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"# only a note\n", b"GET", b"GET x HTTP/1.1\nHost: h\n\n", b"GET / HTTP/1.1\n\n"),
        *(b"G T /\nHost: h\n\n", b"GET /\nHost: h\nno header\n\n"),
        b"GET /\nHost: h\nA b: c\n\n",
    ],
)
def test_replay_text_invalid(text: bytes) -> None:
    with pytest.raises(ReplayText) as caught:
        read_text(text)
    assert caught.value.code == "replay-text-invalid"


def test_headers_are_set_replaced_and_removed() -> None:
    changed = with_headers(REQUEST, [("content-type", ""), ("A", "b"), ("Host", "other.test")])
    assert (changed.headers, changed.host) == ([(b"A", b"b")], b"other.test")


def test_what_stands_for_secrets_is_named_and_left_out() -> None:
    request = replace(
        REQUEST, target=b"/x?token=%b&b=1" % WORD, headers=[(b"Cookie", WORD), (b"A", b"b")]
    )
    assert request.redacted == ["target", "Cookie"]
    left = request.without_redacted()
    assert (left.target, left.headers) == (b"/x?b=1", [(b"A", b"b")])
    assert left.redacted == []


OUTLINE = Outline(1, "tools", "http", 1.0, method="POST", target="/", host="h", up=5)
WHOLE = Messages(request=Body(data=b"hello"))


def test_a_whole_request_can_be_sent_again() -> None:
    assert recorded_request(OUTLINE, WHOLE).body == b"hello"


@pytest.mark.parametrize(
    ("outline", "messages"),
    [
        (OUTLINE, Messages(request=Body(data=b"hel", cut=True))),
        (OUTLINE, Messages(request=Body(data=b"hel"))),
        (OUTLINE, Messages(request=Body(opaque="heads only"))),
        (OUTLINE, Messages(request=Body(data=b"hello", decoded="gzip"))),
        (Outline(1, "tools", "websocket", 1.0), WHOLE),
        (Outline(1, "tools", "tcp", 1.0), WHOLE),
    ],
)
def test_replay_impossible(outline: Outline, messages: Messages) -> None:
    with pytest.raises(ReplayImpossible) as caught:
        recorded_request(outline, messages)
    assert caught.value.code == "replay-impossible"


def test_a_cut_body_can_be_made_whole_by_hand() -> None:
    cut = Messages(request=Body(data=b"hel", cut=True))
    assert recorded_request(OUTLINE, cut, edited=True).body == b"hel"
