"""Reach on the wire: one stream a connection."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.relay.protocol import frames
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.frames import frame
from underpass.relay.protocol.reach import (
    FIN_FRAME,
    Broken,
    Ended,
    ReachAnswer,
    ReachChannel,
    ReachEvent,
    ReachHello,
    data_header,
    greeting,
    reset,
)

pytestmark = pytest.mark.pure

HELLO = ReachHello(name="tools", token="up_secret")
YES = ReachAnswer(ok=True)
NO = ReachAnswer(ok=False, code="no-such-tunnel", message="cannot", hint="look")


def joined(events: list[ReachEvent]) -> list[object]:
    """Events with neighbouring data joined."""
    found: list[object] = []
    for event in events:
        if isinstance(event, bytes | memoryview):
            if found and isinstance(found[-1], bytes):
                found[-1] += bytes(event)
            else:
                found.append(bytes(event))
        else:
            found.append(event)
    return found


def data(payload: bytes) -> bytes:
    return data_header(len(payload)) + payload


TALK = greeting(HELLO) + data(b"one") + data(b"two") + FIN_FRAME
TOLD = [HELLO, b"onetwo", Ended()]


@pytest.mark.parametrize("record", [HELLO, YES, NO], ids=str)
def test_greeting_comes_first(record: ReachHello | ReachAnswer) -> None:
    assert ReachChannel().receive_data(greeting(record)) == [record]


def test_talk_is_the_same_cut_at_every_byte() -> None:
    for cut in range(len(TALK) + 1):
        channel = ReachChannel()
        events = channel.receive_data(TALK[:cut]) + channel.receive_data(TALK[cut:])
        assert joined(events) == TOLD


def test_reset_carries_the_gatehouse_s_code() -> None:
    channel = ReachChannel()
    assert channel.receive_data(greeting(YES) + reset("gate-refused")) == [
        YES,
        Broken(code="gate-refused"),
    ]


def test_stream_may_break_after_its_end() -> None:
    channel = ReachChannel()
    channel.receive_data(TALK)
    assert channel.receive_data(reset("origin-gone")) == [Broken(code="origin-gone")]


def test_largest_data_is_a_quarter_mebibyte() -> None:
    channel = ReachChannel()
    channel.receive_data(greeting(YES))
    assert joined(channel.receive_data(data(bytes(256 * 1024)))) == [bytes(256 * 1024)]
    with pytest.raises(ProtocolViolation):
        channel.receive_data(data_header(256 * 1024 + 1))


VIOLATIONS = {
    "data before the greeting": data(b"x"),
    "an end before the greeting": FIN_FRAME,
    "another record": frame(frames.GREETING, 0, msgspec.msgpack.encode({"t": "challenge"})),
    "no record": frame(frames.GREETING, 0, b"\xc1"),
    "a name that is no text": greeting(HELLO).replace(b"tools", b"\xff" * 5),
    "a bottomless record": frame(frames.GREETING, 0, b"\x82\xa1x" + b"\x91" * 9_000 + b"\xc0"),
    "two greetings": greeting(HELLO) * 2,
    "data after the end": TALK + data(b"x"),
    "two ends": TALK + FIN_FRAME,
    "an end on data": greeting(HELLO) + frame(frames.DATA | frames.END, 0, b"x"),
    "credit": greeting(HELLO) + frames.credit_frame(0, 5),
    "an open": greeting(HELLO) + frame(frames.OPEN, 0, b"x"),
    "a head": greeting(HELLO) + frame(frames.HEAD, 0, b"x"),
    "a ping": greeting(HELLO) + frame(frames.PING, 0, b"12345678"),
    "an acknowledgement": greeting(HELLO) + frames.ack_frame(0),
    "an empty reset": greeting(HELLO) + frame(frames.RESET, 0),
    "a stop": greeting(HELLO) + frames.reset_frame(0, frames.STOP, "x"),
    "a reset without a code": greeting(HELLO) + frame(frames.RESET, 0, b"\1"),
    "a reset that talks to the terminal": greeting(HELLO) + frame(frames.RESET, 0, b"\1\x1b[2J"),
    "a reset in capitals": greeting(HELLO) + frame(frames.RESET, 0, b"\1Gone"),
}


@pytest.mark.parametrize("what", VIOLATIONS)
def test_reach_connection_is_broken_by(what: str) -> None:
    with pytest.raises(ProtocolViolation):
        ReachChannel().receive_data(VIOLATIONS[what])


def test_fields_of_a_newer_release_are_ignored() -> None:
    payload = msgspec.msgpack.encode(
        {"t": "reach", "version": 1, "name": "tools", "token": "up_secret", "colour": "red"}
    )
    assert ReachChannel().receive_data(frame(frames.GREETING, 0, payload)) == [HELLO]


def test_token_is_in_no_repr() -> None:
    assert repr(HELLO) == "ReachHello(name='tools', token=[hidden])"


@given(st.binary(max_size=120), st.integers(0, 120))
def test_any_bytes_are_a_talk_or_a_violation(garbage: bytes, cut: int) -> None:
    channel = ReachChannel()
    try:
        channel.receive_data(TALK[: cut % len(TALK)])
        channel.receive_data(garbage)
    except ProtocolViolation:
        pass
