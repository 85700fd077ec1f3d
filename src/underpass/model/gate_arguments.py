"""What stands behind the colon of ``mtls``, ``signature`` and ``jwt``: references and lists. Pure.

    mtls:file:/etc/ca.pem                       certificates that this authority signed
    mtls:file:/etc/ca.pem,name=alice            only for this name (SAN, or CN without one)
    signature:github                            its secret is in GITHUB_WEBHOOK_SECRET
    signature:stripe,env:NEW,env:OLD            two secrets, while one takes the other's place
    signature:standard,file:/run/secrets/hook
    jwt:https://id.example.com,aud=tools        keys by the issuer's own discovery document
    jwt:https://id.example.com,aud=tools,jwks=https://keys.example.com/jwks.json
    jwt:https://id.example.com,aud=tools,alg=EdDSA,leeway=10
    jwt:https://id.example.com,aud=tools,jwks=file:/etc/jwks.json

A secret is named by reference only (``env:NAME`` or ``file:/path``), so that no text holds one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from underpass.model.loopback import is_loopback

SCHEMES: Final = {
    "standard": "STANDARD_WEBHOOKS_SECRET",
    "github": "GITHUB_WEBHOOK_SECRET",
    "stripe": "STRIPE_WEBHOOK_SECRET",
    "slack": "SLACK_SIGNING_SECRET",
}
"""Signature schemes, and the variable that holds the secret when none is named."""

ALGORITHMS: Final = tuple(
    f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)
)
EDWARDS: Final = "EdDSA"
DEFAULT_ALGORITHMS: Final = ("RS256", "ES256", EDWARDS)
"""Asymmetric all: with a symmetric one whoever can check a token can make one."""

DEFAULT_LEEWAY: Final = 30
LONGEST_LEEWAY: Final = 300
MAX_SECRETS: Final = 4
MAX_NAMES: Final = 32

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_NAME: Final = re.compile(r"[A-Za-z0-9._@*:/-]{1,253}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret, or a file that is none, is to be found."""

    scheme: str
    """``env`` or ``file``."""
    place: str
    """A variable's name, or an absolute path."""

    def __str__(self) -> str:
        return f"{self.scheme}:{self.place}"


@dataclass(frozen=True, slots=True)
class MtlsTerms:
    """Which client certificates pass."""

    authority: Reference
    names: tuple[str, ...] = ()
    """Any of these; () for any certificate of the authority."""


@dataclass(frozen=True, slots=True)
class SignatureTerms:
    """Whose webhooks pass, and with which secrets."""

    scheme: str
    secrets: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class JwtTerms:
    """Whose tokens pass."""

    issuer: str
    """Compared whole with ``iss``."""
    audiences: tuple[str, ...]
    """One of them must be in ``aud``."""
    jwks: str = ""
    """URL of the keys, or ``file:/path``; "" asks the issuer's discovery document."""
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    leeway: int = DEFAULT_LEEWAY
    """Seconds by which clocks may differ."""


def parse_reference(text: str) -> Reference:
    """Read ``env:NAME`` or ``file:/path``; raises ``ValueError`` without repeating ``text``,
    which may well be the secret itself."""
    scheme, _, place = text.partition(":")
    if scheme == "env" and _VARIABLE.fullmatch(place):
        return Reference(scheme, place)
    if scheme == "file" and place.startswith("/") and "\0" not in place:
        return Reference(scheme, place)
    raise ValueError("a secret or file is named by env:VARIABLE or file:/path, never written out")


def parse_mtls(argument: str) -> MtlsTerms:
    """Read the argument of ``mtls``; raises ``ValueError``."""
    first, *rest = argument.split(",")
    authority = parse_reference(first)
    if authority.scheme != "file":
        raise ValueError("its authority is a file: mtls:file:/path/ca.pem")
    names = []
    for part in rest:
        key, _, name = part.partition("=")
        if key != "name" or not _NAME.fullmatch(name):
            raise ValueError("behind the authority stand name=NAME only")
        names.append(name)
    if len(names) > MAX_NAMES:
        raise ValueError(f"at most {MAX_NAMES} names")
    return MtlsTerms(authority, tuple(names))


def parse_signature(argument: str) -> SignatureTerms:
    """Read the argument of ``signature``; raises ``ValueError``."""
    scheme, *references = argument.split(",")
    if scheme not in SCHEMES:
        raise ValueError("whose signatures: " + ", ".join(SCHEMES))
    if len(references) > MAX_SECRETS:
        raise ValueError(f"at most {MAX_SECRETS} secrets")
    secrets = tuple(map(parse_reference, references))
    return SignatureTerms(scheme, secrets or (Reference("env", SCHEMES[scheme]),))


def parse_jwt(argument: str) -> JwtTerms:
    """Read the argument of ``jwt``; raises ``ValueError``."""
    issuer, *rest = argument.split(",")
    if not is_fetchable(issuer):
        raise ValueError("an issuer is an https URL (http on loopback only), without a query")
    audiences: list[str] = []
    algorithms: list[str] = []
    jwks, leeway = "", str(DEFAULT_LEEWAY)
    for part in rest:
        key, _, value = part.partition("=")
        if key == "aud" and value:
            audiences.append(value)
        elif key == "alg" and value in (*ALGORITHMS, EDWARDS):
            algorithms.append(value)
        elif key == "alg":
            raise ValueError("an algorithm is one of " + ", ".join((*ALGORITHMS, EDWARDS)))
        elif key == "jwks" and not jwks:
            jwks = _jwks(value)
        elif key == "leeway" and value.isascii() and value.isdigit() and len(value) <= 3:
            leeway = value
        else:
            raise ValueError("behind the issuer stand aud=, jwks=, alg= and leeway=")
    if not audiences:
        raise ValueError("whom its tokens are for must be said: aud=AUDIENCE")
    if int(leeway) > LONGEST_LEEWAY:
        raise ValueError(f"a leeway is at most {LONGEST_LEEWAY} seconds")
    chosen = tuple(dict.fromkeys(algorithms)) or DEFAULT_ALGORITHMS
    return JwtTerms(issuer, tuple(audiences), jwks, chosen, int(leeway))


def parse_oauth(argument: str) -> bool:
    """Whether the origin brings its own OAuth; raises ``ValueError``."""
    if argument not in ("", "origin"):
        raise ValueError("it takes no argument, or origin: the origin brings its own OAuth")
    return argument == "origin"


def is_fetchable(url: str) -> bool:
    """Whether we would fetch keys from ``url``: https, or http on this machine's loopback; no
    user, no query, no fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.query or parts.fragment or "@" in parts.netloc or "\\" in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def _jwks(value: str) -> str:
    if value.startswith("file:"):
        return str(parse_reference(value))
    if not is_fetchable(value):
        raise ValueError("jwks is an https URL (http on loopback only), or file:/path")
    return value
