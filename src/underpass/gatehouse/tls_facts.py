"""What a visitor's own TLS connection says about it: the name it asked for, its certificate.

Both are read from the TLS layer that runs here, where it has verified them, and from nowhere else.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from underpass.guard.peer import ClientCertificate, Peer


class NamedTls(ssl.SSLObject):
    """A connection's TLS that remembers which server name it was asked for."""

    server_name: str | None = None


def note_server_names(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have every connection of ``context`` remember its server name; returns ``context``."""
    context.sslobject_class = NamedTls
    context.sni_callback = _note
    return context


def _note(tls: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
    if isinstance(tls, NamedTls) and name is not None:
        tls.server_name = name.lower()


def known_by_tls(peer: Peer, tls: ssl.SSLObject) -> Peer:
    """``peer`` with what ``tls``, its handshake done, knows of it."""
    name = tls.server_name if isinstance(tls, NamedTls) else None
    return replace(peer, secure=True, server_name=name, certificate=_certificate(tls))


def _certificate(tls: ssl.SSLObject) -> ClientCertificate | None:
    """The verified certificate; without a demand for one, or when none was shown, None."""
    raw = tls.getpeercert(binary_form=True)
    told: Mapping[str, Any] | None = tls.getpeercert()
    if not raw or not told:
        return None
    return ClientCertificate(
        _names(told),
        sha256(raw).hexdigest(),
        float(ssl.cert_time_to_seconds(told["notBefore"])),
        float(ssl.cert_time_to_seconds(told["notAfter"])),
    )


def _names(told: Mapping[str, Any]) -> tuple[str, ...]:
    alternatives = tuple(
        value for kind, value in told.get("subjectAltName", ()) if kind in {"DNS", "email", "URI"}
    )
    if alternatives:
        return alternatives
    pairs = [pair for entry in told.get("subject", ()) for pair in entry]
    return tuple(value for key, value in pairs if key == "commonName")
