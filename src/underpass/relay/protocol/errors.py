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


@dataclass(eq=False)
class TlsIntercepted(Refused):
    """The connector saw another certificate than the relay served."""

    code = "tls-intercepted"
    sentence = "cannot accept the link: the connector saw a certificate this relay did not serve"
    hint_text = (
        "something between the two ends TLS; if it is your own front proxy, give its "
        "certificate's fingerprint to the relay (--front-fingerprint)"
    )


@dataclass(eq=False)
class RelayTooOld(Refused):
    """The two ends speak different major versions of the protocol."""

    code = "relay-too-old"
    sentence = "cannot link: the relay speaks version {theirs} of the protocol, this end {ours}"
    hint_text = "bring both ends to the same release of underpass"

    theirs: int
    ours: int
