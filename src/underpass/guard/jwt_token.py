"""Reading a token before anything in it is believed, and judging its claims after. Pure.

PyJWT verifies the signature, with a key and an algorithm that we chose; all else that a token says
of itself is judged here: it may not bring keys, name an algorithm beyond the fixed ones, repeat a
name in its JSON, or ask for extensions.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

MAX_TOKEN_BYTES: Final = 16 * 1024
# Some providers put hundreds of groups into a token; a whole head has 64 KiB.

_SHAPE: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt", "application/jwt"})
"""Tokens of other types (logout, events, proofs) must not open a door (RFC 8725, 3.11)."""
_BRINGS_KEYS: Final = frozenset({"jwk", "jku", "x5u", "x5c"})
_KEY_ID: Final = re.compile(r"[ -~]{1,256}")
_SUBJECT: Final = re.compile(r"[!-~]{1,128}")
_NEVER: Final = 2**53
# A whole number of JSON may be too large for a float.


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """What a token says of how it was signed."""

    algorithm: str
    key_id: str | None


def read_header(token: bytes, algorithms: Sequence[str]) -> TokenHeader | None:
    """The header, or None for a token that is not to be looked at further."""
    if len(token) > MAX_TOKEN_BYTES or not _SHAPE.fullmatch(token):
        return None
    first, second, third = token.split(b".")
    if not all(map(_is_canonical, (first, second, third))):
        return None
    header = _read_object(_decode(first))
    if header is None or "crit" in header or "b64" in header or "zip" in header:
        return None
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if (
        not isinstance(algorithm, str)
        or algorithm not in algorithms
        or _BRINGS_KEYS & header.keys()
    ):
        return None
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        return None
    if key_id is not None and not (isinstance(key_id, str) and _KEY_ID.fullmatch(key_id)):
        return None
    return TokenHeader(algorithm, key_id)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token that opens the door says of its bearer."""

    subject: str
    """Whose it is; "" if it does not say in a form that can be shown."""
    until: float
    """When it opens the door no more, in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the claims of a token must say."""

    issuer: str
    audiences: frozenset[str]
    leeway: int


def judge_claims(payload: bytes, wanted: Wanted, now: float) -> Claims | None:
    """What the token says, or None if it does not open this door now. ``payload`` is what was
    signed."""
    claims = _read_object(payload)
    if claims is None or not _names(claims, wanted):
        return None
    until = _find_end(claims, wanted.leeway, now)
    subject = claims.get("sub")
    if until is None or not (subject is None or isinstance(subject, str)):
        return None
    return Claims(subject if subject and _SUBJECT.fullmatch(subject) else "", until)


def is_meant_for(token: bytes, wanted: Wanted) -> bool:
    """Whether ``token`` says of itself that it is for this door, whoever has signed it."""
    if len(token) > MAX_TOKEN_BYTES or not _SHAPE.fullmatch(token):
        return False
    part = token.split(b".")[1]
    claims = _read_object(_decode(part)) if _is_canonical(part) else None
    return claims is not None and _names(claims, wanted)


def _names(claims: Mapping[str, Any], wanted: Wanted) -> bool:
    """Whether issuer and audience are those that are wanted."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    return (
        claims.get("iss") == wanted.issuer
        and all(isinstance(each, str) for each in audiences)
        and bool(wanted.audiences.intersection(audiences))
    )


def _find_end(claims: Mapping[str, Any], leeway: int, now: float) -> float | None:
    """Its end, leeway included; None if it is not its time. It must say when it ends; when it
    begins and was made may be left out."""
    ends, begins, made = claims.get("exp"), claims.get("nbf"), claims.get("iat")
    if not _is_time(ends) or now >= ends + leeway:
        return None
    for each in (begins, made):
        if each is not None and not (_is_time(each) and now >= each - leeway):
            return None
    return float(min(ends + leeway, _NEVER))


def _is_time(value: object) -> TypeGuard[float]:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_canonical(part: bytes) -> bool:
    """Whether no other text decodes to the same bytes: the last letter may hold bits to spare."""
    spare = {0: 0, 2: 4, 3: 2}.get(len(part) % 4)
    if spare is None:
        return False
    return not spare or _ALPHABET.index(part[-1]) % (1 << spare) == 0


_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _decode(part: bytes) -> bytes:
    return urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def _read_object(data: bytes) -> dict[str, Any] | None:
    try:
        made = json.loads(data.decode("utf-8"), object_pairs_hook=_without_twins)
    except (ValueError, RecursionError, binascii.Error):
        return None
    return made if isinstance(made, dict) else None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers may take different ones of two values with one name."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands there twice")
    return made
