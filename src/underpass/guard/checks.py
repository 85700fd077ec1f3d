"""The gates, one class each: what a visitor shows, and what is taken off when it passes.

A gate sees a request head that the strict reader has accepted, and judges exact bytes: field names
are compared whole (in lower case), so neither ``Underpass_Token`` nor anything that a proxy says
about a visitor ever counts. Secrets are kept as SHA-256 digests and compared with
``hmac.compare_digest``; the time it takes says nothing about how much of a guess was right.
"""

from __future__ import annotations

import binascii
import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Protocol, runtime_checkable

from underpass.guard.outcomes import PASSED, REFUSED, Deny, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.guard.secrets import Secret, hash_token
from underpass.http.messages import RequestHead

MAX_CREDENTIAL_BYTES: Final = 1024
"""Twenty times a token of ours; nothing longer is hashed for a stranger."""

_REMEMBERED_ADDRESSES: Final = 4096


class Gate(Protocol):
    """One check. ``text`` is its canonical form, without a secret.

    A request that shows no credential is denied at once: never ``NeedsBody`` nor ``Later``.
    """

    @property
    def kind(self) -> str:
        """The word before the colon."""

    @property
    def text(self) -> str:
        """Kind and argument."""

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        """Judge one request: its head as the origin would see it, and who sends it."""


@runtime_checkable
class Recognises(Protocol):
    """What a gate can do besides whose credential its bearers may show on other paths as well, and
    that cannot always judge at once: know what is meant for it, so that it stays here."""

    def recognise(self, head: RequestHead) -> tuple[bytes, ...]:
        """The fields, in lower case, with what may open this gate as far as can be told at once."""


class BearerGate:
    """``Authorization: Bearer TOKEN`` or ``Underpass-Token: TOKEN``.

    The field that held our token is removed; when both did, both. One that holds anything else
    goes on to the origin, whose business it is. A field of ours that stands there twice does not
    pass: whoever reads it next might take the other.
    """

    kind = "bearer"
    text = "bearer"

    _MISSING = Deny(
        401, "gate-unauthenticated", [(b"WWW-Authenticate", b'Bearer realm="underpass"')]
    )
    _WRONG = Deny(
        401,
        "gate-unauthenticated",
        [(b"WWW-Authenticate", b'Bearer realm="underpass", error="invalid_token"')],
    )
    _BY_AUTHORIZATION = Pass((b"authorization",), identity="bearer")
    _BY_OWN_FIELD = Pass((b"underpass-token",), identity="bearer")
    _BY_BOTH = Pass((b"authorization", b"underpass-token"), identity="bearer")

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def judge(self, head: RequestHead, peer: Peer) -> Pass | Deny:
        own = authorization = None
        owns = authorizations = 0
        for name, value in head.headers:
            length = len(name)
            if length == 13 and name.lower() == b"authorization":
                authorizations += 1
                authorization = value
            elif length == 15 and name.lower() == b"underpass-token":
                owns += 1
                own = value
        by_authorization = (
            authorization is not None
            and authorizations == 1
            and authorization[:7].lower() == b"bearer "
            and self.accepts(authorization[7:].lstrip(b" "))
        )
        if own is None:
            if by_authorization:
                return self._BY_AUTHORIZATION
            return self._MISSING if authorization is None else self._WRONG
        if owns == 1 and self.accepts(own):
            return self._BY_BOTH if by_authorization else self._BY_OWN_FIELD
        return self._BY_AUTHORIZATION if by_authorization and owns == 1 else self._WRONG

    def accepts(self, token: bytes) -> bool:
        """Whether ``token`` is the one; takes as long for a near miss as for a far one."""
        if len(token) > MAX_CREDENTIAL_BYTES:
            return False
        return compare_digest(sha256(token).digest(), self._digest)


class BasicGate:
    """``Authorization: Basic``; user and password are compared together."""

    kind = "basic"

    _DENIED = Deny(
        401,
        "gate-unauthenticated",
        [(b"WWW-Authenticate", b'Basic realm="underpass", charset="UTF-8"')],
    )

    def __init__(self, user: str, digest: bytes) -> None:
        """``digest`` is that of ``user:password``: see ``basic_digest``."""
        self.text = f"basic:{user}"
        self._passed = Pass((b"authorization",), identity=self.text)
        self._digest = digest

    def judge(self, head: RequestHead, peer: Peer) -> Pass | Deny:
        given = [value for name, value in head.headers if name.lower() == b"authorization"]
        if len(given) != 1 or len(given[0]) > MAX_CREDENTIAL_BYTES:
            return self._DENIED
        if given[0][:6].lower() != b"basic ":
            return self._DENIED
        try:
            credentials = binascii.a2b_base64(given[0][6:].lstrip(b" "), strict_mode=True)
        except binascii.Error:
            return self._DENIED
        if not compare_digest(sha256(credentials).digest(), self._digest):
            return self._DENIED
        return self._passed


def basic_digest(user: str, password: Secret) -> bytes:
    """What a ``BasicGate`` keeps of user and password."""
    return hash_token(f"{user}:{password.reveal()}")


class IpGate:
    """Visitors from the named networks; IPv4 inside IPv6 (``::ffff:…``) counts as IPv4.

    The address is the one that our own edge saw. No field of the request is looked at.
    """

    kind = "ip"

    def __init__(self, cidrs: Iterable[str]) -> None:
        self.cidrs = tuple(cidrs)
        self.text = "ip:" + ",".join(self.cidrs)
        self._networks = tuple(ipaddress.ip_network(cidr) for cidr in self.cidrs)
        self.admits = lru_cache(_REMEMBERED_ADDRESSES)(self._admits)

    def judge(self, head: RequestHead, peer: Peer) -> Pass | Deny:
        return self.judge_address(peer.address)

    def judge_address(self, address: str) -> Pass | Deny:
        return PASSED if self.admits(address) else REFUSED

    def _admits(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = parsed.ipv4_mapped if parsed.version == 6 else None
        return any((mapped or parsed) in network for network in self._networks)


class LinkGate:
    """An unguessable first segment of the path, taken off before the origin sees the target.

    The segment is compared byte by byte as sent: no decoding, no case, no dots. ``Referer`` is
    taken off too, since it may hold the segment.
    """

    kind = "link"
    text = "link"

    STRIP: Final = (b"referer",)

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def judge(self, head: RequestHead, peer: Peer) -> Pass | Deny:
        path, mark, query = head.target.partition(b"?")
        if path[:1] != b"/":
            return REFUSED
        segment, _, rest = path[1:].partition(b"/")
        if not compare_digest(sha256(segment).digest(), self._digest):
            return REFUSED
        if rest[:1] == b"/":
            # What is left would begin with two slashes: to some servers, the name of a host.
            return REFUSED
        return Pass(self.STRIP, b"/" + rest + mark + query)
