"""How a connector's public key is written: ``ed25519:`` and base64url, or its short fingerprint."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

PREFIX: Final = "ed25519:"
KEY_BYTES: Final = 32


def key_text(public: bytes) -> str:
    """The whole key, as it stands in an authorised-keys file."""
    return PREFIX + base64.urlsafe_b64encode(public).decode().rstrip("=")


def parse_key(text: str) -> bytes:
    """The raw key; raises ``ValueError`` with a reason fit for people."""
    if not text.startswith(PREFIX):
        raise ValueError(f"a key begins with {PREFIX}")
    body = text.removeprefix(PREFIX)
    try:
        public = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the key is not base64url") from None
    if len(public) != KEY_BYTES:
        raise ValueError(f"the key has {len(public)} bytes instead of {KEY_BYTES}")
    return public


def fingerprint(public: bytes) -> str:
    """The key's name in lists and errors: ``SHA256:`` and 43 characters, as OpenSSH writes it."""
    digest = hashlib.sha256(public).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
