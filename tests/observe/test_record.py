"""Records: ids that sort by time, and objects whose form is pinned."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.observe.record import (
    Body,
    Ids,
    Messages,
    Outline,
    Part,
    decode_messages,
    decode_outline,
    encode,
    exchange_object,
    first_id,
    format_id,
    parse_id,
)

pytestmark = pytest.mark.pure


@given(st.integers(0, (1 << 63) - 1))
def test_an_id_round_trips_as_text(number: int) -> None:
    assert parse_id(format_id(number)) == number
    assert parse_id(format_id(number).upper()) == number


@pytest.mark.parametrize("text", ["", "abc", "1" * 14, "1m83whq5s3wu!", "z" * 13])
def test_other_text_is_no_id(text: str) -> None:
    assert parse_id(text) is None


def test_ids_of_one_millisecond_differ_and_later_ones_are_larger() -> None:
    ids = Ids()
    made = [ids.new(1000.0) for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert max(made) < ids.new(1000.001)
    assert first_id(1000.0) <= min(made)


def test_a_record_round_trips_and_an_older_one_is_read() -> None:
    outline = Outline(7, "tools", "http", 1.0, method="GET", total=0.5)
    messages = Messages(request=Body(parts=[Part(0.1, "text", 3, b"abc")]))
    assert decode_outline(encode(outline)) == outline
    assert decode_messages(encode(messages)) == messages
    older = msgspec.msgpack.encode(msgspec.to_builtins(outline)[:6])
    assert decode_outline(older).method == "GET"


def test_the_object_of_an_exchange_is_pinned() -> None:
    outline = Outline(7, "tools", "http", 1.5, method="GET", target="/", host="h", status=200)
    messages = Messages(
        request_fields=[(b"A", b"b")],
        response=Body(data=b"\xff", cut=True, redacted=1),
        reason=b"OK",
    )
    assert exchange_object(outline, messages) == {
        "schema": "underpass/v1/request",
        "id": "0000000000007",
        "tunnel": "tools",
        "kind": "http",
        "at": 1.5,
        "method": "GET",
        "target": "/",
        "host": "h",
        "status": 200,
        "outcome": "open",
        "code": "",
        "gate": "",
        "visitor": "",
        "identity": "",
        "first": None,
        "total": None,
        "up": 0,
        "down": 0,
        "replay_of": "",
        "request": {"headers": [["A", "b"]], "redacted": 0, "body": {"cut": False, "text": ""}},
        "response": {
            "reason": "OK",
            "headers": [],
            "redacted": 1,
            "body": {"cut": True, "base64": "/w=="},
        },
    }
