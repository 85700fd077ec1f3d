"""The jwt gate: a token of somebody else's issuer, made for this tunnel.

Issuer, audience and algorithms are fixed by the owner; keys are the issuer's (``jwks``). The token
comes in ``Authorization: Bearer`` or, where the origin wants that field for itself, in
``Underpass-Token``; the field that opened the gate stays here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import jwt

from underpass.guard.errors import KeysUnreadable
from underpass.guard.jwks import Keys, PublicKey, read_key_file
from underpass.guard.jwt_token import (
    MAX_TOKEN_BYTES,
    TokenHeader,
    Wanted,
    is_meant_for,
    judge_claims,
    read_header,
)
from underpass.guard.materials import Materials
from underpass.guard.outcomes import AWAY, Deny, Later, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.http.messages import RequestHead
from underpass.model.gate_arguments import JwtTerms, parse_jwt
from underpass.model.gates import GateSpec

MISSING: Final = Deny(
    401, "gate-unauthenticated", [(b"WWW-Authenticate", b'Bearer realm="underpass"')]
)
WRONG: Final = Deny(
    401,
    "gate-unauthenticated",
    [(b"WWW-Authenticate", b'Bearer realm="underpass", error="invalid_token"')],
)


MAX_VERIFIED: Final = 512
# At most 8 MiB. Strangers cannot fill it: what is remembered was signed by the issuer.


class JwtGate:
    """See ``Gate``."""

    kind = "jwt"

    def __init__(
        self, text: str, terms: JwtTerms, keys: Keys, wall_clock: Callable[[], float]
    ) -> None:
        self.text = text
        self._algorithms = terms.algorithms
        self._wanted = Wanted(terms.issuer, frozenset(terms.audiences), terms.leeway)
        self._keys = keys
        self._wall_clock = wall_clock
        self._jws = jwt.PyJWS(algorithms=list(terms.algorithms))
        self._verified: dict[bytes, _Verified] = {}
        """By digest, the oldest first. Only the signature is remembered, and only while the key
        that verified it is the issuer's: claims are judged anew each time."""

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        """See ``Gate``. Waits only when the issuer's keys must be fetched first."""
        shown = _shown(head)
        if shown is None:
            return MISSING
        field, token = shown
        if len(token) > MAX_TOKEN_BYTES:
            return WRONG
        verified = self._verified.get(sha256(token).digest())
        header = read_header(token, self._algorithms) if verified is None else verified.header
        if header is None:
            return WRONG
        key = self._keys.find(header.key_id, header.algorithm)
        if self._keys.is_worth_asking(found=key is not None):

            async def fetch_and_judge() -> Outcome:
                await self._keys.refresh()
                return self._judge(field, token, header)

            return Later(fetch_and_judge)
        if verified is not None and verified.key is key:
            return self._judge_claims(field, verified.payload)
        return self._judge(field, token, header)

    def recognise(self, head: RequestHead) -> tuple[bytes, ...]:
        """See ``Recognises``: while the keys are away no token passes, and all are good again
        when they are back."""
        return tuple(
            field
            for name, value in head.headers
            if (field := name.lower()) in _FIELDS
            and is_meant_for(_token(field, value), self._wanted)
        )

    def _judge(self, field: bytes, token: bytes, header: TokenHeader) -> Pass | Deny:
        key = self._keys.find(header.key_id, header.algorithm)
        if key is None:
            return AWAY if self._keys.are_missing else WRONG
        try:
            payload: bytes = self._jws.decode(token, key.key, algorithms=[header.algorithm])
        except (jwt.PyJWTError, ValueError, TypeError):
            return WRONG
        verified, digest = self._verified, sha256(token).digest()
        verified.pop(digest, None)
        if len(verified) >= MAX_VERIFIED:
            del verified[next(iter(verified))]
        verified[digest] = _Verified(header, key, payload)
        return self._judge_claims(field, payload)

    def _judge_claims(self, field: bytes, payload: bytes) -> Pass | Deny:
        claims = judge_claims(payload, self._wanted, self._wall_clock())
        if claims is None:
            return WRONG
        identity = f"jwt:{claims.subject}" if claims.subject else "jwt"
        return Pass((field,), identity=identity, until=claims.until)


_FIELDS: Final = frozenset({b"authorization", b"underpass-token"})


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature was right."""

    header: TokenHeader
    key: PublicKey
    payload: bytes


def _shown(head: RequestHead) -> tuple[bytes, bytes] | None:
    """The field and the token in it. Our own field counts before ``Authorization``; one that
    stands there twice does not count at all."""
    own = [value for name, value in head.headers if name.lower() == b"underpass-token"]
    if own:
        return (b"underpass-token", own[0]) if len(own) == 1 else None
    found = [value for name, value in head.headers if name.lower() == b"authorization"]
    if len(found) != 1 or found[0][:7].lower() != b"bearer ":
        return None
    return b"authorization", _token(b"authorization", found[0])


def _token(field: bytes, value: bytes) -> bytes:
    """What stands in ``field`` in a token's place."""
    return value if field == b"underpass-token" else value[7:].strip(b" ")


def make_jwt(spec: GateSpec, materials: Materials) -> JwtGate:
    """The gate for ``spec``; nothing is fetched before a token comes. Raises ``KeysUnreadable``."""
    terms = parse_jwt(spec.argument)
    place = terms.jwks.removeprefix("file:")
    keys = Keys(terms.issuer, "" if place != terms.jwks else terms.jwks, materials.monotonic)
    if place != terms.jwks:
        try:
            keys.set_keys(read_key_file(Path(place).read_bytes()))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise KeysUnreadable(path=place, why=str(why).lower()) from None
    return JwtGate(str(spec), terms, keys, materials.wall_clock)
