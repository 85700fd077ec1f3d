"""Everything the authorization server remembers: bounded, in memory, secrets as digests only.

``now`` is a clock that nobody can set. What is given out ends with the lease, whose rest is asked
for at every use: a renewed lease keeps tokens alive, a closed tunnel takes its books along.
Changed in single synchronous steps.
"""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Final

from underpass.guard.oauth.place import Place
from underpass.guard.oauth.records import Access, Client, Code, Grant
from underpass.guard.secrets import TOKEN_PREFIX, hash_token, is_token, new_token

MAX_STRANGERS: Final = 256
"""Clients that registered and were never admitted; the oldest makes room."""
MAX_CLIENTS: Final = 64
"""Clients that were admitted once."""
MAX_DOCUMENTS: Final = 64
MAX_CODES: Final = 64
MAX_GRANTS: Final = 256
MAX_ACCESS: Final = 4
"""Access tokens of one grant that may live side by side; a client with more has lost the others."""

STRANGER_SECONDS: Final = 3600.0
CODE_SECONDS: Final = 60.0
"""RFC 6749 says ten minutes at most; a client on the other end of a redirect needs one second."""
ACCESS_SECONDS: Final = 3600.0
DOCUMENT_SECONDS: Final = 600.0
AGAIN_SECONDS: Final = 10.0
"""How long a refresh token that was just spent is taken once more: answers get lost where tunnels
reconnect, and two programs of one person refresh at once."""
MAX_AGAIN: Final = 3
"""Refresh tokens that one spent token may have been exchanged for."""

_FAMILY_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class BooksStatistics:
    """How much is remembered."""

    strangers: int
    clients: int
    documents: int
    codes: int
    grants: int
    access: int


