"""One tunnel's authorization server with all that belongs to it: the desk at its door.

Joins the pure parts (books, server, sign-ins) with what they need from outside: documents of
clients, a provider, the owner's approval. Made before the tunnel opens; ``rebase`` says where it
is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from underpass.gatehouse.oauth.browser import Browsers
from underpass.gatehouse.oauth.documents import Documents, DocumentUnusable
from underpass.gatehouse.oauth.provider import Provider
from underpass.guard.oauth.authlib_server import Reply
from underpass.guard.oauth.books import Books
from underpass.guard.oauth.place import OWN, Place, place_of
from underpass.guard.oauth.records import Visitor
from underpass.guard.oauth.server import AuthorizationServer
from underpass.guard.oauth.signins import SignIn, SignIns
from underpass.guard.oauth.strangers import Allowance

REGISTRATION_BURST: Final = 30
REGISTRATION_REFILL_SECONDS: Final = 2.0
"""Registering costs a stranger nothing; this keeps the books' churn below what clients need."""
FETCH_BURST: Final = 18
FETCH_REFILL_SECONDS: Final = 5.0
"""Documents that strangers have us fetch: we must not be the source of a flood elsewhere."""


class OAuthDesk:
    """What pages, gate, API and assembly share of one tunnel's OAuth."""

    def __init__(
        self,
        books: Books,
        *,
        tunnel: str,
        owner: str,
        path: str = "",
        documents: Documents,
        provider: Provider | None = None,
        lease_end: Callable[[], float],
    ) -> None:
        """``path`` is that of the guarded resource; ``lease_end`` says the lease's end as unix
        seconds, for people."""
        self.books = books
        self.tunnel = tunnel
        self.owner = owner
        self.server = AuthorizationServer(books)
        self.sign_ins = SignIns(books.now)
        self.browsers = Browsers()
        self.provider = provider
        self.lease_end = lease_end
        self.on_waiting: Callable[[SignIn], None] = lambda sign_in: None
        """Told of each sign-in that begins to wait for the owner."""
        self._path = path
        self._documents = documents
        self._registrations = Allowance(books.now, REGISTRATION_BURST, REGISTRATION_REFILL_SECONDS)
        self._fetches = Allowance(books.now, FETCH_BURST, FETCH_REFILL_SECONDS)

    def rebase(self, public_url: str) -> None:
        """The tunnel is public at ``public_url``; see ``Books.rebase``."""
        place = place_of(public_url, self._path)
        if self.books.place != place:
            self.sign_ins.clear()
        self.books.rebase(place)
        # Plain HTTP means loopback (``oauth_door``): such a tunnel is for development.
        self._documents.allow_loopback(place.issuer.startswith("http:"))

    def takes(self, target: bytes) -> bool:
        """Whether a request target is one of the desk's own, which never reach the origin."""
        path = target.partition(b"?")[0]
        if path.startswith(_OWN_PREFIX):
            return True
        place = self.books.place
        if place is None or b"/.well-known/" not in path:
            return False
        text = path.decode("latin-1")
        return text in place.resource_paths or text in place.server_paths

    async def meet(self, client_id: str, address: str = "") -> None:
        """Make sure that the client's document, if its id is one's address, is known.

        For questions only: who has something to exchange is known already. What is wrong with a
        document shows as a client that is not known. ``address`` is the visitor's, if known.
        """
        if not _ADDRESS.match(client_id) or self.books.document(client_id) is not None:
            return
        if not self._fetches.take(address):
            return
        try:
            client = await self._documents.fetch(client_id)
        except DocumentUnusable:
            return
        self.books.note_document(client)

    def register(self, body: bytes, address: str = "") -> Reply:
        """Answer a registration from ``address``, unless there are too many."""
        if not self._registrations.take(address):
            return Reply(429, b'{"error": "temporarily_unavailable"}', list(_BUSY))
        return self.server.register(body)

    # For the owner.

    def waiting(self) -> tuple[dict[str, object], ...]:
        """The sign-ins that wait for the owner, described."""
        if self.provider is not None:
            return ()
        now = self.books.now()
        return tuple(each.describe(now) for each in self.sign_ins.waiting())

    def decide(self, code: str, *, approve: bool) -> dict[str, object] | None:
        """Approve or deny the sign-in with ``code``; what it was, or None if there is none."""
        if self.provider is not None:
            return None
        found: SignIn | None
        if approve:
            found = self.sign_ins.approve(code, Visitor(f"owner:{self.owner}", self.owner))
        else:
            found = self.sign_ins.deny(code)
        return None if found is None else found.describe(self.books.now())

    def close(self) -> None:
        """The tunnel is closed: nothing that was given is good any more. Idempotent."""
        self.books.revoke_all()
        self.sign_ins.clear()

    async def wait_closed(self) -> None:
        """Wait until nothing is under way to the outside."""
        await self._documents.close()
        if self.provider is not None:
            await self.provider.close()


class SignInDesk(Protocol):
    """What the API needs of it."""

    def waiting(self) -> tuple[dict[str, object], ...]:
        """See ``OAuthDesk``."""

    def decide(self, code: str, *, approve: bool) -> dict[str, object] | None:
        """See ``OAuthDesk``."""


_OWN_PREFIX: Final = OWN.encode() + b"/"
_ADDRESS: Final = re.compile(r"https?://")
_BUSY: Final = [("Content-Type", "application/json"), ("Retry-After", "5")]

__all__ = ["OAuthDesk", "Place", "SignInDesk"]
