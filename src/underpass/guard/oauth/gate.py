"""The gate of a protected resource: a token of ours, in the header, for this place, still good.

Everything that the token opens is decided at use: the lease, the audience, revocation. The field
that held it is taken off, so the origin never sees it.
"""

from __future__ import annotations

from typing import Final

from underpass.guard.checks import MAX_CREDENTIAL_BYTES
from underpass.guard.oauth.books import Books
from underpass.guard.outcomes import Deny, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.http.messages import RequestHead

_STRIP: Final = (b"authorization",)


class OAuthGate:
    """``Authorization: Bearer TOKEN``, once; nowhere else is a token looked for."""

    kind = "oauth"
    text = "oauth"

    def __init__(self, books: Books) -> None:
        self._books = books

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        """See ``Gate``."""
        given = [
            value
            for name, value in head.headers
            if len(name) == 13 and name.lower() == b"authorization"
        ]
        if not given:
            return self._refuse(is_invalid=False)
        value = given[0]
        if len(given) > 1 or len(value) > MAX_CREDENTIAL_BYTES or value[:7].lower() != b"bearer ":
            return self._refuse(is_invalid=True)
        grant = self._books.look_up_access(value[7:].lstrip(b" "))
        if grant is None:
            return self._refuse(is_invalid=True)
        return Pass(_STRIP, identity=grant.visitor.identity)

    def _refuse(self, *, is_invalid: bool) -> Deny:
        place = self._books.place
        if place is None:
            # Before the tunnel has its URL nobody can have a token, and there is nowhere to ask.
            return Deny(401, "gate-unauthenticated", [(b"WWW-Authenticate", b"Bearer")])
        challenge = place.challenge_invalid if is_invalid else place.challenge
        return Deny(401, "gate-unauthenticated", [(b"WWW-Authenticate", challenge)])
