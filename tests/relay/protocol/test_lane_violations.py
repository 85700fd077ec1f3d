"""What breaks the protocol: always a ``ProtocolViolation``, after which the lane is given up."""

from __future__ import annotations

import msgspec
import pytest
from lane_pair import Pair

from underpass.relay.protocol import frames
from underpass.relay.protocol.budget import FIRST_CREDIT
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.frames import frame
from underpass.relay.protocol.records import Open, encode

pytestmark = pytest.mark.pure

F = frames


def opening(number: int, **fields: object) -> bytes:
    given: dict[str, object] = {"kind": "tcp", "credit": 65536, "taken": 65536, **fields}
    return frame(F.OPEN, number, encode(Open(**given)))  # type: ignore[arg-type]


def lease(value: object) -> bytes:
    return frame(F.LEASE, 0, msgspec.msgpack.encode(value))


TO_THE_CONNECTOR = {
    "data for a stream never opened": frame(F.DATA, 9, b"x"),
    "data for stream 0": frame(F.DATA, 0, b"x"),
    "end for a stream never opened": frame(F.FIN, 2),
    "credit for a stream never opened": F.credit_frame(9, 1),
    "reset for a stream never opened": F.reset_frame(9, F.ABORT, "x"),
    "head for a stream never opened": frame(F.HEAD, 9, b"x"),
    "a number used twice": opening(1),
    "stream 0 opened": opening(0),
    "an open that is no record": frame(F.OPEN, 2, b"\xc1"),
    "an open without its fields": frame(F.OPEN, 2, msgspec.msgpack.encode({"kind": "tcp"})),
    "an open that is empty": frame(F.OPEN, 2),
    "an open with a text that is none": opening(2, token="abcd").replace(b"abcd", b"\xff" * 4),
    "an open with a bottomless field": frame(F.OPEN, 2, b"\x84\xa1x" + b"\x91" * 10_000 + b"\xc0"),
    "an open that takes no credit": opening(2, taken=0),
    "an open that takes too much credit": opening(2, taken=FIRST_CREDIT + 1),
    "an open that takes negative credit": opening(2, taken=-1),
    "an open that gives negative credit": opening(2, credit=-1),
    "an open that gives too much credit": opening(2, credit=2**31),
    "an open whose head is beyond its credit": opening(2, taken=4, head=b"12345"),
    "an open whose body is beyond its credit": opening(2, taken=4, head=b"12", body=b"345"),
    "data beyond credit": frame(F.DATA, 1, bytes(40_000)) + frame(F.DATA, 1, bytes(25_537)),
    "last data beyond credit": frame(F.DATA | F.END, 1, bytes(65_537)),
    "a whole message beyond credit": b"".join(
        (frame(F.DATA, 1, bytes(60_000)), frame(F.FULL, 1, F.U32.pack(0) + bytes(10_000)))
    ),
    "a block over its limit": frame(F.HEAD | F.MORE, 1, bytes(60_000)) * 2,
    "data after the end": frame(F.FIN, 1) + frame(F.DATA, 1, b"x"),
    "data after its own end": frame(F.DATA | F.END, 1, b"x") + frame(F.DATA, 1, b"x"),
    "a second end": frame(F.FIN, 1) + frame(F.FIN, 1),
    "a head after the end": frame(F.FIN, 1) + frame(F.HEAD, 1, b"x"),
    "trailers after the end": frame(F.FIN, 1) + frame(F.TRAILERS, 1, b"x"),
    "a whole message after the end": frame(F.FIN, 1) + frame(F.FULL, 1, F.U32.pack(0)),
    "data after abort": F.reset_frame(1, F.ABORT, "x") + frame(F.DATA, 1, b"x"),
    "a whole message that is too short": frame(F.FULL, 1, b"\0\0"),
    "a whole message that is empty": frame(F.FULL, 1),
    "a whole message whose head is longer": frame(F.FULL, 1, F.U32.pack(3) + b"ab"),
    "credit that is too short": frame(F.CREDIT, 1, b"\0\0\1"),
    "credit that is empty": frame(F.CREDIT, 1),
    "credit over all bounds": F.credit_frame(1, 2**31),
    "credit over all bounds, in steps": F.credit_frame(1, 2**30) * 2,
    "a reset that is empty": frame(F.RESET, 1),
    "a reset without a code": frame(F.RESET, 1, b"\1"),
    "a reset of no direction": frame(F.RESET, 1, b"\0code"),
    "a reset of a third direction": frame(F.RESET, 1, b"\3code"),
    "a reset with a foreign alphabet": frame(F.RESET, 1, b"\1c\xf6de"),
    "a reset with a line break": frame(F.RESET, 1, b"\1code\r\nx: y"),
    "a reset with an escape": frame(F.RESET, 1, b"\1\x1b[31m"),
    "a limit that is too short": frame(F.LIMIT, 0, b"\0"),
    "a lease that is a text": lease("tomorrow"),
    "a lease that is no number": lease(float("nan")),
    "a lease without end": lease(float("inf")),
    "a lease that is empty": frame(F.LEASE, 0),
    "an acknowledgement of bytes never sent": F.ack_frame(2**40),
    "an acknowledgement that is too short": frame(F.ACK, 0, b"\0"),
    "an acknowledgement that is empty": frame(F.ACK, 0),
    "an unknown type": frame(0x1F, 1),
    "no type": frame(0, 1),
    "an end on credit": frame(F.CREDIT | F.END, 1, b"\0\0\0\1"),
    "more on data": frame(F.DATA | F.MORE, 1, b"x"),
}


