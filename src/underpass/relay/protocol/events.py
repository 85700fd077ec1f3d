"""What a lane tells its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from underpass.relay.protocol.records import Open

if TYPE_CHECKING:
    from underpass.relay.protocol.stream import Stream


class Event(msgspec.Struct, frozen=True, gc=False):
    """Base of the events of one stream."""

    stream: Stream


class Opened(Event, frozen=True, gc=False):
    """The peer opened a stream; a whole head, body and end in the record follow as events."""

    record: Open


class HeadReceived(Event, frozen=True, gc=False):
    """A whole head (request, informational or final response), still encoded."""

    head: bytes


class DataReceived(Event, frozen=True, gc=False):
    """Body bytes; to be credited with ``stream.drained`` once they have left the process."""

    data: bytes | memoryview


class TrailersReceived(Event, frozen=True, gc=False):
    """The whole trailer block, still encoded."""

    trailers: bytes


class EndReceived(Event, frozen=True, gc=False):
    """The peer's direction is complete."""


class Aborted(Event, frozen=True, gc=False):
    """The peer's direction broke: nothing more comes, and what came is not the whole."""

    code: str


class Stopped(Event, frozen=True, gc=False):
    """The peer reads no more of what we send; what was queued is dropped."""

    code: str


class Writable(Event, frozen=True, gc=False):
    """After a refusal (``send_data`` returned False) there is room again."""


class LeaseSaid(msgspec.Struct, frozen=True):
    """The peer asks for (connector) or grants (relay) another end of the lease."""

    end: float
    """Unix seconds."""


LaneEvent = (
    Opened
    | HeadReceived
    | DataReceived
    | TrailersReceived
    | EndReceived
    | Aborted
    | Stopped
    | Writable
    | LeaseSaid
)
