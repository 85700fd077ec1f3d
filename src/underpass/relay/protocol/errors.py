"""What can be wrong on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import PeerFault, Refused, Unreachable


@dataclass(eq=False)
class ProtocolViolation(PeerFault):
    """The peer sent what the rules forbid; the lane cannot be trusted any more."""

    code = "protocol-violation"
    sentence = "cannot go on with this lane: {reason}"
    hint_text = "both ends should run the same release; the connector starts a fresh lane by itself"
    retryable = True
    exit_code = 7

    reason: str


@dataclass(eq=False)
class OffsetMismatch(PeerFault):
    """The offsets of the two ends cannot be reconciled: the lane must start afresh."""

    code = "offset-mismatch"
    sentence = "cannot resume the lane at byte {asked}: this end holds {lowest} to {highest}"
    retryable = True
    exit_code = 7

    asked: int
    lowest: int
    highest: int


@dataclass(eq=False)
class LaneAway(Unreachable):
    """A stream can only be opened on a lane that has a link."""

    code = "lane-away"
    sentence = "cannot open a stream: the lane has no link"


@dataclass(eq=False)
class OverLimit(Refused):
    """No memory is left for another stream."""

    code = "over-limit"
    sentence = "cannot open a stream: {what} is used up"
    retryable = True

    what: str


@dataclass(eq=False)
class HandshakeError(Refused):
    """The introduction on a link does not hold."""

    code = "handshake-refused"
    sentence = "cannot accept the link: {reason}"

    reason: str
