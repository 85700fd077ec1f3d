"""Answer fields in which an MCP server names its own address: redirects, challenges. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs, quote, unquote_plus, urlsplit

from underpass.gatehouse.mcp.documents import Move
from underpass.http.messages import Headers

_ADDRESSES: Final = frozenset({b"location", b"content-location"})
_CHALLENGES: Final = frozenset({b"www-authenticate", b"link"})
_ALLOWED_ORIGIN: Final = b"access-control-allow-origin"
_NAMES: Final = _ADDRESSES | _CHALLENGES | {_ALLOWED_ORIGIN}

_IN_FIELD: Final = re.compile(r'(?<=["<=])https?://[^"<>\s,;]*(?=[">\s,;]|$)', re.IGNORECASE)
"""A URL that is a whole parameter value or link target."""


def move_fields(headers: Headers, move: Move, own: bytes, visitor: bytes | None) -> Headers:
    """``headers`` with the origin's URLs in their public form.

    ``own`` is the Origin value that the server was told in place of the ``visitor``'s: where it
    answers with that one, the page that asked must find its own.
    """
    if not any(field[0].lower() in _NAMES for field in headers):
        return headers
    return [(name, _moved(name.lower(), value, move, own, visitor)) for name, value in headers]


def _moved(name: bytes, value: bytes, move: Move, own: bytes, visitor: bytes | None) -> bytes:
    if name == _ALLOWED_ORIGIN:
        return visitor if value == own and visitor is not None else value
    if name not in _NAMES:
        return value
    text = value.decode("latin-1")
    if name in _ADDRESSES:
        found = _moved_issuer(text, move) if _leads_to_client(text) else move(text)
        return value if found is None else found.encode("latin-1")
    return _IN_FIELD.sub(lambda match: move(match[0]) or match[0], text).encode("latin-1")


def _moved_issuer(url: str, move: Move) -> str | None:
    """The outcome with the issuer that the client knows (RFC 9207)."""
    before, mark, query = url.partition("?")
    parts = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        found = move(unquote_plus(value)) if name == "iss" else None
        parts.append(part if found is None else f"iss={quote(found, safe='')}")
    return before + mark + "&".join(parts)


def _leads_to_client(url: str) -> bool:
    """Whether a redirect carries the outcome of an authorization (RFC 6749, 4.1.2): it leads to
    the client's own listener, which on the client's machine may well be localhost, too."""
    try:
        query = parse_qs(urlsplit(url).query)
    except ValueError:
        return False
    return "code" in query or "error" in query
