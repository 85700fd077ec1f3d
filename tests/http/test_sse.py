"""A comment goes between two complete events, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.http.messages import ResponseHead
from underpass.http.sse import COMMENT, EventBoundary, may_comment


def between(data: bytes, size: int = 1 << 20) -> bool:
    boundary = EventBoundary()
    for at in range(0, len(data), size):
        boundary.receive_data(data[at : at + size])
    return boundary.is_between_events


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", True),
        (b"data: x", False),
        (b"data: x\n", False),
        (b"data: x\n\n", True),
        (b"data: x\r\n", False),
        (b"data: x\r\n\r", False),
        (b"data: x\r\n\r\n", True),
        (b"data: x\r", False),
        (b"data: x\r\r", True),
        (b"data: x\n\r\n", True),
        (b"data: x\n\r", False),
        (b"data: x\r\r\n", True),
        (b"data: x\n\ndata", False),
        (b": hi\n\n", True),
        (b"\n", True),
        (b"\r\n", True),
        (b"\n\n\n", True),
        (b"d", False),
    ],
)
def test_boundary_is_seen_in_whatever_pieces(data: bytes, expected: bool) -> None:
    for size in (1, 2, 3, 1 << 20):
        assert between(data, size) is expected


def events_of(stream: str) -> list[tuple[str, ...]]:
    """The events of a whole stream, as WHATWG HTML 9.2.6 dispatches them."""
    events: list[tuple[str, ...]] = []
    lines: list[str] = []
    for line in stream.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        if line.startswith(":"):
            continue
        if line:
            lines.append(line)
        elif lines:
            events.append(tuple(lines))
            lines = []
    return events


@given(
    pieces=st.lists(
        st.sampled_from(["data: x", "id: 1", ":c", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\r\r"]),
        max_size=12,
    )
)
def test_comments_put_in_at_every_boundary_change_no_event(pieces: list[str]) -> None:
    boundary = EventBoundary()
    sent = ""
    for piece in pieces:
        if boundary.is_between_events:
            sent += COMMENT.decode()
        sent += piece
        boundary.receive_data(piece.encode())
    assert events_of(sent + "\n\n") == events_of("".join(pieces) + "\n\n")


SSE = (b"Content-Type", b"text/event-stream; charset=utf-8")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ResponseHead(200, b"OK", [SSE], -1), True),
        (ResponseHead(200, b"OK", [SSE], 100), False),
        (ResponseHead(200, b"OK", [SSE, (b"Content-Encoding", b"gzip")], -1), False),
        (ResponseHead(200, b"OK", [(b"Content-Type", b"text/html")], -1), False),
        (ResponseHead(200, b"OK", [], -1), False),
        (ResponseHead(204, b"No Content", [SSE], 0), False),
    ],
)
def test_only_plain_event_streams_take_comments(head: ResponseHead, expected: bool) -> None:
    assert may_comment(head) is expected
