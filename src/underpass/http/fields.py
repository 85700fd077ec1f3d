"""Forwarded and identity fields: what visitors claim is taken away, what we know is stamped on.

Trusts nobody: whether a peer's address may be believed was decided by whoever passes it here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from underpass.http.memory import BoundedMemory
from underpass.http.messages import Headers

KEPT: Final = frozenset((b"underpass-token", b"underpass-proof"))
"""Ours, but spoken by visitors: credential and proof, which the gatehouse judges and removes."""

_CLAIMS: Final = frozenset(
    b"forwarded x-real-ip x-client-ip x-cluster-client-ip x-originating-ip x-remote-ip "
    b"x-remote-addr x-remote-user remote-user true-client-ip client-ip cf-connecting-ip "
    b"cf-connecting-ipv6 fastly-client-ip fly-client-ip x-azure-clientip x-original-url "
    b"x-original-uri x-original-host x-rewrite-url x-http-host-override x-host x-forwarded "
    b"tailscale-app-capabilities tailscale-funnel-request tailscale-headers-info "
    b"script-name x-script-name path-info x-scheme x-url-scheme front-end-https "
    b"x-sendfile-type x-accel-mapping x-client-cert "
    b"remote-name remote-email remote-group remote-groups".split()
)
"""Who calls, from where, or for what, as edges tell it: each one a way past somebody's guard
(oauth2-proxy CVE-2025-54576, Traefik CVE-2026-39858, frp CVE-2026-40910). Some move the path that
a rule has judged (gunicorn believes a local peer's ``SCRIPT_NAME``), or the files that are read."""

_CLAIM_PREFIXES: Final = (
    b"x-forwarded-",
    b"underpass-",
    b"tailscale-user-",
    # Where a login proxy in front of an application says who is logged in.
    b"x-webauth-",
    b"x-remote-",
    b"x-authenticated-",
    b"x-auth-request-",
    b"x-authentik-",
    b"x-envoy-",
    b"x-ssl-client-",
    b"ssl-client-",
    b"x-ms-client-principal",
    b"x-goog-authenticated-user-",
    b"cf-access-authenticated-user-",
)


def _is_claim(name: bytes) -> bool:
    # The reader refuses underscore twins; folding them here too costs nothing and covers heads
    # that came another way.
    lower = name.lower().replace(b"_", b"-")
    return lower not in KEPT and (lower in _CLAIMS or lower.startswith(_CLAIM_PREFIXES))


is_claim: Final = BoundedMemory(_is_claim)
"""Whether a field (its name in any case) claims what only an edge may say."""


def strip_claims(headers: Headers) -> Headers:
    """The fields without any that claim an address, an identity or another target."""
    known = is_claim.if_known
    kept: Headers = []
    for field in headers:
        name = field[0]
        claim = known(name)
        if claim is None:
            claim = is_claim(name)
        if not claim:
            kept.append(field)
    return kept


is_ours: Final = BoundedMemory(lambda name: name.lower().startswith(b"underpass-"))
"""Whether a field (its name in any case) is one that only we put on an answer."""


def strip_ours(headers: Headers) -> Headers:
    """The fields of an origin's answer without those by which our own answers are known: an
    origin must not be able to speak for a gate or a proof."""
    for name, _ in headers:
        if is_ours(name):
            return [field for field in headers if not is_ours(field[0])]
    return headers


def stamp(address: str, *, secure: bool, host: bytes) -> Headers:
    """What we know of the visitor, as fields for the origin. ``address`` is "" when no edge
    vouches for one; ``host`` is the Host the visitor sent, judged by the reader."""
    return list(_stamp(address, secure, host))


@lru_cache(maxsize=256)
# Visitors keep their connections: the same few lines go on every request.
def _stamp(address: str, secure: bool, host: bytes) -> tuple[tuple[bytes, bytes], ...]:
    scheme = b"https" if secure else b"http"
    text = address.encode("ascii", "replace")
    if not text:
        node = b"unknown"
    elif b":" in text:
        node = b'"[' + text + b']"'
    else:
        node = text
    stamped = [
        (b"X-Forwarded-Proto", scheme),
        (b"X-Forwarded-Host", host),
        (b"Forwarded", b'for=%b;host="%b";proto=%b' % (node, host, scheme)),
    ]
    if text:
        stamped.insert(0, (b"X-Forwarded-For", text))
    return tuple(stamped)
