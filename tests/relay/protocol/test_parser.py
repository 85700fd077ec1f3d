"""From bytes to frames, wherever the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lane_pair import parse

from underpass.relay.protocol import frames
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.parser import COPY_BELOW, FrameParser

pytestmark = pytest.mark.pure

EVERY_KIND = {
    "open": (frames.OPEN, 1, b"a record"),
    "data": (frames.DATA, 1, b"some bytes"),
    "data-end": (frames.DATA | frames.END, 1, b"last bytes"),
    "data-empty": (frames.DATA, 1, b""),
    "data-empty-end": (frames.DATA | frames.END, 1, b""),
    "head": (frames.HEAD, 2, b"a head"),
    "head-more": (frames.HEAD | frames.MORE, 2, b"a part"),
    "trailers": (frames.TRAILERS, 2, b"trailers"),
    "trailers-more": (frames.TRAILERS | frames.MORE, 2, b"a part"),
    "full": (frames.FULL, 3, b"\0\0\0\2hebody"),
    "credit": (frames.CREDIT, 3, b"\0\0\1\0"),
    "reset": (frames.RESET, 3, b"\1gone"),
    "limit": (frames.LIMIT, 0, b"\0\0\x10\0"),
    "lease": (frames.LEASE, 0, b"\xcb\0\0\0\0\0\0\0\0"),
    "fin": (frames.FIN, 4, b""),
    "greeting": (frames.GREETING, 0, b"a record"),
    "ping": (frames.PING, 0, b"12345678"),
    "pong": (frames.PONG, 0, b"12345678"),
    "ack": (frames.ACK, 0, b"\0\0\0\0\0\0\0\1"),
    "drain": (frames.DRAIN, 0, b"a record"),
}
SEQUENCE = b"".join(frames.frame(*one) for one in EVERY_KIND.values())
COUNTED = sum(
    frames.HEADER_SIZE + len(payload)
    for kind, _, payload in EVERY_KIND.values()
    if not kind & frames.LINK
)


@pytest.mark.parametrize("name", EVERY_KIND)
def test_frame_comes_out_as_it_went_in(name: str) -> None:
    expected = EVERY_KIND[name]
    assert parse(frames.frame(*expected)) == [expected]


@pytest.mark.parametrize("name", EVERY_KIND)
def test_frame_cut_at_every_byte_is_the_same_frame(name: str) -> None:
    expected = EVERY_KIND[name]
    data = frames.frame(*expected)
    for cut in range(len(data) + 1):
        assert parse(data, cut) == [expected]


@pytest.mark.parametrize("name", EVERY_KIND)
def test_frame_that_comes_byte_by_byte_is_the_same_frame(name: str) -> None:
    expected = EVERY_KIND[name]
    data = frames.frame(*expected)
    assert parse(data, *range(len(data))) == [expected]


@pytest.mark.parametrize("name", EVERY_KIND)
def test_only_lane_frames_are_counted(name: str) -> None:
    kind, stream, payload = EVERY_KIND[name]
    data = frames.frame(kind, stream, payload)
    parser = FrameParser()
    for byte in data:
        parser.receive_data(bytes((byte,)))
    assert parser.received == (0 if kind & frames.LINK else len(data))


@pytest.mark.parametrize("name", EVERY_KIND)
def test_lost_link_forgets_a_link_frame_and_keeps_a_lane_frame(name: str) -> None:
    kind, stream, payload = EVERY_KIND[name]
    data = frames.frame(kind, stream, payload)
    for cut in range(1, len(data)):
        parser = FrameParser()
        parser.receive_data(data[:cut])
        parser.link_lost()
        rest = data if kind & frames.LINK else data[cut:]
        assert parser.received == (0 if kind & frames.LINK else cut)
        items = parser.receive_data(rest)
        assert items[-1][:2] == (kind, stream)
        assert items[-1][3]
        assert parser.between_frames


@given(st.lists(st.integers(0, len(SEQUENCE)), max_size=12))
def test_sequence_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    assert parse(SEQUENCE, *cuts) == list(EVERY_KIND.values())


def test_sequence_counts_every_lane_byte() -> None:
    parser = FrameParser()
    parser.receive_data(SEQUENCE)
    assert parser.received == COUNTED


def test_data_is_handed_out_as_it_arrives_without_copies() -> None:
    payload = bytes(range(256)) * 16
    data = frames.frame(frames.DATA, 7, payload)
    parser = FrameParser()
    (first,) = parser.receive_data(data[:100])
    assert isinstance(first[2], memoryview)
    assert first[3] is False
    rest = data[100:]
    (second,) = parser.receive_data(rest)
    assert second[2] is rest
    assert bytes(first[2]) + second[2] == payload


@pytest.mark.parametrize("size", [1, COPY_BELOW - 1, COPY_BELOW, 16 * 1024])
def test_a_small_payload_keeps_no_read_alive_and_a_large_one_is_not_copied(size: int) -> None:
    parser = FrameParser()
    data = frames.frame(frames.DATA, 7, b"x" * size)
    ((kind, stream, payload, complete),) = parser.receive_data(data + data[:3])
    assert (kind, stream, bytes(payload), complete) == (frames.DATA, 7, b"x" * size, True)
    assert isinstance(payload, bytes if size < COPY_BELOW else memoryview)
    assert parser.received == len(data) + 3


def test_data_is_not_between_frames_until_its_last_byte() -> None:
    data = frames.frame(frames.DATA, 7, b"abc")
    parser = FrameParser()
    states = []
    for byte in data:
        parser.receive_data(bytes((byte,)))
        states.append(parser.between_frames)
    assert states == [False] * 10 + [True]


def test_nothing_is_nothing() -> None:
    parser = FrameParser()
    assert parser.receive_data(b"") == []
    parser.receive_data(b"\2")
    assert parser.receive_data(b"") == []
    assert parser.received == 1


KNOWN = {
    *(kind for kind, _, _ in EVERY_KIND.values()),
}


@pytest.mark.parametrize("kind", sorted(set(range(256)) - KNOWN))
def test_type_or_flag_that_is_not_listed_breaks_the_protocol(kind: int) -> None:
    data = frames.header(kind, 1, 0)
    with pytest.raises(ProtocolViolation):
        FrameParser().receive_data(data)
    parser = FrameParser()
    parser.receive_data(data[:5])
    with pytest.raises(ProtocolViolation):
        parser.receive_data(data[5:])


LIMITS = {**frames.CONTROL_LIMITS, frames.DATA: frames.ALONE}


@pytest.mark.parametrize("kind", sorted(LIMITS))
def test_payload_of_the_largest_size_is_taken_and_one_byte_more_is_not(kind: int) -> None:
    limit = LIMITS[kind]
    parser = FrameParser()
    parser.receive_data(frames.frame(kind, 1, bytes(limit)))
    assert parser.between_frames
    for cut in (3, frames.HEADER_SIZE):
        header = frames.header(kind, 1, limit + 1)
        parser = FrameParser()
        assert parser.receive_data(header[: cut - 1]) == []
        with pytest.raises(ProtocolViolation):
            parser.receive_data(header[cut - 1 :])


def test_oversized_payload_is_refused_before_it_is_kept() -> None:
    with pytest.raises(ProtocolViolation):
        FrameParser().receive_data(frames.header(frames.OPEN, 1, frames.OPEN_LIMIT + 1))


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_frames_or_a_violation(data: bytes, cut: int) -> None:
    def outcome(*parts: bytes) -> object:
        parser = FrameParser()
        try:
            for part in parts:
                parser.receive_data(part)
        except ProtocolViolation as error:
            return error.reason
        return parser.received, parser.between_frames

    assert outcome(data) == outcome(data[:cut], data[cut:])
