"""The gates a visitor must pass, and the guard that asks all of them.

A gate sees a request head that the strict reader has accepted, and judges exact bytes: field names
are compared whole (in lower case), so neither ``Underpass_Token`` nor anything that a proxy says
about a visitor ever counts. Secrets are kept as SHA-256 digests and compared with
``hmac.compare_digest``; the time it takes says nothing about how much of a guess was right.

A guard without gates exists only in public; everything else is refused when it is made.
"""

from __future__ import annotations

import binascii
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Protocol

from underpass.guard.secrets import Secret, hash_token, new_token
from underpass.http.messages import Headers, RequestHead
from underpass.model.gates import GateSpec

MAX_CREDENTIAL_BYTES: Final = 1024
"""Ten times a token of ours; nothing longer is hashed for a stranger."""

_REMEMBERED_ADDRESSES: Final = 4096


@dataclass(frozen=True, slots=True)
class Pass:
    """The visitor may go on, with these changes to the head."""

    strip: tuple[bytes, ...] = ()
    """Fields to remove, in lower case: the credential that passed."""
    target: bytes | None = None
    """The target that the origin shall see instead."""


@dataclass(frozen=True, slots=True)
class Deny:
    """The visitor is refused."""

    status: int
    """401 or 403, as the gate's scheme demands."""
    code: str
    """For ``Underpass-Error``; the same whatever was wrong with the credential."""
    challenge: Headers = field(default_factory=list)
    """``WWW-Authenticate``, where the scheme has one."""


class Gate(Protocol):
    """One check. ``text`` is its canonical form, without a secret."""

    kind: str
    text: str

    def judge(self, head: RequestHead, address: str) -> Pass | Deny:
        """Judge one request from ``address`` ("" when no edge vouches for one)."""


PASSED: Final = Pass()


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
    _BY_AUTHORIZATION = Pass((b"authorization",))
    _BY_OWN_FIELD = Pass((b"underpass-token",))
    _BY_BOTH = Pass((b"authorization", b"underpass-token"))

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def judge(self, head: RequestHead, address: str) -> Pass | Deny:
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
    _PASSED = Pass((b"authorization",))

    def __init__(self, user: str, digest: bytes) -> None:
        """``digest`` is that of ``user:password``: see ``basic_digest``."""
        self.text = f"basic:{user}"
        self._digest = digest

    def judge(self, head: RequestHead, address: str) -> Pass | Deny:
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
        return self._PASSED


def basic_digest(user: str, password: Secret) -> bytes:
    """What a ``BasicGate`` keeps of user and password."""
    return hash_token(f"{user}:{password.reveal()}")


class IpGate:
    """Visitors from the named networks; IPv4 inside IPv6 (``::ffff:…``) counts as IPv4.

    The address is the one that our own edge saw. No field of the request is looked at.
    """

    kind = "ip"

    _DENIED = Deny(403, "gate-refused")

    def __init__(self, cidrs: Iterable[str]) -> None:
        self.cidrs = tuple(cidrs)
        self.text = "ip:" + ",".join(self.cidrs)
        self._networks = tuple(ipaddress.ip_network(cidr) for cidr in self.cidrs)
        self.admits = lru_cache(_REMEMBERED_ADDRESSES)(self._admits)

    def judge(self, head: RequestHead, address: str) -> Pass | Deny:
        return self.judge_address(address)

    def judge_address(self, address: str) -> Pass | Deny:
        return PASSED if self.admits(address) else self._DENIED

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

    _DENIED = Deny(403, "gate-refused")
    _STRIP: Final = (b"referer",)

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def judge(self, head: RequestHead, address: str) -> Pass | Deny:
        path, mark, query = head.target.partition(b"?")
        if path[:1] != b"/":
            return self._DENIED
        segment, _, rest = path[1:].partition(b"/")
        if not compare_digest(sha256(segment).digest(), self._digest):
            return self._DENIED
        if rest[:1] == b"/":
            # What is left would begin with two slashes: to some servers, the name of a host.
            return self._DENIED
        return Pass(self._STRIP, b"/" + rest + mark + query)


