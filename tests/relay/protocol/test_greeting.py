"""The first words on a link."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.relay.protocol import frames
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.frames import GREETING_LIMIT, frame
from underpass.relay.protocol.greeting import GreetingReader, greeting_frame
from underpass.relay.protocol.records import (
    Challenge,
    Refuse,
    SignedHello,
    Welcome,
    decode_greeting,
    encode,
)

pytestmark = pytest.mark.pure

RECORDS = [
    Challenge(relay="relay.example.com", nonce=b"n" * 32, now=1.5),
    SignedHello(body=b"body", signature=b"s" * 64),
    Welcome(
        name="tools", epoch=1, lane=b"L" * 16, generation=1, received=0, credit=5, lease_end=9.0
    ),
    Refuse(code="stale-link", message="cannot", hint="wait", retry_after=2.0),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_greeting_arrives_however_it_is_cut(record: object) -> None:
    data = greeting_frame(record)  # type: ignore[arg-type]
    for cut in range(1, len(data)):
        reader = GreetingReader()
        reader.receive_data(data[:cut])
        assert reader.next_record() is None
        reader.receive_data(data[cut:])
        taken = reader.next_record()
        assert taken is not None
        assert taken == (record, data[frames.HEADER_SIZE :])
        assert reader.next_record() is None
        assert reader.rest() == b""


def test_bytes_after_the_last_greeting_belong_to_the_lane() -> None:
    reader = GreetingReader()
    reader.receive_data(greeting_frame(RECORDS[0]) + greeting_frame(RECORDS[2]) + b"\2lane bytes")
    assert reader.next_record() is not None
    assert reader.next_record() is not None
    assert reader.rest() == b"\2lane bytes"
    assert reader.rest() == b""


def test_nothing_at_all_is_no_greeting_yet() -> None:
    reader = GreetingReader()
    reader.receive_data(b"")
    assert reader.next_record() is None


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1", b"\x16\x03\x01", b"\0", frame(frames.PING, 0, b"12345678")]
)
def test_what_is_no_greeting_is_refused_at_its_first_byte(first: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        GreetingReader().receive_data(first[:1])


def test_greeting_over_its_limit_is_refused_before_it_is_kept() -> None:
    reader = GreetingReader()
    reader.receive_data(frames.header(frames.GREETING, 0, GREETING_LIMIT + 1))
    with pytest.raises(ProtocolViolation):
        reader.next_record()


def test_flood_before_anything_is_agreed_is_refused() -> None:
    reader = GreetingReader()
    reader.receive_data(greeting_frame(RECORDS[0]))
    with pytest.raises(ProtocolViolation):
        reader.receive_data(bytes(4 * GREETING_LIMIT))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\xc0",
        b"\x80",
        msgspec.msgpack.encode({"t": "unheard-of"}),
        msgspec.msgpack.encode({"t": "challenge"}),
        msgspec.msgpack.encode({"t": "challenge", "relay": 1, "nonce": b"", "now": 0.0}),
        msgspec.msgpack.encode({"t": "refuse", "code": "x", "message": None}),
        msgspec.msgpack.encode([1, 2, 3]),
        msgspec.msgpack.encode({"t": "challenge", "relay": "r", "nonce": b"n", "now": 0.0}) + b"x",
        msgspec.msgpack.encode({"t": "refuse", "code": "abc", "message": ""}).replace(
            b"abc", b"\xff\xfe\xfd"
        ),
        b"\x82\xa1t\xa9challenge\xa4deep" + b"\x91" * 10_000 + b"\xc0",
    ],
    ids=lambda payload: repr(payload[:24]),
)
def test_greeting_that_is_no_record_is_refused(payload: bytes) -> None:
    reader = GreetingReader()
    reader.receive_data(frame(frames.GREETING, 0, payload))
    with pytest.raises(ProtocolViolation):
        reader.next_record()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_record_with_fields_of_a_newer_release_is_understood(record: object) -> None:
    fields = msgspec.msgpack.decode(encode(record))  # type: ignore[arg-type]
    newer = msgspec.msgpack.encode({**fields, "colour": "red", "deep": {"x": [1, None]}})
    assert decode_greeting(newer) == record


@given(st.binary(max_size=100))
def test_any_bytes_are_a_greeting_or_a_violation(data: bytes) -> None:
    reader = GreetingReader()
    try:
        reader.receive_data(data)
        while reader.next_record() is not None:
            pass
    except ProtocolViolation:
        pass
