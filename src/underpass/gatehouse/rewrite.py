"""The request head as the origin shall see it.

Nothing of a head chooses where it goes: the origin's address is fixed before, and the target is
passed on as bytes behind the base path, never resolved or joined as a URL (CVE-2026-45568). What
visitors claim about themselves is taken away, what we know is stamped on, and the credential that
opened our gate stays here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from underpass.gatehouse.proof import PROOF_HEADER_LOWER
from underpass.http.fields import stamp, strip_claims
from underpass.http.messages import Headers, RequestHead
from underpass.http.writer import request_bytes
from underpass.model.origin import Kind, Origin

VISITOR_FIELD: Final = b"Underpass-Visitor"
"""Who passed the gate (``Pass.identity``). A visitor's own field of that name is taken away with
everything that claims to be ours."""

has_dot_segment = re.compile(rb"/(?:\.|%2[eE]){1,2}(?:[/?;\\]|%2[fF]|%5[cC]|$)").search
"""Whether a target could climb out of a base path: ``..`` also as some servers decode it."""


@lru_cache(maxsize=64)
def origin_host(origin: Origin) -> bytes:
    """The Host value that names the origin itself. The port is always said: the guard of MCP's
    Python SDK admits ``127.0.0.1:*`` and not ``127.0.0.1``."""
    if origin.is_unix:
        return b"localhost:80" if origin.kind is Kind.MCP else b"localhost"
    return origin.address.encode("ascii")


@lru_cache(maxsize=64)
def base_path(origin: Origin, kind: Kind) -> bytes:
    """What stands before every target. The path of an mcp origin names its endpoint, which has
    the same path in public, so nothing stands before those."""
    return b"" if kind is Kind.MCP else origin.path.encode("ascii")


@lru_cache(maxsize=64)
def _dropped(strip: tuple[bytes, ...]) -> tuple[frozenset[bytes], frozenset[int]]:
    """The names that stay here, and their lengths: most names need not be looked at further."""
    names = frozenset((*strip, PROOF_HEADER_LOWER))
    return names, frozenset(map(len, names))


def rewrite(
    head: RequestHead,
    *,
    host: bytes,
    target: bytes,
    strip: tuple[bytes, ...],
    origin_field: bytes | None,
    address: str,
    secure: bool,
    identity: str = "",
) -> bytes:
    """The head's bytes for the origin. Raises ``HeadInvalid`` for one that no reader has judged.

    ``strip`` names fields in lower case; ``origin_field`` replaces the value of an Origin field;
    ``identity`` is what the origin is told of who passed the gate.
    """
    drop, lengths = _dropped(strip)
    headers: Headers = [
        field
        for field in strip_claims(head.headers)
        if len(field[0]) not in lengths or field[0].lower() not in drop
    ]
    if origin_field is not None:
        headers = [
            (name, origin_field if name.lower() == b"origin" else value) for name, value in headers
        ]
    changed = RequestHead(
        head.method,
        target,
        host,
        headers,
        head.body,
        head.upgrade,
        head.expect_continue,
        head.http10,
        head.te_trailers,
    )
    extra = stamp(address, secure=secure, host=head.host)
    if identity:
        extra.append((VISITOR_FIELD, identity.encode("ascii", "replace")))
    return request_bytes(changed, extra=extra)
