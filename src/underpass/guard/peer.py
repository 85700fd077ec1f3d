"""Who calls, as far as it may be believed: what gates are told besides the request's head."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A visitor's certificate whose chain TLS has verified, here, on this very connection."""

    names: tuple[str, ...]
    """Names for which it was issued: its alternative names, or its common name without any."""
    fingerprint: str
    """SHA-256 over its DER form, in lower case hexadecimal."""
    not_before: float
    not_after: float
    """Unix seconds: a connection may outlive the certificate."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who calls, as far as it may be believed."""

    address: str
    """IP address in text, or "" when no edge vouches for one."""
    port: int = 0
    secure: bool = False
    """The visitor's own connection was TLS."""
    server_name: str | None = None
    """The name that TLS was asked for, where it ends here; None elsewhere, and when none was."""
    certificate: ClientCertificate | None = None
    """Only where TLS ends here; never on anybody's word."""
