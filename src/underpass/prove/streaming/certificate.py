"""The certificate: what was measured, said in one spelling, and signed by the owner's key.

A certificate is a JSON object. What is signed is the object without ``signature``, spelled
canonically (RFC 8785: keys sorted, no spaces, UTF-8; there are no fractions in it, so that numbers
have one spelling), after a label of its own: the key signs other things, too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from underpass.prove.streaming.errors import CertificateRefused
from underpass.prove.streaming.judgement import Limits, Line, is_kept
from underpass.prove.streaming.results import Measured

SCHEMA: Final = "underpass/v1/stream-certificate"
MAX_BYTES: Final = 256 * 1024
"""Of a file that is to be checked; ours have some 6,000."""

_LABEL: Final = b"underpass-stream-certificate-v1\0"
_LARGEST: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Of one measurement."""

    tunnel: str
    kind: str
    engine: str
    tls: str
    """``terminate`` or ``passthrough``."""
    scheme: str
    """Of the public address."""
    host: str
    """Of the public address; the certificate says its SHA-256 alone."""
    seen_from: str
    """``loopback``, or ``elsewhere``: over a network."""
    began: str
    ended: str
    """RFC 3339, UTC."""
    version: str
    """Of underpass."""
    system: str


def certify(
    found: Measured,
    limits: Limits,
    lines: list[Line],
    where: Circumstances,
    key: Ed25519PrivateKey,
) -> dict[str, Any]:
    """The certificate of one measurement, signed."""
    told = asdict(where)
    host = told.pop("host")
    measured = asdict(found)
    said: dict[str, Any] = {
        "schema": SCHEMA,
        "ok": is_kept(lines),
        **told,
        "host_sha256": hashlib.sha256(host.encode()).hexdigest(),
        "parameters": measured.pop("parameters"),
        "limits": asdict(limits),
        "lines": [asdict(line) for line in lines],
        "measured": measured,
    }
    said = json.loads(json.dumps(said))
    return {**said, "signature": _sign(said, key)}


def canonical(said: Mapping[str, Any]) -> bytes:
    """Its one spelling. Raises ``ValueError`` for what has none here: fractions, huge numbers."""
    _require_plain(said)
    return json.dumps(
        said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def fingerprint(public: bytes) -> str:
    """A key's short name, as relays and OpenSSH write it."""
    digest = hashlib.sha256(public).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def verify(text: bytes, wanted: str = "") -> dict[str, Any]:
    """The certificate in ``text``, whose signature holds; with ``wanted``, made by the key of
    that fingerprint. Raises ``CertificateRefused``."""
    try:
        said = json.loads(text.decode(), object_pairs_hook=_once)
        signature = said.pop("signature")
        if said.get("schema") != SCHEMA or signature["algorithm"] != "Ed25519":
            raise CertificateRefused("it is of a kind that is not known here")
        public, value = (_from_text(signature[name]) for name in ("key", "value"))
        spelled = canonical(said)
    except CertificateRefused:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CertificateRefused("it is no certificate") from None
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(value, _LABEL + spelled)
    except (InvalidSignature, ValueError):
        raise CertificateRefused("its signature does not hold: it was changed") from None
    found = fingerprint(public)
    if signature.get("fingerprint") != found:
        raise CertificateRefused("it names another key than the one that signed it")
    if wanted and wanted != found:
        raise CertificateRefused(f"it was signed by {found}")
    return {**said, "signature": signature}


def _sign(said: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, str]:
    public = key.public_key().public_bytes_raw()
    return {
        "algorithm": "Ed25519",
        "key": _to_text(public),
        "fingerprint": fingerprint(public),
        "value": _to_text(key.sign(_LABEL + canonical(said))),
    }


def _require_plain(value: object) -> None:
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) and name.isascii() for name in value):
            raise ValueError("a name is not ASCII")
        for each in value.values():
            _require_plain(each)
    elif isinstance(value, list):
        for each in value:
            _require_plain(each)
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError("a number is too large")
    elif not isinstance(value, str | int | None):
        raise ValueError("there is a fraction")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands there twice")
    return made


def _to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _from_text(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, TypeError):
        raise ValueError("it is not base64url") from None
    if _to_text(raw) != text:
        raise ValueError("it is spelled in another way")
    return raw
