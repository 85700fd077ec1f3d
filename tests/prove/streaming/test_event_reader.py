"""Events are told from comments, however the bytes arrive."""

from __future__ import annotations

import hashlib

from underpass.gatehouse.measuring.questions import event
from underpass.prove.streaming.event_reader import EventReader, stamp


def test_comments_are_counted_and_are_no_part_of_the_digest() -> None:
    events = [event(number, 1000 + number, 8) for number in range(3)]
    whole = b":\n\n" + events[0] + b":\n\n: ping\n\n" + events[1] + events[2]
    for step in (1, 2, 7, len(whole)):
        reader, found = EventReader(), []
        for at in range(0, len(whole), step):
            found += reader.receive_data(whole[at : at + step])
        assert [stamp(block) for block in found] == [(0, 1000), (1, 1001), (2, 1002)]
        assert reader.comments == 3
        assert reader.size == sum(map(len, events))
        assert reader.digest.digest() == hashlib.sha256(b"".join(events)).digest()


def test_what_is_no_event_of_ours_has_no_stamp() -> None:
    for block in (b"", b"data: 1", b"id: x\ndata: 5 ", b"id: 1\ndata: soon", b"id: 1"):
        assert stamp(block) == (-1, 0)
