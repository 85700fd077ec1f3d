"""Where between frames a close may be put: the same whichever way the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from underpass.http.websocket import POLICY, FrameBoundary, close_frame

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)
KINDS = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.PONG)


def frame(size: int, opcode: Opcode = Opcode.BINARY, *, mask: bool = False) -> bytes:
    return Frame(opcode, b"\x88" * size).serialize(mask=mask)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_may_follow_a_whole_one_and_no_part_of_one(size: int, mask: bool) -> None:
    data = frame(size, mask=mask)
    for cut in {1, 2, 3, 9, 10, 13, len(data) - 1} - {0}:
        if cut < len(data):
            boundary = FrameBoundary()
            boundary.receive_data(data[:cut])
            assert not boundary.is_between_frames, cut
            boundary.receive_data(data[cut:])
            assert boundary.is_between_frames


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 300), st.booleans()), max_size=6),
    st.data(),
)
def test_it_makes_no_difference_how_the_bytes_are_cut(
    frames: list[tuple[Opcode, int, bool]], data: st.DataObject
) -> None:
    stream, ends = b"", {0}
    for opcode, size, mask in frames:
        stream += frame(min(size, 125) if opcode & 8 else size, opcode, mask=mask)
        ends.add(len(stream))
    at, boundary = 0, FrameBoundary()
    while True:
        assert boundary.is_between_frames is (at in ends)
        if at == len(stream):
            break
        step = data.draw(st.integers(1, len(stream) - at))
        boundary.receive_data(stream[at : at + step])
        at += step


def test_nothing_may_follow_a_close() -> None:
    boundary = FrameBoundary()
    boundary.receive_data(frame(3) + Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False))
    assert not boundary.is_between_frames


def test_our_close_says_its_code_and_reason() -> None:
    reader = StreamReader()
    reader.feed_data(close_frame(POLICY, "admission-ended"))
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    read = done.value.value
    assert read.opcode is Opcode.CLOSE
    assert Close.parse(read.data) == Close(1008, "admission-ended")
    assert len(close_frame(POLICY, "x" * 200)) == 127
