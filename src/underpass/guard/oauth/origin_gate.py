"""The gate before an origin that brings its own OAuth: it asks for a token and lets that one judge.

What a client needs to get one passes: the origin's own documents and endpoints, by their usual
names. Everything else needs a bearer token in the header, which goes on to the origin; whether it
is good, the origin says. A visitor without one is refused here and told where to ask.
"""

from __future__ import annotations

from typing import Final

from underpass.guard.oauth.place import Place
from underpass.guard.outcomes import PASSED, REFUSED, Deny, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.http.messages import RequestHead

MAX_TOKEN_BYTES: Final = 16 * 1024
"""The origin's tokens may be JWTs with much in them."""

DOCUMENTS: Final = (
    b"/.well-known/oauth-protected-resource",
    b"/.well-known/oauth-authorization-server",
    b"/.well-known/openid-configuration",
    b"/.well-known/jwks.json",
)
ENDPOINTS: Final = (b"/authorize", b"/token", b"/register", b"/revoke")
"""As MCP's specification of 2025-03-26 names them, and its SDKs still do; others are opened by
rules (``--gate /login=open``)."""

_IDENTITY: Final = Pass(identity="oauth:origin")


class OriginOAuthGate:
    """``oauth:origin``."""

    kind = "oauth"
    text = "oauth:origin"

    def __init__(self) -> None:
        self.place: Place | None = None
        """None until the tunnel's public URL is known."""
        self._is_closed = False

    def close(self) -> None:
        """Admit nobody: tokens would travel in the clear."""
        self.place, self._is_closed = None, True

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        """See ``Gate``."""
        path = head.target.partition(b"?")[0]
        if self._is_closed:
            return REFUSED
        if self._is_for_signing_in(path):
            return PASSED
        given = [value for name, value in head.headers if name.lower() == b"authorization"]
        if len(given) == 1 and len(given[0]) <= MAX_TOKEN_BYTES:
            scheme, _, token = given[0].partition(b" ")
            if scheme.lower() == b"bearer" and token.strip():
                return _IDENTITY
        challenge = b"Bearer" if self.place is None else self.place.challenge
        return Deny(401, "gate-unauthenticated", [(b"WWW-Authenticate", challenge)])

    def _is_for_signing_in(self, path: bytes) -> bool:
        if path in ENDPOINTS or path in DOCUMENTS:
            return True
        place = self.place
        if place is None or not place.path or b"/.well-known/" not in path:
            return False
        own = place.path.encode()
        inserted = {document + own for document in DOCUMENTS}
        return path.removesuffix(b"/") in inserted or path == own + DOCUMENTS[2]
