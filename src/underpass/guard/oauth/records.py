"""The nouns of the authorization server: clients, what they asked, what they were given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hmac import compare_digest
from typing import Literal
from urllib.parse import quote

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin

from underpass.guard.holds import Hold
from underpass.guard.oauth.place import SCOPE
from underpass.guard.oauth.redirects import is_among
from underpass.guard.secrets import hash_token


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):
    """A program that may ask for tokens, as far as it has told about itself."""

    client_id: str
    name: str
    """What it calls itself; nobody vouches for it."""
    redirect_uris: tuple[str, ...]
    auth_method: str = "none"
    secret_hash: bytes = field(default=b"", repr=False)
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")
    origin: Literal["registered", "document"] = "registered"
    """Registered here by itself, or described by the document that its id names."""
    since: float = 0.0

    def get_client_id(self) -> str:
        """See authlib."""
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        """The only one, else none."""
        return self.redirect_uris[0] if len(self.redirect_uris) == 1 else ""

    def get_allowed_scope(self, scope: object) -> str:
        """Whatever was asked: there is one scope, and it is what is granted."""
        return SCOPE

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether the answer may go there."""
        return is_among(redirect_uri, self.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        """In constant time, against the digest."""
        return bool(self.secret_hash) and compare_digest(
            hash_token(client_secret.encode("utf-8", "surrogateescape")), self.secret_hash
        )

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """A client shows itself in the way it registered, at every endpoint."""
        return method == self.auth_method

    def check_response_type(self, response_type: str) -> bool:
        """Codes only."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Only what it registered for."""
        return grant_type in self.grant_types


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who signed in."""

    subject: str
    """Stable: the provider's ``sub``, or the owner who approved."""
    label: str
    """For people: an address, or a name."""

    @property
    def identity(self) -> str:
        """As gates tell (``Pass.identity``): percent-encoded where it is not plain ASCII."""
        return _identity(self.label)


@lru_cache(maxsize=256)
# Asked at every request of the few who are in.
def _identity(label: str) -> str:
    # Whole: two that differ at their ends only are two.
    return "oauth:" + quote(label, safe="@.+-_/#:~")


@dataclass(frozen=True, slots=True)
class Code(AuthorizationCodeMixin):
    """An authorization code, less the code itself."""

    client_id: str
    redirect_uri: str
    """As the request named it; "" when it named none."""
    code_challenge: str
    visitor: Visitor
    resource: str
    expires_at: float
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        """See authlib."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """See authlib."""
        return SCOPE


@dataclass(slots=True)
class Grant(TokenMixin):
    """What one sign-in gave: a chain of refresh tokens and the access tokens made with them."""

    family: bytes
    """16 random bytes; the first half of each of its refresh tokens."""
    client_id: str
    client_name: str
    visitor: Visitor
    resource: str
    since: float
    refresh: tuple[bytes, ...] = field(default=(), repr=False)
    """Digests of the refresh tokens that are good now: one, or the few that one spent token was
    exchanged for by a client that asked again. The first of them that is used spends the others."""
    spent: bytes = field(default=b"", repr=False)
    """Digest of the token that they were given for, ..."""
    again_until: float = 0.0
    """... and until when it may come once more."""
    access: list[bytes] = field(default_factory=list, repr=False)
    """Digests of its access tokens, the newest last."""
    hold: Hold = field(default_factory=Hold, repr=False, compare=False)
    """What runs under it hangs on this."""

    def check_client(self, client: Client) -> bool:
        """Whether it was given to ``client``."""
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        """See authlib."""
        return SCOPE

    def get_expires_in(self) -> int:
        """See authlib; the books know better."""
        return 0

    def is_expired(self) -> bool:
        """A grant lasts as long as the tunnel."""
        return False

    def is_revoked(self) -> bool:
        """What is revoked is forgotten."""
        return False

    def get_user(self) -> Visitor:
        """See authlib."""
        return self.visitor


@dataclass(frozen=True, slots=True)
class Access:
    """An access token, less the token itself."""

    grant: Grant
    expires_at: float
