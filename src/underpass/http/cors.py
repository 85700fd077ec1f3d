"""``--cors ORIGIN``: preflights are answered here, before the gates, since browsers send them
without credentials; answers get the fields that let the named pages read them.

Credentials mode is never allowed: a page sends its bearer token in a field of its own.
"""

from __future__ import annotations

from typing import Final

from underpass.http.grammar import tokens
from underpass.http.messages import Headers, RequestHead, ResponseHead, lookup

_EXPOSED: Final = (
    b"Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After, Underpass-Error, "
    b"Location, Link"
)
_MAX_AGE: Final = b"600"
# Chromium's limit is two hours, Firefox's a day; ten minutes lets a changed rule show.

_OURS: Final = (
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
    b"access-control-expose-headers",
)


class Cors:
    """Which pages may call, and what they are told."""

    __slots__ = ("_any", "_origins")

    def __init__(self, origins: tuple[str, ...]) -> None:
        """``origins`` as browsers send them (``https://app.example``), or ``*``."""
        self._any = "*" in origins
        self._origins = frozenset(origin.rstrip("/").encode() for origin in origins)

    def preflight(self, head: RequestHead) -> ResponseHead | None:
        """The whole answer to a preflight of an allowed page; None for any other request."""
        if head.method != b"OPTIONS":
            return None
        method = lookup(head.headers, b"access-control-request-method")
        origin = self._allowed(head)
        if origin is None or method is None or not tokens(method):
            return None
        headers: Headers = [
            (b"Access-Control-Allow-Origin", origin),
            (b"Access-Control-Allow-Methods", method),
            (b"Access-Control-Max-Age", _MAX_AGE),
            (b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]
        wanted = tokens(lookup(head.headers, b"access-control-request-headers") or b"")
        if wanted:
            headers.append((b"Access-Control-Allow-Headers", b", ".join(wanted)))
        if lookup(head.headers, b"access-control-request-private-network") == b"true":
            headers.append((b"Access-Control-Allow-Private-Network", b"true"))
        return ResponseHead(204, b"No Content", headers, 0)

    def answer_headers(self, head: RequestHead, headers: Headers) -> Headers:
        """The fields of an answer to ``head``, ``headers`` being what the origin (or we) said:
        unchanged unless an allowed page asked."""
        origin = self._allowed(head)
        if origin is None:
            return headers
        kept = [field for field in headers if field[0].lower() not in _OURS]
        kept.append((b"Access-Control-Allow-Origin", origin))
        kept.append((b"Access-Control-Expose-Headers", _EXPOSED))
        kept.append((b"Vary", b"Origin"))
        return kept

    def _allowed(self, head: RequestHead) -> bytes | None:
        origin = lookup(head.headers, b"origin")
        if origin is None or not (self._any or origin in self._origins):
            return None
        return origin
