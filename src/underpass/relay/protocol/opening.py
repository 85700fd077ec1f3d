"""How a stream begins, at either end: what an OPEN says, and what it costs.

Only the relay opens streams. Both ends count the credit that they give as used from the first
moment on, since the peer may send as much at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from underpass.relay.protocol import frames
from underpass.relay.protocol.budget import CONTROL_RESERVE, FIRST_CREDIT
from underpass.relay.protocol.errors import LaneAway, OverLimit, ProtocolViolation
from underpass.relay.protocol.events import DataReceived, HeadReceived, Opened
from underpass.relay.protocol.inbound import end_received
from underpass.relay.protocol.records import Open, decode_open, encode
from underpass.relay.protocol.stream import Stream

if TYPE_CHECKING:
    from underpass.relay.protocol.lane import Lane

LARGEST_ID: Final = 2**32 - 1


def open_stream(
    lane: Lane,
    kind: str,
    *,
    peer: tuple[str, int],
    secure: bool,
    head: bytes | None,
    body: bytes,
    end: bool,
    token: str,
    owner: object,
) -> Stream:
    """See ``Lane.open``."""
    if not lane.attached or lane.closed:
        raise LaneAway()
    credit = lane.budget.first_credit
    if not credit or lane.last_id == LARGEST_ID:
        raise OverLimit(what="memory for answers" if not credit else "the lane")
    size = 0 if head is None else len(head) + len(body)
    if head is not None and len(head) > frames.BLOCK_LIMIT:
        raise OverLimit(what="room for a request head")
    if lane.overdrawn + size > CONTROL_RESERVE:
        raise OverLimit(what="memory of the lane")
    lane.last_id += 1
    taken = lane.peer_first_credit
    stream = Stream(
        lane,
        lane.last_id,
        kind=kind,
        peer=peer,
        secure=secure,
        token=token,
        credit=taken,
        granted=credit,
        now=lane.now,
    )
    stream.owner = owner
    lane.budget.used += credit
    lane.streams[stream.id] = stream
    inline = head is not None and end and size <= min(taken, frames.FULL_LIMIT)
    record = Open(
        kind=kind,
        credit=credit,
        taken=taken,
        peer=peer,
        secure=secure,
        token=token,
        head=head if inline else None,
        body=body if inline else b"",
        end=inline,
    )
    lane.say(frames.frame(frames.OPEN, stream.id, encode(record)))
    if inline:
        stream.credit -= size
        stream.send_ended = stream.send_done = True
    elif head is not None:
        stream.send_head(head, body, end)
    return stream


def open_received(lane: Lane, number: int, payload: bytes) -> None:
    """The peer opened a stream; raises ``ProtocolViolation`` for what the rules forbid."""
    if lane.opener or number <= lane.last_id:
        raise ProtocolViolation(reason="a stream was opened out of order")
    lane.last_id = number
    try:
        record = decode_open(payload)
    except msgspec.DecodeError:
        raise ProtocolViolation(reason="an OPEN is not a well-formed record") from None
    size = 0 if record.head is None else len(record.head) + len(record.body)
    if not 0 <= record.credit < 2**31 or not max(size, 1) <= record.taken <= FIRST_CREDIT:
        raise ProtocolViolation(reason="an OPEN assumes credit that was not given")
    granted = record.taken
    full = lane.budget.used + granted > lane.budget.limit
    stream = Stream(
        lane,
        number,
        kind=record.kind,
        peer=record.peer,
        secure=record.secure,
        token=record.token,
        credit=record.credit,
        granted=granted,
        now=lane.now,
    )
    lane.streams[number] = stream
    lane.budget.used += granted
    if full:
        stream.abort("over-limit")
        stream.stop("over-limit")
    else:
        lane.tell(Opened(stream, record))
    if record.head is not None:
        if record.end and not full:
            # nothing is credited back: the direction ends here
            stream.outstanding -= size
            stream.undrained += len(record.body)
            lane.budget.used -= len(record.head)
        else:
            stream.accept(len(record.head), body=False)
            stream.accept(len(record.body), body=True)
        if not full:
            lane.tell(HeadReceived(stream, record.head))
            if record.body:
                lane.tell(DataReceived(stream, record.body))
    if record.end:
        end_received(stream, lane.tell)
        if stream.closed:
            lane.forget(stream)
