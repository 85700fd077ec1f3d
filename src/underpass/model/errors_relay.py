"""What a relay, or the way to it, can answer to a connector: codes both ends know.

The relay sends the code of such a class in its ``Refuse`` record; ``relay_refusal`` turns it back
into the error. Words of the relay are shown as facts, never trusted as templates.
"""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import PeerFault, Refused, Setup, UnderpassError, Unreachable


@dataclass(eq=False)
class NameTaken(Refused):
    """The chosen name belongs to another key."""

    name: str

    code = "name-taken"
    exit_code = 9
    sentence = "cannot use the name {name!r}: it belongs to another key"
    hint_text = "choose another --name, or leave it out for a random one"


@dataclass(eq=False)
class NameNotYours(Refused):
    """Something was asked about a name that this key does not own."""

    name: str

    code = "name-not-yours"
    sentence = "cannot change the name {name!r}: it is not owned by this key"
    hint_text = "run it where the tunnel's key is, or ask the owner: underpass relay names transfer"


@dataclass(eq=False)
class NameContended(Refused):
    """Two living instances take the name from each other; the one that holds it stays."""

    name: str

    code = "name-contended"
    exit_code = 9
    sentence = "cannot take over the name {name!r}: another living instance keeps taking it back"
    hint_text = "close the other one: underpass close {name}"


@dataclass(eq=False)
class Superseded(Refused):
    """A newer instance of the same name and key has taken over. Final."""

    name: str

    code = "superseded"
    exit_code = 9
    sentence = "cannot go on serving {name!r}: a newer instance has taken over"


@dataclass(eq=False)
class LeaseExpired(Refused):
    """The hard end has passed."""

    name: str

    code = "lease-expired"
    sentence = "cannot serve {name!r}: its lease has ended"
    hint_text = "open it again, or renew it before its end: underpass renew {name} --for 2h"


@dataclass(eq=False)
class KeyUnknown(Refused):
    """The relay has not enrolled this key."""

    relay: str

    code = "key-unknown"
    sentence = "cannot open a tunnel at {relay}: this machine's key is not enrolled there"
    hint_text = "add --enrol-token-file FILE with a token from the relay's operator"


@dataclass(eq=False)
class KeyRevoked(Refused):
    """The relay's operator has revoked this key."""

    relay: str

    code = "key-revoked"
    sentence = "cannot open a tunnel at {relay}: this machine's key was revoked there"
    hint_text = "ask the relay's operator"


@dataclass(eq=False)
class RelayRefused(Refused):
    """The relay said no with a code that this version does not know."""

    relay: str
    reason: str

    code = "relay-refused"
    exit_code = 7
    sentence = "cannot open a tunnel at {relay}: it answers {reason!r}"
    hint_text = "update underpass, or ask the relay's operator"


@dataclass(eq=False)
class RelayCertificateWrong(PeerFault):
    """The relay's certificate does not prove that it is the relay asked for."""

    relay: str
    why: str

    code = "relay-certificate-wrong"
    exit_code = 7
    sentence = "cannot trust {relay}: {why}"
    hint_text = "check the URL; for a private authority add --relay-ca FILE or --relay-fingerprint"


@dataclass(eq=False)
class TlsIntercepted(PeerFault):
    """Somebody between here and the relay ends TLS with a certificate of their own."""

    relay: str

    code = "tls-intercepted"
    exit_code = 7
    sentence = "cannot link to {relay}: the certificate seen here is not the one it served"
    hint_text = "a proxy opens TLS on the way; if it is the relay's own, its operator can accept it"


@dataclass(eq=False)
class RelayTooOld(PeerFault):
    """The relay speaks only an older major version of the wire."""

    relay: str
    theirs: int
    ours: int

    code = "relay-too-old"
    exit_code = 7
    sentence = "cannot link to {relay}: it speaks wire version {theirs}, this is {ours}"
    hint_text = "update the relay, or use the underpass version it was made for"


@dataclass(eq=False)
class RelayUnreachable(Unreachable):
    """No link can be made to the relay."""

    relay: str
    why: str

    code = "relay-unreachable"
    exit_code = 7
    sentence = "cannot reach the relay {relay}: {why}"
    hint_text = "check the URL and the network; behind a proxy set HTTPS_PROXY"


@dataclass(eq=False)
class ClockWrong(Setup):
    """This machine's clock and the relay's are too far apart to judge certificates and leases."""

    seconds: int

    code = "clock-wrong"
    sentence = "cannot go on: this machine's clock is {seconds} s away from the relay's"
    hint_text = "set the clock (timedatectl set-ntp true), then try again"


_BY_NAME = {
    cls.code: cls for cls in (NameTaken, NameNotYours, NameContended, Superseded, LeaseExpired)
}
_BY_RELAY = {cls.code: cls for cls in (KeyUnknown, KeyRevoked, TlsIntercepted)}


def relay_refusal(code: str, *, relay: str, name: str) -> UnderpassError:
    """The error for a code that ``relay`` refused with; an unknown one is ``RelayRefused``."""
    if code in _BY_NAME:
        return _BY_NAME[code](name=name)
    if code in _BY_RELAY:
        return _BY_RELAY[code](relay=relay)
    printable = code if code.isprintable() else repr(code)
    return RelayRefused(relay=relay, reason=printable[:80])
