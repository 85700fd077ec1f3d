"""The certificate of the front door: one context for each way a TLS connection can go.

Reloading replaces the whole ``Certificate``: connections that are up keep the one they began with,
new ones get the new one, and a broken file changes nothing.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from underpass.model.errors import Setup
from underpass.relay.protocol.frames import ALPN_LINK, ALPN_REACH


@dataclass(eq=False)
class CertificateUnusable(Setup):
    """A certificate or its key cannot be loaded."""

    path: str
    reason: str

    code = "certificate-unusable"
    sentence = "cannot use the certificate {path}: {reason}"
    hint_text = "give a PEM chain with --tls-cert and its unencrypted key with --tls-key"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A loaded certificate, ready to be served."""

    visitors: ssl.SSLContext
    """TLS 1.2 and 1.3, ``http/1.1``."""
    links: ssl.SSLContext
    """TLS 1.3, ``underpass/1``."""
    reach: ssl.SSLContext
    """TLS 1.3, ``underpass-reach/1``."""
    leaf: bytes
    """SHA-256 of the leaf certificate's DER."""


def load_certificate(chain: Path, key: Path) -> Certificate:
    """Load a PEM chain (leaf first) and its key; raises ``CertificateUnusable``."""
    try:
        return Certificate(
            visitors=_context(chain, key, ssl.TLSVersion.TLSv1_2, "http/1.1"),
            links=_context(chain, key, ssl.TLSVersion.TLSv1_3, ALPN_LINK),
            reach=_context(chain, key, ssl.TLSVersion.TLSv1_3, ALPN_REACH),
            leaf=_leaf_hash(chain),
        )
    except ssl.SSLError as error:
        raise CertificateUnusable(str(chain), error.reason or "it is not valid") from error
    except (OSError, ValueError) as error:
        raise CertificateUnusable(str(chain), _reason(error)) from error


def _reason(error: Exception) -> str:
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else str(error)


def _leaf_hash(chain: Path) -> bytes:
    text = chain.read_text("ascii")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    first = text[text.index(begin) : text.index(end) + len(end)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).digest()


def _context(chain: Path, key: Path, oldest: ssl.TLSVersion, protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = oldest
    # Forward secrecy and AEADs only: Mozilla's "intermediate" list, in OpenSSL's words.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:!PSK:!SRP")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([protocol])
    context.load_cert_chain(chain, key, password=_no_password)
    return context


def _no_password() -> str:
    """OpenSSL would otherwise ask at the terminal and block the relay."""
    raise ValueError("its key is encrypted")
