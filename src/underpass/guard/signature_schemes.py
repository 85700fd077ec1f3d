"""How webhooks are signed: which fields say what, and over which bytes the MAC goes. Pure.

- *standard*: Standard Webhooks 1.0, ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``;
  symmetric signatures (``v1``) only
- *github*: ``X-Hub-Signature-256`` over the body alone; it says no time
- *stripe*: ``Stripe-Signature`` with ``t=`` and any number of ``v1=``
- *slack*: ``X-Slack-Request-Timestamp`` and ``X-Slack-Signature``

All of them are HMAC-SHA256. Fields are read strictly: one that stands there twice, a time that is
no plain number, a signature of another length is no signature.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from underpass.http.messages import Headers

WINDOW_SECONDS: Final = 300
"""How far a signature's time may lie from now, either way: what all three schemes recommend."""

MAC_BYTES: Final = 32
MAX_SIGNATURES: Final = 16
# Several stand side by side while a secret is replaced; more are an attempt to keep us busy.

_MIB: Final = 1024 * 1024

_SECONDS: Final = re.compile(rb"[1-9][0-9]{0,11}")
_HEX: Final = re.compile(rb"[0-9a-f]{64}")
_ENTRY: Final = re.compile(rb"[a-z][a-z0-9]{0,7}=[0-9A-Za-z._-]{1,256}")
_ID: Final = re.compile(rb"[!-~]{1,256}")


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request's fields claim."""

    macs: tuple[bytes, ...]
    """One of these must be right."""
    prefix: bytes
    """What stands before the body in the bytes that were signed."""
    seconds: int | None
    """When it was signed; None where the scheme does not say."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to sign."""

    read: Callable[[Headers], Signed | None]
    """What the fields claim; None if they are not there, or not as they should be."""
    make_key: Callable[[str], bytes]
    """The MAC's key from the text of a secret; raises ``ValueError``."""
    limit: int = _MIB
    """Bytes of body that are held to be judged. Senders of events stay far below."""


def _one(headers: Headers, name: bytes) -> bytes | None:
    found = [value for key, value in headers if key.lower() == name]
    return found[0] if len(found) == 1 else None


def _seconds(value: bytes | None) -> int | None:
    return int(value) if value is not None and _SECONDS.fullmatch(value) else None


def _from_hex(value: bytes) -> bytes | None:
    return binascii.unhexlify(value) if _HEX.fullmatch(value) else None


def _read_standard(headers: Headers) -> Signed | None:
    identity, listed = _one(headers, b"webhook-id"), _one(headers, b"webhook-signature")
    said = _one(headers, b"webhook-timestamp")
    seconds = _seconds(said)
    if identity is None or listed is None or seconds is None or said is None:
        return None
    if not _ID.fullmatch(identity) or b"." in identity:
        return None  # a dot there blurs where the id ends and the time begins
    entries = listed.split(b" ")
    if len(entries) > MAX_SIGNATURES:
        return None
    macs = []
    for entry in entries:
        version, _, text = entry.partition(b",")
        if version != b"v1":
            continue
        try:
            mac = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            return None
        if len(mac) != MAC_BYTES:
            return None
        macs.append(mac)
    return Signed(tuple(macs), b"%b.%b." % (identity, said), seconds) if macs else None


def _read_github(headers: Headers) -> Signed | None:
    said = _one(headers, b"x-hub-signature-256")
    if said is None or not said.startswith(b"sha256="):
        return None
    mac = _from_hex(said[7:])
    return None if mac is None else Signed((mac,), b"", None)


def _read_stripe(headers: Headers) -> Signed | None:
    said = _one(headers, b"stripe-signature")
    entries = [] if said is None else said.split(b",")
    if not entries or len(entries) > MAX_SIGNATURES or not all(map(_ENTRY.fullmatch, entries)):
        return None
    pairs = [(key, value) for key, _, value in (entry.partition(b"=") for entry in entries)]
    times = [value for key, value in pairs if key == b"t"]
    macs = [_from_hex(value) for key, value in pairs if key == b"v1"]
    right = tuple(mac for mac in macs if mac is not None)
    seconds = _seconds(times[0]) if len(times) == 1 else None
    if seconds is None or not right or len(right) != len(macs):
        return None
    return Signed(right, times[0] + b".", seconds)


def _read_slack(headers: Headers) -> Signed | None:
    said, time = _one(headers, b"x-slack-signature"), _one(headers, b"x-slack-request-timestamp")
    seconds = _seconds(time)
    if said is None or time is None or seconds is None or not said.startswith(b"v0="):
        return None
    mac = _from_hex(said[3:])
    return None if mac is None else Signed((mac,), b"v0:%b:" % time, seconds)


def _plain_key(secret: str) -> bytes:
    return secret.encode()


def _standard_key(secret: str) -> bytes:
    text = secret.removeprefix("whsec_")
    try:
        key = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("it is no base64, with or without whsec_ before it") from None
    if not 16 <= len(key) <= 128:
        # The standard says 24 to 64; some senders are older than it.
        raise ValueError("it has fewer than 16 or more than 128 bytes")
    return key


SCHEMES: Final[Mapping[str, Scheme]] = {
    "standard": Scheme(_read_standard, _standard_key),
    "github": Scheme(_read_github, _plain_key, 25 * _MIB),
    "stripe": Scheme(_read_stripe, _plain_key),
    "slack": Scheme(_read_slack, _plain_key),
}
"""By name. GitHub documents 25 MB as the most it sends, and does send megabytes."""