class Guard:
    """All gates of one tunnel. A visitor must pass every one; immutable, safe from any thread."""

    _NOT_BY_ADDRESS = Deny(403, "gate-refused")

    def __init__(self, gates: Iterable[Gate], *, public: bool = False) -> None:
        """Raises ``ValueError`` when there is neither a gate nor ``public``, or both."""
        self._gates = tuple(sorted(gates, key=lambda gate: _ORDER.index(gate.kind)))
        if bool(self._gates) == public:
            raise ValueError("a guard has gates, or is public")
        self.kinds = tuple(gate.kind for gate in self._gates)
        """The kinds of its gates in the order in which they are asked; empty in public."""
        self.answer_headers: Headers = []
        """Fields to add to every answer."""
        if "link" in self.kinds:
            self.answer_headers.append((b"Referrer-Policy", b"no-referrer"))
        self._only = self._gates[0] if len(self._gates) == 1 else None
        self._ip = next((gate for gate in self._gates if isinstance(gate, IpGate)), None)
        self._bearer = next((gate for gate in self._gates if isinstance(gate, BearerGate)), None)

    @property
    def is_public(self) -> bool:
        """Nobody is refused: the gate layer of a proof reads ``open``."""
        return not self._gates

    def judge_http(self, head: RequestHead, address: str) -> Pass | Deny:
        """Judge one request. ``address`` is what our own edge saw, "" if none vouches for it."""
        if self._only is not None:
            return self._only.judge(head, address)
        strip: tuple[bytes, ...] = ()
        target = None
        for gate in self._gates:
            outcome = gate.judge(head, address)
            if isinstance(outcome, Deny):
                return outcome
            strip += outcome.strip
            target = outcome.target or target
        return Pass(strip, target)

    def judge_address(self, address: str) -> Pass | Deny:
        """Judge a plain byte stream, which can show nothing but where it comes from."""
        if self.is_public:
            return PASSED
        if self._ip is None or self._only is None:
            return self._NOT_BY_ADDRESS
        return self._ip.judge_address(address)

    def admits_address(self, address: str) -> bool:
        """What the ``ip`` gate alone says of ``address``; True without one. For proofs."""
        return self._ip is None or self._ip.admits(address)

    def judge_token(self, token: str) -> bool:
        """Judge the token of a visitor who comes by reach: in public any will do."""
        if self._bearer is None:
            return self.is_public
        return self._bearer.accepts(token.encode("utf-8", "surrogateescape"))

    def commitment(self) -> bytes:
        """SHA-256 over the canonical gates. It covers no secret: it tells nobody anything new."""
        texts = [gate.text for gate in self._gates] or ["public"]
        return sha256(b"underpass-gates-v1\0" + "\n".join(texts).encode()).digest()

    def cidrs(self) -> tuple[str, ...]:
        """Networks of the ``ip`` gate, for the relay's coarse rule; empty: anybody."""
        return () if self._ip is None else self._ip.cidrs

    def __repr__(self) -> str:
        return f"Guard({', '.join(gate.text for gate in self._gates) or 'public'})"


_ORDER: Final = ("ip", "link", "bearer", "basic")
# Cheapest and least telling first: a stranger from elsewhere learns of no other gate.


@dataclass(frozen=True, slots=True)
class Forged:
    """A guard and the secrets that open it, by the kind of their gate."""

    guard: Guard
    secrets: Mapping[str, Secret]
    """Token of ``bearer``, password of ``basic``, first path segment of ``link``."""


def forge(
    specs: Iterable[GateSpec], *, public: bool = False, secrets: Mapping[str, Secret] | None = None
) -> Forged:
    """Make the guard for validated ``specs``, with fresh secrets where none are given."""
    gates: list[Gate] = []
    made: dict[str, Secret] = {}
    for spec in specs:
        if spec.kind == "ip":
            gates.append(IpGate(spec.cidrs))
            continue
        secret = made[spec.kind] = (secrets or {}).get(spec.kind) or new_token()
        if spec.kind == "bearer":
            gates.append(BearerGate(hash_token(secret.reveal())))
        elif spec.kind == "basic":
            gates.append(BasicGate(spec.user, basic_digest(spec.user, secret)))
        elif spec.kind == "link":
            gates.append(LinkGate(hash_token(secret.reveal())))
        else:
            raise ValueError(f"no gate {spec.kind}")
    return Forged(Guard(gates, public=public), made)
