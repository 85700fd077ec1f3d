"""What a client says about itself, registered (RFC 7591) or in its document, judged and bounded.

Names are shown to people: they are cut, and characters that change how a line reads are taken out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Final, Literal

from authlib.oauth2.rfc7591 import InvalidClientMetadataError, InvalidRedirectURIError

from underpass.guard.oauth.place import AUTH_METHODS
from underpass.guard.oauth.records import Client
from underpass.guard.oauth.redirects import MAX_URIS, why_not_registrable

MAX_NAME: Final = 80
MAX_MARKS: Final = 2
"""Marks on one letter: languages need two, towers of them write over other lines."""
MAX_DOCUMENT_BYTES: Final = 32 * 1024
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    map(chr, range(0xFE00, 0xFE10))
)
"""Letters and marks that show nothing, and variation selectors."""
_GRANTS: Final = ("authorization_code", "refresh_token")


def read_registration(told: Mapping[str, Any], client_id: str, secret_hash: bytes) -> Client:
    """The client that ``told`` describes. Raises authlib's ``InvalidRedirectURIError`` or
    ``InvalidClientMetadataError``."""
    method = told.get("token_endpoint_auth_method") or "client_secret_basic"
    if method not in AUTH_METHODS:
        raise InvalidClientMetadataError("token_endpoint_auth_method is not supported")
    hidden = secret_hash if method != "none" else b""
    return _read(told, client_id, method, hidden, "registered")


def read_document(told: Mapping[str, Any], url: str) -> Client:
    """The client whose Client ID Metadata Document at ``url`` is ``told``. Raises as above.

    The document must name its own address, and there is no secret that both sides could know.
    """
    if told.get("client_id") != url:
        raise InvalidClientMetadataError("the document does not name its own address as client_id")
    if "client_secret" in told or "client_secret_expires_at" in told:
        raise InvalidClientMetadataError("a public document holds no secret")
    if told.get("token_endpoint_auth_method", "none") != "none":
        raise InvalidClientMetadataError("token_endpoint_auth_method is not supported")
    return _read(told, url, "none", b"", "document")


def clean_name(name: object, otherwise: str) -> str:
    """A name as it may be shown."""
    # Cut first: normalizing takes the square of a long row of marks.
    text = unicodedata.normalize("NFC", name[: 4 * MAX_NAME]) if isinstance(name, str) else ""
    shown: list[str] = []
    marks = 0
    for each in text:
        category = unicodedata.category(each)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if each.isspace():
            shown.append(" ")
        # Cc, Cf, Cs, Co, Cn: controls, turns of direction, surrogates, private and unassigned.
        elif category[0] != "C" and each not in _INVISIBLE and marks <= MAX_MARKS:
            shown.append(each)
    return " ".join("".join(shown).split())[:MAX_NAME] or otherwise


def _read(
    told: Mapping[str, Any],
    client_id: str,
    method: str,
    secret_hash: bytes,
    origin: Literal["registered", "document"],
) -> Client:
    grants = told.get("grant_types") or ["authorization_code"]
    if not _is_texts(grants) or "authorization_code" not in grants:
        raise InvalidClientMetadataError("grant_types must hold authorization_code")
    responses = told.get("response_types") or ["code"]
    if not _is_texts(responses) or "code" not in responses:
        raise InvalidClientMetadataError("response_types must hold code")
    kind = told.get("application_type") or ""
    if kind not in ("", "web", "native"):
        raise InvalidClientMetadataError("application_type is web or native")
    uris = told.get("redirect_uris")
    if not uris or not _is_texts(uris) or len(uris) > MAX_URIS:
        raise InvalidRedirectURIError(f"redirect_uris must hold 1 to {MAX_URIS} URIs")
    for uri in uris:
        why = why_not_registrable(uri, kind)
        if why:
            raise InvalidRedirectURIError(f"a redirect URI cannot be used: {why}")
    return Client(
        client_id,
        clean_name(told.get("client_name"), "a program without a name"),
        tuple(uris),
        method,
        secret_hash,
        tuple(each for each in _GRANTS if each in grants),
        origin,
    )


def _is_texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(each, str) for each in found)
