"""Errors that only recording, looking back and replaying raise."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Refused, Setup, Unreachable


@dataclass(eq=False)
class CapturesUnreadable(Setup):
    """The database of recorded exchanges cannot be used."""

    path: str
    why: str

    code = "captures-unreadable"
    sentence = "cannot use the recorded requests in {path}: {why}"
    hint_text = "make room if the disk is full: df -h; else move the file away: a new one is made"


@dataclass(eq=False)
class NoSuchRequest(Misuse):
    """No exchange with this id is kept."""

    id: str

    code = "no-such-request"
    sentence = "cannot find the request {id}: it was never recorded, or is too old to be kept"
    hint_text = "underpass requests NAME"
    exit_code = 3


@dataclass(eq=False)
class FilterInvalid(Misuse):
    """A filter expression says nothing we know."""

    text: str
    why: str

    code = "filter-invalid"
    sentence = "cannot filter by {text!r}: {why}"
    hint_text = "underpass requests --help names the filters"


@dataclass(eq=False)
class QuotaMalformed(Misuse):
    """A quota is not in the grammar."""

    text: str
    why: str

    code = "quota-malformed"
    sentence = "cannot read the quota {text!r}: {why}"
    hint_text = "write 10GB/month or 600/minute"


@dataclass(eq=False)
class ReplayImpossible(Refused):
    """The recorded request is not whole, or no request."""

    id: str
    why: str

    code = "replay-impossible"
    sentence = "cannot send the request {id} again: {why}"
    hint_text = "write what is missing with --edit"


@dataclass(eq=False)
class ReplayUnconfirmed(Refused):
    """A request that may change something was not confirmed."""

    id: str
    method: str

    code = "replay-unconfirmed"
    sentence = "cannot send the request {id} again: {method} may do its work twice"
    hint_text = "say --yes"


@dataclass(eq=False)
class ReplayText(Misuse):
    """The edited text is no request."""

    why: str

    code = "replay-text-invalid"
    sentence = "cannot read the edited request: {why}"
    hint_text = "a line METHOD TARGET, header lines, an empty line, the body"


@dataclass(eq=False)
class CaptureIsOff(Refused):
    """The tunnel keeps no record of its exchanges."""

    name: str

    code = "capture-off"
    sentence = "cannot show requests of {name} as they come: it was opened without recording them"
    hint_text = "open it again without --no-capture"


@dataclass(eq=False)
class ReplayUnanswered(Unreachable):
    """The origin did not answer a replayed request in time."""

    id: str
    seconds: float

    code = "replay-unanswered"
    sentence = "cannot show an answer to the request {id}: none was complete after {seconds:g} s"
    hint_text = "underpass requests NAME --follow shows what becomes of it"
    exit_code = 8
