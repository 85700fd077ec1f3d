"""WireGuard keys as text: 32 bytes in base64, exactly as ``wg genkey`` writes them. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Final

KEY_BYTES: Final = 32
NO_KEY: Final = base64.b64encode(bytes(KEY_BYTES)).decode()
"""How a device says that it has none."""


def is_key(text: object) -> bool:
    """Whether ``text`` is a key in its one spelling: the last character has two unused bits, so
    others decode to the same bytes."""
    return isinstance(text, str) and decode(text) is not None


def decode(text: str) -> bytes | None:
    """The bytes of a key; None for what is none."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        return None
    is_one = len(data) == KEY_BYTES and base64.b64encode(data).decode() == text
    return data if is_one else None


def encode(data: bytes) -> str:
    """The text of a key."""
    return base64.b64encode(data).decode()


def clamp(seed: bytes) -> bytes:
    """A private key from 32 random bytes (RFC 7748, section 5), so that its text is the same
    wherever it is shown."""
    key = bytearray(seed)
    key[0] &= 248
    key[31] = (key[31] & 127) | 64
    return bytes(key)


def to_hex(text: str) -> str:
    """A key as the devices' own control protocol writes it."""
    data = decode(text)
    if data is None:
        raise ValueError("it is no key")
    return data.hex()
