"""Who is there: the signed introduction on every link.

The relay speaks first (Challenge). The connector answers with a Hello whose Ed25519 signature
covers a labelled transcript: the whole challenge, the whole hello, so both nonces, the relay's
name, the certificate it saw, the tunnel, the instance, the offsets and the guard's hash. Whoever
sits between the two can delay or refuse a link; he cannot move it, replay it or change a word.
"""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from underpass.model.errors_relay import RelayTooOld, TlsIntercepted
from underpass.relay.protocol.budget import WINDOW_LIMIT
from underpass.relay.protocol.errors import HandshakeError
from underpass.relay.protocol.records import (
    VERSION,
    Challenge,
    Hello,
    SignedHello,
    decode_hello,
    encode,
)

LABEL: Final = b"underpass link v1\0"
NONCE_SIZE: Final = 32
ID_SIZE: Final = 16
KEY_SIZE: Final = 32
LARGEST: Final = 2**63
"""Bound of counters and offsets: they are kept in signed 64-bit columns."""


def transcript(challenge: bytes, hello: bytes) -> bytes:
    """The bytes that are signed: label, challenge and hello, both as they stood on the wire.

    Each record is preceded by its length, so that no two pairs of records share a transcript.
    """
    return b"".join(
        (
            LABEL,
            len(challenge).to_bytes(4, "big"),
            challenge,
            len(hello).to_bytes(4, "big"),
            hello,
        )
    )


def sign(hello: Hello, challenge: bytes, key: Ed25519PrivateKey) -> SignedHello:
    """Seal a hello. ``challenge`` is the relay's greeting exactly as received; ``key`` is the
    private half of ``hello.key``."""
    body = encode(hello)
    return SignedHello(body=body, signature=key.sign(transcript(challenge, body)))


def verify(
    signed: SignedHello, challenge: Challenge, accepted: frozenset[bytes], *, plain: bool
) -> Hello:
    """Judge an introduction; returns the hello, of which every word is now the key's.

    Pure: the caller knows what it asked and which certificates it served. ``accepted`` are
    SHA-256 hashes of leaf certificates: the one served on this link and those of configured front
    proxies. ``plain`` says that the link is a plain one on loopback, the only place where an empty
    hash is right. Raises ``RelayTooOld``, ``TlsIntercepted`` or ``HandshakeError``. Whether the
    key may have what it asks is admission's question, not this one's.
    """
    try:
        hello = decode_hello(signed.body)
    except msgspec.DecodeError:
        raise HandshakeError(reason="the hello is not a well-formed record") from None
    if hello.version != VERSION:
        raise RelayTooOld(relay=challenge.relay, theirs=VERSION, ours=hello.version)
    if hello.role != "connector":
        raise HandshakeError(reason="the peer does not introduce itself as a connector")
    if hello.relay != challenge.relay:
        raise HandshakeError(reason="the connector means another relay")
    if len(hello.key) != KEY_SIZE or len(hello.nonce) != NONCE_SIZE:
        raise HandshakeError(reason="key or nonce has the wrong size")
    if len(hello.instance) != ID_SIZE or len(hello.lane) != ID_SIZE:
        raise HandshakeError(reason="instance or lane has the wrong size")
    if not (0 <= hello.epoch < LARGEST and 0 < hello.generation < LARGEST):
        raise HandshakeError(reason="epoch or generation is out of range")
    if not (0 <= hello.received < LARGEST and 0 < hello.credit <= WINDOW_LIMIT):
        raise HandshakeError(reason="offset or credit is out of range")
    if plain != (hello.certificate == b"") or (not plain and hello.certificate not in accepted):
        raise TlsIntercepted(relay=challenge.relay)
    try:
        Ed25519PublicKey.from_public_bytes(hello.key).verify(
            signed.signature, transcript(encode(challenge), signed.body)
        )
    except (InvalidSignature, ValueError):
        raise HandshakeError(reason="the signature does not match") from None
    return hello
