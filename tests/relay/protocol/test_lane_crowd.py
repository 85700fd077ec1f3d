"""Many streams that wait cost those that move nothing."""

from __future__ import annotations

import pytest
from lane_pair import Pair

from underpass.relay.protocol.budget import FIRST_CREDIT
from underpass.relay.protocol.stream import Stream

pytestmark = pytest.mark.pure

CROWD = 200


def test_credit_for_one_stream_asks_nothing_of_those_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = Pair(drains=False)
    crowd = [pair.open("tcp")[0] for _ in range(CROWD)]
    quick, quicks = pair.open("tcp")
    for stream in crowd:
        stream.send_data(bytes(FIRST_CREDIT))
    pair.settle()
    for stream in crowd:
        stream.send_data(b"more than its reader takes")
    pair.settle()
    assert len(crowd[0].lane.waiting) == CROWD
    asked = []
    room = Stream.room.fget
    assert room is not None

    def counted(stream: Stream) -> int:
        asked.append(stream.id)
        return int(room(stream))

    monkeypatch.setattr(Stream, "room", property(counted))
    for _ in range(10):
        quick.send_data(bytes(20_000))
        pair.settle()
        pair.got(quicks).drain()
        pair.settle()
    assert len(pair.got(quicks).body) == 200_000
    assert not set(asked) - {quick.id}
