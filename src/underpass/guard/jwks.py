"""An issuer's public keys: read strictly, kept, and fetched again when a token names a new one.

Keys come from where the owner said, and from nowhere that a token says: from a file, from a URL,
or from the URL in the issuer's own discovery document, which must lie on the issuer's host. What is
fetched is bounded in size and time, redirects are not followed, and strangers with invented key ids
cause at most one fetch in half a minute.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from underpass.guard.fetch import FetchFailed, fetch_json
from underpass.model.gate_arguments import EDWARDS, is_fetchable

FRESH_SECONDS: Final = 600.0
"""So long a key that was withdrawn still counts."""
STALE_SECONDS: Final = 3600.0
"""So long keys are used whose place does not answer."""
AGAIN_SECONDS: Final = 30.0
"""Between two fetches for key ids that nobody knows, or from a place that did not answer."""

MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048

_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", EDWARDS: "Ed25519"}

Fetch = Callable[[str], Awaitable[Any]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that may verify."""

    key_id: str | None
    kind: str
    curve: str | None
    algorithm: str | None
    """The only one it is for, if it says."""
    key: Any = None

    def fits(self, algorithm: str) -> bool:
        """Whether it may verify a signature by ``algorithm``."""
        if self.algorithm not in (None, algorithm):
            return False
        if algorithm in _CURVES:
            return self.kind == ("OKP" if algorithm == EDWARDS else "EC") and (
                self.curve == _CURVES[algorithm]
            )
        return self.kind == "RSA"


def read_keys(document: object) -> tuple[PublicKey, ...]:
    """The usable public keys of a key set. Raises ``ValueError`` when it is none."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError(f"it is no key set of at most {MAX_KEYS} keys")
    return tuple(key for key in map(_read_key, listed) if key is not None)


def _read_key(entry: object) -> PublicKey | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    operations = entry.get("key_ops", ["verify"])
    kind, key_id, algorithm = entry.get("kty"), entry.get("kid"), entry.get("alg")
    if kind not in ("RSA", "EC", "OKP") or "verify" not in operations:
        return None  # symmetric ones (oct) above all: whoever reads the set could sign
    if not isinstance(key_id, str | None) or not isinstance(algorithm, str | None):
        return None
    curve = None if kind == "RSA" else str(entry.get("crv"))
    if kind != "RSA" and curve not in _CURVES.values():
        return None
    name = algorithm or {"RSA": "RS256", "OKP": EDWARDS}.get(kind) or _algorithm_of(curve)
    try:
        key = jwt.PyJWK(entry, algorithm=name).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if kind == "RSA" and key.key_size < MIN_RSA_BITS:
        return None
    return PublicKey(key_id, kind, curve, algorithm, key)


def _algorithm_of(curve: str | None) -> str:
    return next(algorithm for algorithm, named in _CURVES.items() if named == curve)


class Keys:
    """The keys of one issuer. Used on one event loop."""

    def __init__(
        self,
        issuer: str,
        url: str,
        monotonic: Callable[[], float],
        fetch: Fetch = fetch_json,
    ) -> None:
        """``url`` "" asks the issuer's discovery document for it."""
        self._issuer = issuer
        self._url = url
        self._monotonic = monotonic
        self._fetch = fetch
        self._keys: tuple[PublicKey, ...] = ()
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._lock = asyncio.Lock()

    def set_keys(self, keys: tuple[PublicKey, ...]) -> None:
        """Use these for good: from a file."""
        self._keys, self._fetched, self._tried = keys, float("inf"), float("inf")

    def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The one key for ``key_id``; without an id, the only one that fits."""
        if self.age > STALE_SECONDS:
            return None
        fitting = [key for key in self._keys if key.fits(algorithm)]
        if key_id is not None:
            fitting = [key for key in fitting if key.key_id == key_id]
        return fitting[0] if len(fitting) == 1 else None

    @property
    def age(self) -> float:
        """Seconds since the keys were fetched; infinite before."""
        return self._monotonic() - self._fetched

    def is_worth_asking(self, *, found: bool) -> bool:
        """Whether to fetch now: the keys are old, or do not hold the one that a token names."""
        wants = self.age > FRESH_SECONDS or not found
        return wants and self._monotonic() - self._tried >= AGAIN_SECONDS

    @property
    def are_missing(self) -> bool:
        """No keys are at hand, so nobody can say anything."""
        return self.age > STALE_SECONDS

    async def refresh(self) -> None:
        """Fetch the keys, once for all who wait. A failure is logged; the old keys stay."""
        asked = self._monotonic()
        async with self._lock:
            if self._tried >= asked or self._monotonic() - self._tried < AGAIN_SECONDS:
                return
            try:
                url = self._url or await self._discover()
                keys = read_keys(await self._fetch(url))
            except (FetchFailed, ValueError) as error:
                log.warning("cannot fetch the keys of %s: %s", self._issuer, error)
            else:
                self._keys, self._fetched = keys, self._monotonic()
            # Not before: whoever gives up while it runs must leave the next one to try.
            self._tried = self._monotonic()

    async def _discover(self) -> str:
        place = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await self._fetch(place)
        found = document.get("jwks_uri") if isinstance(document, dict) else None
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise ValueError("its discovery document names another issuer")
        if not isinstance(found, str) or not is_fetchable(found):
            raise ValueError("its discovery document names no jwks_uri that can be fetched")
        if _place(found) != _place(self._issuer):
            raise ValueError("its keys lie on another host; name it with jwks=")
        self._url = found
        return found


def _place(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def read_key_file(data: bytes) -> tuple[PublicKey, ...]:
    """The keys in the bytes of a file; raises ``ValueError`` when there is none."""
    keys = read_keys(json.loads(data))
    if not keys:
        raise ValueError("it holds no public key that may verify")
    return keys
