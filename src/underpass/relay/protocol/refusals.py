"""Why a relay refuses a link, beyond the codes of ``model.errors_relay``: what admission adds.

The relay builds the record from the error; the connector acts on the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from underpass.model.errors import PeerFault, Refused, UnderpassError, Unreachable
from underpass.model.errors_relay import RelayTooOld
from underpass.relay.protocol.errors import HandshakeError
from underpass.relay.protocol.records import Refuse


@dataclass(eq=False)
class EnrolmentRefused(Refused):
    """The token is unknown, spent or too old; which of these is not said."""

    code = "enrolment-refused"
    sentence = "cannot enrol key {fingerprint}: the enrolment token is not valid"
    hint_text = "ask the relay's operator for a fresh token"

    fingerprint: str


@dataclass(eq=False)
class TooManyNames(Refused):
    """The key owns as many names as it may."""

    code = "too-many-names"
    sentence = "cannot claim a name: this key owns {owned} names and may own {limit}"
    hint_text = "underpass relay names release NAME"

    owned: int
    limit: int


@dataclass(eq=False)
class TooManyLanes(Refused):
    """One instance asks for more lanes than a relay keeps for it."""

    code = "too-many-lanes"
    sentence = "cannot add a lane to {name}: the instance has {limit} already"

    name: str
    limit: int


@dataclass(eq=False)
class UnknownSession(Unreachable):
    """The relay has no memory of this instance's lanes: begin a new instance."""

    code = "unknown-session"
    sentence = "cannot resume {name}: the relay has lost this session"

    name: str


@dataclass(eq=False)
class UnknownLane(Unreachable):
    """The relay has no memory of this lane: its streams are lost, the others go on."""

    code = "unknown-lane"
    sentence = "cannot resume a lane of {name}: the relay has lost it"

    name: str


@dataclass(eq=False)
class StaleLink(Unreachable):
    """A later link of this lane has been accepted already; only this link ends."""

    code = "stale-link"
    sentence = "cannot attach link {generation} of {name}: link {accepted} came first"

    name: str
    generation: int
    accepted: int


@dataclass(eq=False)
class BadHello(PeerFault):
    """The introduction has a shape that no honest connector sends."""

    code = "bad-hello"
    sentence = "cannot read the connector's introduction: {reason}"

    reason: str


@dataclass(eq=False)
class PortsExhausted(Refused):
    """No public port is left, for this key or on this relay."""

    code = "ports-exhausted"
    sentence = "cannot give {name} a public port: {reason}"
    hint_text = "underpass relay names release NAME"

    name: str
    reason: str


@dataclass(eq=False)
class NoPublicPorts(Refused):
    """This relay was started without a range of TCP ports."""

    code = "no-public-ports"
    sentence = "cannot give {name} a public port: this relay has no range of TCP ports"
    hint_text = "use underpass reach, or start the relay with --tcp-ports FIRST-LAST"

    name: str


def refusal(error: UnderpassError, retry_after: float = 0.0) -> Refuse:
    """The record that carries ``error`` to the connector."""
    hint = error.hint or ""
    return Refuse(code=error.code, message=error.message, hint=hint, retry_after=retry_after)


_IN_THE_RELAYS_WORDS: Final = {
    cls.code: cls
    for cls in (
        BadHello,
        EnrolmentRefused,
        HandshakeError,
        NoPublicPorts,
        PortsExhausted,
        RelayTooOld,
        TooManyLanes,
        TooManyNames,
    )
}

WORDS_LIMIT: Final = 300
"""Characters of a relay's sentence or hint that are shown."""


def refused_with(refuse: Refuse) -> UnderpassError | None:
    """The error that ``refuse`` was made of, in the relay's own words; None for other codes.

    Its facts stayed with the relay. Words that no relay of ours would say count as other codes.
    """
    cls = _IN_THE_RELAYS_WORDS.get(refuse.code)
    words = (refuse.message, refuse.hint)
    if cls is None or not all(text.isprintable() and len(text) <= WORDS_LIMIT for text in words):
        return None
    error = cls.__new__(cls)
    # Templates without fields: braces of the relay's are no fields of ours.
    vars(error).update(sentence=_literal(refuse.message), hint_text=_literal(refuse.hint))
    return error


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
