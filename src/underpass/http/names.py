"""What each field name means to whoever forwards a message: one table, looked up once per field.

``kind_of`` answers from a bounded memory of names, so the price of the common case is one dict
lookup, with no lower-casing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from underpass.http.grammar import is_token
from underpass.http.memory import BoundedMemory


class Kind(IntEnum):
    """The part a field plays. ``PLAIN`` is zero so that the common case is a falsy test."""

    PLAIN = 0
    """End-to-end: forwarded as it came."""
    HOST = 1
    LENGTH = 2
    CODING = 3
    CONNECTION = 4
    UPGRADE = 5
    EXPECT = 6
    TE = 7
    HOP = 8
    """Belongs to one connection; dropped."""
    TWIN = 9
    """Spells a field that means something to a proxy with ``_`` for ``-``: many applications
    (CGI, WSGI) cannot tell the two apart. Refused in requests."""
    INVALID = 10
    """Not a token."""


_BY_NAME: Final = {
    b"host": Kind.HOST,
    b"content-length": Kind.LENGTH,
    b"transfer-encoding": Kind.CODING,
    b"connection": Kind.CONNECTION,
    b"upgrade": Kind.UPGRADE,
    b"expect": Kind.EXPECT,
    b"te": Kind.TE,
    b"keep-alive": Kind.HOP,
    b"trailer": Kind.HOP,
    b"http2-settings": Kind.HOP,
    # CGI programs see "Proxy" as HTTP_PROXY (httpoxy, CVE-2016-5385).
    b"proxy": Kind.HOP,
}

_GUARDED_PREFIXES: Final = (
    b"x-forwarded",
    b"forwarded",
    b"x-real-",
    b"x-original-",
    b"x-rewrite-",
    b"x-client-",
    b"x-cluster-",
    b"x-auth-",
    b"x-authenticated-",
    b"x-remote-",
    b"x-user",
    b"x-webauth-",
    b"x-ssl-",
    b"remote-",
    b"true-client-",
    b"client-ip",
    b"cf-",
    b"fastly-",
    b"fly-client-",
    b"tailscale-",
    b"ngrok-",
    b"underpass-",
    b"proxy-",
    b"authorization",
    b"cookie",
    b"host",
    b"content-",
    b"transfer-",
    b"www-authenticate",
)
"""Names that proxies, guards or frameworks act on; only their ``_`` twins are refused."""

_COMMON: Final = (
    "Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges Age Allow Authorization "
    "Cache-Control Content-Disposition Content-Encoding Content-Language Content-Location "
    "Content-Range Content-Security-Policy Content-Type Cookie DNT Date ETag Expires From "
    "If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since Last-Event-ID "
    "Last-Modified Link Location MCP-Protocol-Version Mcp-Method Mcp-Name Mcp-Session-Id Origin "
    "Pragma Range Referer Retry-After Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User "
    "Sec-WebSocket-Accept Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Protocol "
    "Sec-WebSocket-Version Server Set-Cookie Strict-Transport-Security Underpass-Error "
    "Underpass-Proof Underpass-Token Upgrade-Insecure-Requests User-Agent Vary Via "
    "WWW-Authenticate Warning X-Accel-Buffering X-Content-Type-Options X-Forwarded-For "
    "X-Forwarded-Host X-Forwarded-Proto X-Frame-Options X-Powered-By X-Request-ID "
    "X-Requested-With Host Content-Length Transfer-Encoding Connection Upgrade Expect TE "
    "Keep-Alive Trailer Forwarded"
)


def _judge(name: bytes) -> Kind:
    if not is_token(name):
        return Kind.INVALID
    lower = name.lower()
    kind = _BY_NAME.get(lower)
    if kind is not None:
        return kind
    if lower.startswith(b"proxy-"):
        return Kind.HOP
    if b"_" in lower:
        dashed = lower.replace(b"_", b"-")
        if dashed in _BY_NAME or dashed.startswith(_GUARDED_PREFIXES):
            return Kind.TWIN
    return Kind.PLAIN


kind_of: Final = BoundedMemory(_judge)
"""The part a field (its name in any case) plays."""

kind_if_known: Final = kind_of.if_known
"""The kind of a name seen before, or None."""

for _name in _COMMON.split():
    for _spelling in (_name, _name.lower()):
        kind_of(_spelling.encode())
