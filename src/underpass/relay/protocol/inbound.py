"""What a frame of an open stream means: from its payload to the stream's books and events.

The lane knows which stream is meant; opening, acknowledgements and what concerns no stream are its
own business. Everything here raises ``ProtocolViolation`` for what the rules forbid.
"""

from __future__ import annotations

from collections.abc import Callable

from underpass.relay.protocol import frames
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.events import (
    Aborted,
    DataReceived,
    EndReceived,
    HeadReceived,
    LaneEvent,
    Stopped,
    TrailersReceived,
)
from underpass.relay.protocol.stream import Buffer, Stream

Tell = Callable[[LaneEvent], None]

MOST_CREDIT = 2**31
"""Credit beyond any window: a peer that gives more cannot count."""


def receive(stream: Stream, kind: int, payload: Buffer, tell: Tell, *, complete: bool) -> None:
    """One frame, or a part of one DATA frame, for ``stream``."""
    base = kind & frames.TYPE_MASK
    if base == frames.CREDIT:
        _credit_received(stream, read_u32(payload))
    elif base == frames.RESET:
        _reset_received(stream, bytes(payload), tell)
    elif stream.receive_done:
        raise ProtocolViolation(reason="a frame follows the end of its stream's direction")
    elif base == frames.FULL:
        _full_received(stream, bytes(payload), tell)
    elif base == frames.DATA:
        _accept(stream, len(payload), body=True)
        if payload and not stream.discarding:
            tell(DataReceived(stream, payload))
        if complete and kind & frames.END:
            end_received(stream, tell)
    elif base == frames.FIN:
        end_received(stream, tell)
    elif base in (frames.HEAD, frames.TRAILERS):
        _block_received(stream, kind, payload, tell)
    else:
        raise ProtocolViolation(reason=f"a frame of type {kind:#x} names a stream in use")


def end_received(stream: Stream, tell: Tell) -> None:
    """The peer's direction is complete."""
    discarding = stream.discarding
    stream.receive_over()
    if not discarding:
        tell(EndReceived(stream))


def read_u32(payload: Buffer) -> int:
    """The number that is the whole payload."""
    if len(payload) != frames.U32.size:
        raise ProtocolViolation(reason="a number on the wire is malformed")
    value: int = frames.U32.unpack(payload)[0]
    return value


def _credit_received(stream: Stream, amount: int) -> None:
    if stream.credit + amount > MOST_CREDIT:
        raise ProtocolViolation(reason="more credit was given than can be")
    stream.credit += amount
    stream.lane.credited(stream)


def _reset_received(stream: Stream, payload: bytes, tell: Tell) -> None:
    try:
        direction, code = frames.read_reset(payload)
    except ValueError as error:
        raise ProtocolViolation(reason=str(error)) from None
    if direction == frames.STOP:
        if stream.abort(code):
            tell(Stopped(stream, code))
    elif not stream.receive_done:
        discarding = stream.discarding
        stream.receive_over()
        if not discarding:
            tell(Aborted(stream, code))


def _full_received(stream: Stream, payload: bytes, tell: Tell) -> None:
    whole = len(payload) - frames.U32.size
    size = int.from_bytes(payload[: frames.U32.size], "big")
    if not 0 <= size <= whole:
        raise ProtocolViolation(reason="a FULL frame is malformed")
    if whole > stream.outstanding:
        raise ProtocolViolation(reason="a stream sent more than its credit")
    if not stream.discarding:
        # nothing is credited back: the direction ends here
        stream.outstanding -= whole
        stream.undrained += whole - size
        stream.lane.budget.used -= size
        body = frames.U32.size + size
        tell(HeadReceived(stream, payload[frames.U32.size : body]))
        if whole > size:
            tell(DataReceived(stream, memoryview(payload)[body:]))
    end_received(stream, tell)


def _block_received(stream: Stream, kind: int, payload: Buffer, tell: Tell) -> None:
    _accept(stream, len(payload), body=False)
    try:
        block = stream.collect(payload, more=bool(kind & frames.MORE))
    except ValueError:
        raise ProtocolViolation(reason="a head or trailer block is too large") from None
    if block is None or stream.discarding:
        return
    is_head = kind & frames.TYPE_MASK == frames.HEAD
    tell(HeadReceived(stream, block) if is_head else TrailersReceived(stream, block))


def _accept(stream: Stream, size: int, *, body: bool) -> None:
    if not stream.accept(size, body=body):
        raise ProtocolViolation(reason="a stream sent more than its credit")
