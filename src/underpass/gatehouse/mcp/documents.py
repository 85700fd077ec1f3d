"""Documents in which an MCP server or an agent says where it is, and how they are moved.

OAuth metadata (RFC 9728, RFC 8414, OpenID Connect discovery), A2A agent cards and whatever a server
publishes below ``/.well-known/mcp``. Only JSON strings that are URLs of the origin change, byte for
byte in their place: order, spacing and numbers stay. Keys never change. A document that carries a
signature over its content is left as it is, since nobody could verify it otherwise. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from underpass.http.messages import Headers, RequestHead, ResponseHead, lookup

LONGEST: Final = 128 * 1024
# Metadata and cards are a few KiB; a longer one streams past unread.

Move = Callable[[str], str | None]
"""The public form of a URL, or None for one that is not the origin's."""

_WELL_KNOWN: Final = re.compile(
    rb".*/\.well-known/(?:oauth-protected-resource|oauth-authorization-server"
    rb"|openid-configuration|agent-card\.json|agent\.json|mcp|mcp\.json)(?:/.*)?",
    re.DOTALL,
)
_CARDS: Final = re.compile(
    rb".*/(?:extendedAgentCard|v1/card|agent/authenticatedExtendedCard)", re.DOTALL
)
# The card that A2A shows after authentication: 1.0, 0.3, 0.2.

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"([ \t\r\n]*:)?', re.DOTALL)

_CONDITIONS: Final = frozenset(
    {
        b"accept-encoding",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    }
)
_STALE: Final = frozenset(
    {b"accept-ranges", b"content-digest", b"content-md5", b"digest", b"etag", b"last-modified"}
    | {b"repr-digest"}
)
"""Fields that speak of the bytes before they were changed."""


def is_document(target: bytes) -> bool:
    """Whether a request target names such a document, path-inserted forms included."""
    path = target.partition(b"?")[0]
    return bool(_WELL_KNOWN.fullmatch(path) or _CARDS.fullmatch(path))


def ask_whole(head: RequestHead) -> RequestHead:
    """The request for a document so that the origin sends all of it, and sends it plain."""
    kept: Headers = [field for field in head.headers if field[0].lower() not in _CONDITIONS]
    kept.append((b"Accept-Encoding", b"identity"))
    return msgspec.structs.replace(head, headers=kept)


def may_change(head: ResponseHead) -> bool:
    """Whether the answer is a whole, plain JSON document."""
    kind = (lookup(head.headers, b"content-type") or b"").split(b";")[0].strip().lower()
    coding = (lookup(head.headers, b"content-encoding") or b"identity").strip().lower()
    return (
        head.status == 200
        and (kind == b"application/json" or kind.endswith(b"+json"))
        and coding == b"identity"
        and head.body <= LONGEST
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """A document as the visitor gets it."""

    body: bytes
    what: Literal["moved", "same", "signed"]
    """``signed``: it names the origin's own address and was left alone."""
    urls: Mapping[str, str] = field(default_factory=dict)
    """The strings at its top, as the origin wrote them."""


def move_document(body: bytes, move: Move) -> Moved:
    """Every URL of the origin in its public form."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Moved(body, "same")

    def moved_string(match: re.Match[bytes]) -> bytes:
        whole = match[0]
        if match[1] is not None:
            return whole
        found = move(msgspec.json.decode(whole))
        return whole if found is None else msgspec.json.encode(found)

    changed = _STRING.sub(moved_string, body)
    if changed == body:
        return Moved(body, "same")
    if _is_signed(told):
        return Moved(body, "signed")
    top = told.items() if isinstance(told, dict) else ()
    return Moved(changed, "moved", {key: url for key, url in top if isinstance(url, str)})


def changed_fields(headers: Headers, etag: bytes) -> Headers:
    """The fields of a document that was changed: validators and digests of the old bytes go, and
    ``etag`` names the new ones."""
    return [*(field for field in headers if field[0].lower() not in _STALE), (b"ETag", etag)]


def has_already(head: RequestHead, etag: bytes | None) -> bool:
    """Whether the visitor asked for anything but what ``etag`` names (RFC 9110, 13.1.2)."""
    asked = lookup(head.headers, b"if-none-match")
    if asked is None or etag is None:
        return False
    known = {tag.strip().removeprefix(b"W/") for tag in asked.split(b",")}
    return asked.strip() == b"*" or etag.removeprefix(b"W/") in known


def _is_signed(told: object) -> bool:
    """A2A cards carry ``signatures``, OAuth metadata ``signed_metadata``."""
    return isinstance(told, dict) and bool(told.get("signatures") or told.get("signed_metadata"))