@pytest.mark.parametrize("what", TO_THE_CONNECTOR)
def test_relay_breaks_the_protocol_by(what: str) -> None:
    pair = Pair()
    pair.open("tcp")
    with pytest.raises(ProtocolViolation):
        pair.connector.receive(TO_THE_CONNECTOR[what], 0.0)
    pair.connector.lane.events()
    pair.connector.lane.close("protocol-violation")
    assert pair.connector.budget.used == 0


@pytest.mark.parametrize("what", TO_THE_CONNECTOR)
def test_it_is_broken_at_whatever_byte_it_is_cut(what: str) -> None:
    data = TO_THE_CONNECTOR[what]
    step = max(1, len(data) // 40)
    for cut in range(0, len(data), step):
        pair = Pair()
        pair.open("tcp")
        lane = pair.connector.lane
        with pytest.raises(ProtocolViolation):
            [lane.receive_data(part, 0.0) for part in (data[:cut], data[cut:])]


@pytest.mark.parametrize(
    "what", [name for name in TO_THE_CONNECTOR if "open" not in name and "used twice" not in name]
)
def test_connector_breaks_the_protocol_by(what: str) -> None:
    pair = Pair()
    pair.open("tcp")
    with pytest.raises(ProtocolViolation):
        pair.relay.receive(TO_THE_CONNECTOR[what], 0.0)


def test_connector_opens_no_streams() -> None:
    pair = Pair()
    with pytest.raises(ProtocolViolation):
        pair.relay.receive(opening(1), 0.0)


HARMLESS = {
    "data without bytes": frame(F.DATA, 1) * 100,
    "credit of nothing": F.credit_frame(1, 0),
    "a reset of what is over": F.reset_frame(1, F.ABORT, "x") * 2,
    "two stops": F.reset_frame(1, F.STOP, "x") * 2,
    "an acknowledgement twice": F.ack_frame(0) * 2,
    "a ping": frame(F.PING, 0, b"12345678"),
    "a ping without a word": frame(F.PING, 0),
    "a limit": frame(F.LIMIT, 0, F.U32.pack(4096)),
    "a lease that is a whole number": lease(5),
    "an empty head": frame(F.HEAD, 1),
    "a block that is never finished": frame(F.HEAD | F.MORE, 1, b"x") + frame(F.FIN, 1),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_odd_but_allowed(what: str) -> None:
    pair = Pair()
    mine, theirs = pair.open("tcp")
    pair.connector.receive(HARMLESS[what], 0.0)
    if "reset" not in what and "stops" not in what:
        theirs.send_data(b"the lane lives")
        pair.write()
        pair.carry()
        assert bytes(pair.said(mine).body) == b"the lane lives"


def test_record_with_fields_of_a_newer_release_is_understood() -> None:
    pair = Pair()
    record = {"kind": "tcp", "credit": 5, "taken": 65536, "colour": "red", "more": {"x": [1]}}
    pair.connector.receive(frame(F.OPEN, 1, msgspec.msgpack.encode(record)), 0.0)
    assert pair.connector.heard[1].stream.credit == 5


def test_numbers_may_be_left_out() -> None:
    pair = Pair()
    pair.connector.receive(opening(5) + opening(9), 0.0)
    pair.connector.receive(frame(F.DATA, 7, b"of a stream that might have been"), 0.0)
    assert set(pair.connector.heard) == {5, 9}
    with pytest.raises(ProtocolViolation):
        pair.connector.receive(opening(6), 0.0)
