"""The gate of a protected resource: a token of ours, in the header, for this place, still good.

Everything that the token opens is decided at use: the lease, the audience, revocation. What runs
under it ends a little after it, and at once when its grant is taken back. The field that held it is
taken off, so the origin never sees it.
"""

from __future__ import annotations

from typing import Final

from underpass.guard.checks import MAX_CREDENTIAL_BYTES
from underpass.guard.oauth.books import Books
from underpass.guard.outcomes import Deny, Outcome, Pass
from underpass.guard.peer import Peer
from underpass.http.messages import RequestHead

FINISH_SECONDS: Final = 60.0
"""How long what runs may outlast its token: MCP clients wait that long for an answer, and one that
asked in time should get it. No token opens anything anew in that time."""

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
        access = self._books.look_up_access(value[7:].lstrip(b" "))
        if access is None:
            return self._refuse(is_invalid=True)
        grant, until = access.grant, self._books.unix_of(access.expires_at) + FINISH_SECONDS
        return Pass(_STRIP, None, grant.visitor.identity, until, (grant.hold,))

    def _refuse(self, *, is_invalid: bool) -> Deny:
        place = self._books.place
        if place is None:
            # Before the tunnel has its URL nobody can have a token, and there is nowhere to ask.
            return Deny(401, "gate-unauthenticated", [(b"WWW-Authenticate", b"Bearer")])
        challenge = place.challenge_invalid if is_invalid else place.challenge
        return Deny(401, "gate-unauthenticated", [(b"WWW-Authenticate", challenge)])