class Books:
    """The memory of one tunnel's authorization server."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        lease_left: Callable[[], float],
        unix: Callable[[], float] = time.time,
    ) -> None:
        """``lease_left``: seconds until the tunnel's lease ends, as granted at this moment."""
        self.now = now
        self.unix = unix
        """For documents, and for what ends elsewhere; nothing of ours is judged by it."""
        self.lease_left = lease_left
        self.place: Place | None = None
        """None until the tunnel's public URL is known."""
        self.on_clients: Callable[[], None] = lambda: None
        """Told when the admitted clients have changed."""
        self._strangers: dict[str, Client] = {}
        self._clients: dict[str, Client] = {}
        self._documents: dict[str, tuple[Client, float]] = {}
        self._codes: dict[bytes, Code] = {}
        self._spent: dict[bytes, tuple[bytes, float]] = {}
        self._grants: dict[bytes, Grant] = {}
        self._access: dict[bytes, Access] = {}

    def rebase(self, place: Place) -> None:
        """The tunnel is public at ``place``. Another place voids all that was given for the
        former: its resource is no longer there, and clients key what they have by issuer."""
        if self.place is not None and self.place != place:
            self._strangers.clear()
            self._clients.clear()
            self._documents.clear()
            self._codes.clear()
            self._spent.clear()
            self.revoke_all()
        self.place = place

    # Clients.

    def client(self, client_id: str) -> Client | None:
        """The client of that id, if it is known now."""
        known = self._clients.get(client_id) or self._strangers.get(client_id)
        if known is not None or (cached := self._documents.get(client_id)) is None:
            return known
        # One that is in goes on while its document is away; nobody comes in by an old one.
        is_good = self.now() <= cached[1] or client_id in self._holders()
        return cached[0] if is_good else None

    def is_admitted(self, client_id: str) -> bool:
        """Whether somebody has let this very client in."""
        return client_id in self._clients or client_id in self._holders()

    def register(self, client: Client) -> None:
        """Remember a stranger who registered."""
        now = self.now()
        for each in [c for c in self._strangers.values() if now - c.since > STRANGER_SECONDS]:
            del self._strangers[each.client_id]
        while len(self._strangers) >= MAX_STRANGERS:
            del self._strangers[next(iter(self._strangers))]
        self._strangers[client.client_id] = replace(client, since=now)

    def document(self, client_id: str) -> Client | None:
        """The client that a document described lately; None: it must be fetched (again)."""
        cached = self._documents.get(client_id)
        return None if cached is None or self.now() > cached[1] else cached[0]

    def note_document(self, client: Client) -> None:
        """Remember what a client's document says."""
        self._documents.pop(client.client_id, None)
        if len(self._documents) >= MAX_DOCUMENTS:
            holders = self._holders()
            strangers = (each for each in self._documents if each not in holders)
            del self._documents[next(strangers, next(iter(self._documents)))]
        self._documents[client.client_id] = (client, self.now() + DOCUMENT_SECONDS)

    def admit(self, client: Client) -> None:
        """The owner has let ``client`` in once: it is kept, and outlives this process."""
        if client.origin == "document" or client.client_id in self._clients:
            return
        self._strangers.pop(client.client_id, None)
        while len(self._clients) >= MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
        self._clients[client.client_id] = client
        self.on_clients()

    def admitted(self) -> tuple[Client, ...]:
        """The clients to keep for the next time this tunnel is opened at this place."""
        return tuple(self._clients.values())

    def recall(self, clients: tuple[Client, ...]) -> None:
        """Know again the clients that were admitted before."""
        for client in clients[-MAX_CLIENTS:]:
            self._clients[client.client_id] = client

    # Codes.

    def give_code(self, code: str, record: Code) -> None:
        """Remember a code."""
        now = self.now()
        self._codes = {key: each for key, each in self._codes.items() if each.expires_at > now}
        self._spent = {key: each for key, each in self._spent.items() if each[1] > now}
        while len(self._codes) >= MAX_CODES:
            del self._codes[next(iter(self._codes))]
        self._codes[hash_token(code)] = record

    def look_up_code(self, code: str, client: Client) -> Code | None:
        """The code, if it is good. One that was used before takes down what it had given, and one
        in another client's hands is worth nothing any more."""
        key = hash_token(code.encode("utf-8", "surrogateescape"))
        spent = self._spent.get(key)
        if spent is not None:
            self.revoke(spent[0])
            return None
        record = self._codes.get(key)
        if record is None or self.now() > record.expires_at:
            return None
        if record.client_id != client.client_id:
            del self._codes[key]
            return None
        return record

    def spend_code(self, code: str, family: bytes) -> None:
        """The code has been exchanged for the grant ``family``."""
        key = hash_token(code)
        record = self._codes.pop(key)
        # Remembered ten times its life: a thief who comes late should still be noticed.
        self._spent[key] = (family, record.expires_at + 10 * CODE_SECONDS)
        while len(self._spent) > MAX_CODES:
            del self._spent[next(iter(self._spent))]

    # Grants and tokens.

    def open_grant(self, client: Client, code: Code) -> Grant:
        """A fresh grant, without tokens so far."""
        while len(self._grants) >= MAX_GRANTS:
            self.revoke(next(iter(self._grants)))
        family = secrets.token_bytes(_FAMILY_BYTES)
        grant = Grant(
            family, client.client_id, client.name, code.visitor, code.resource, self.now()
        )
        self._grants[family] = grant
        return grant

    def give_access(self, grant: Grant) -> tuple[str, int]:
        """A fresh access token and the seconds it lives, as far as the lease goes today."""
        while len(grant.access) >= MAX_ACCESS:
            self._access.pop(grant.access.pop(0), None)
        token = new_token().reveal()
        digest = hash_token(token)
        grant.access.append(digest)
        self._access[digest] = Access(grant, self.now() + ACCESS_SECONDS)
        return token, max(1, int(min(ACCESS_SECONDS, self.lease_left())))

    def give_refresh(self, grant: Grant, spent: str = "") -> str:
        """A fresh refresh token for ``spent``, which was looked up; "" when there is none yet.

        It names its grant, so that any spent one, however old, gives itself away.
        """
        raw = grant.family + secrets.token_bytes(_FAMILY_BYTES)
        token = TOKEN_PREFIX + urlsafe_b64encode(raw).decode().rstrip("=")
        digest = hash_token(spent) if spent else b""
        if digest and digest == grant.spent:
            grant.refresh = (*grant.refresh, hash_token(token))
        else:
            grant.refresh = (hash_token(token),)
            grant.spent, grant.again_until = digest, self.now() + AGAIN_SECONDS
        return token

    def look_up_refresh(self, token: str) -> Grant | None:
        """The grant that ``token`` renews. A spent one means that two hold what one was given, and
        the grant is revoked; but see ``AGAIN_SECONDS``."""
        grant = self._grant_of_refresh(token)
        if grant is None:
            return None
        digest = hash_token(token)
        comes_again = (
            compare_digest(digest, grant.spent)
            and self.now() < grant.again_until
            and len(grant.refresh) < MAX_AGAIN
        )
        if not comes_again and not _is_one_of(digest, grant.refresh):
            self.revoke(grant.family)
            return None
        return grant if self.lease_left() > 0 else None

    def look_up_access(self, token: bytes) -> Access | None:
        """What ``token`` stands for, if it is good at this moment, at this place."""
        access = self._access.get(hash_token(token))
        if access is None or self.now() >= access.expires_at or self.lease_left() <= 0:
            return None
        place = self.place
        return access if place is not None and access.grant.resource == place.resource else None

    def unix_of(self, moment: float) -> float:
        """A moment of ``now`` in Unix seconds, as the two clocks stand."""
        return self.unix() + moment - self.now()

    def find_for_revocation(self, token: str) -> Grant | None:
        """The grant of a token of either kind that a client wants to be rid of."""
        access = self._access.get(hash_token(token.encode("utf-8", "surrogateescape")))
        if access is not None:
            return access.grant
        grant = self._grant_of_refresh(token)
        if grant is None or not _is_one_of(hash_token(token), grant.refresh):
            return None
        return grant

    def revoke(self, family: bytes) -> None:
        """Forget a grant and every token of it, and end what runs under it. Idempotent."""
        grant = self._grants.pop(family, None)
        if grant is not None:
            for digest in grant.access:
                self._access.pop(digest, None)
            grant.hold.cut()

    def revoke_all(self) -> None:
        """Forget all that was given."""
        for family in tuple(self._grants):
            self.revoke(family)

    def grants(self) -> tuple[Grant, ...]:
        """All grants that are open now, the oldest first."""
        return tuple(self._grants.values())

    def statistics(self) -> BooksStatistics:
        """The numbers of this moment."""
        return BooksStatistics(
            len(self._strangers),
            len(self._clients),
            len(self._documents),
            len(self._codes),
            len(self._grants),
            len(self._access),
        )

    def _holders(self) -> set[str]:
        """The ids of clients that hold a code or tokens."""
        codes = (each.client_id for each in self._codes.values())
        return {*codes, *(each.client_id for each in self._grants.values())}

    def _grant_of_refresh(self, token: str) -> Grant | None:
        if not is_token(token):
            return None
        raw = urlsafe_b64decode(token.removeprefix(TOKEN_PREFIX) + "=")
        return self._grants.get(raw[:_FAMILY_BYTES])


def _is_one_of(digest: bytes, good: tuple[bytes, ...]) -> bool:
    return any(compare_digest(digest, each) for each in good)
