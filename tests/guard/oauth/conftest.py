"""One authorization server on a clock of the test's own, and the steps of a client."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from underpass.guard.oauth.authlib_server import Reply
from underpass.guard.oauth.books import Books
from underpass.guard.oauth.gate import OAuthGate
from underpass.guard.oauth.place import place_of
from underpass.guard.oauth.records import Visitor
from underpass.guard.oauth.server import Asked, AuthorizationServer
from underpass.guard.peer import Peer
from underpass.http.messages import Headers, RequestHead

URL = "https://tools.example.com"
RESOURCE = URL + "/mcp"
REDIRECT = "http://127.0.0.1:7777/callback"
VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
OWNER = Visitor("owner:alice", "alice")


@dataclass
class Site:
    """A server whose time and lease the test sets."""

    now: float = 1000.0
    lease_left: float = 8 * 3600.0
    books: Books = field(init=False)
    server: AuthorizationServer = field(init=False)
    gate: OAuthGate = field(init=False)

    def __post_init__(self) -> None:
        self.books = Books(now=lambda: self.now, lease_left=lambda: self.lease_left)
        self.books.rebase(place_of(URL, "/mcp"))
        self.server = AuthorizationServer(self.books)
        self.gate = OAuthGate(self.books)

    def register(self, **changes: object) -> dict[str, object]:
        """A client's registration, which must succeed."""
        reply = self.server.register(json.dumps(registration(**changes)).encode())
        assert reply.status == 201, reply.body
        return dict(json.loads(reply.body))

    def ask(self, client_id: object, /, **changes: str | None) -> Asked | Reply:
        """An authorization request."""
        return self.server.ask(tuple(question(client_id, **changes).items()))

    def code(self, client_id: object, /, **changes: str | None) -> str:
        """A code, after the owner has consented."""
        asked = self.ask(client_id, **changes)
        assert isinstance(asked, Asked), asked.location
        return answer_of(self.server.grant(asked, OWNER))["code"]

    def post(self, authorization: str = "", **form: object) -> Reply:
        """A request at the token endpoint."""
        return self.server.token(urlencode(form).encode(), authorization)

    def exchange(self, client_id: object, code: str, /, **changes: object) -> Reply:
        """A code for tokens."""
        form = {
            "grant_type": "authorization_code",
            "client_id": client_id,
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
            "resource": RESOURCE,
        } | changes
        return self.post(**{name: value for name, value in form.items() if value is not None})

    def refresh(self, client_id: object, token: object, /, **changes: object) -> Reply:
        """A refresh token for tokens."""
        form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": token}
        return self.post(**form | changes)

    def tokens(self, client_id: object) -> dict[str, str]:
        """Fresh tokens, all the way."""
        reply = self.exchange(client_id, self.code(client_id))
        assert reply.status == 200, reply.body
        return dict(json.loads(reply.body))

    def opens(self, token: str) -> bool:
        """Whether the gate lets a visitor with ``token`` pass."""
        return passes(self.gate, [(b"Authorization", f"Bearer {token}".encode())])


def passes(gate: OAuthGate, headers: Headers) -> bool:
    """Whether the gate lets a request with these fields pass."""
    head = RequestHead(b"POST", b"/mcp", b"tools.example.com", headers)
    return type(gate.judge(head, Peer("203.0.113.7"))).__name__ == "Pass"


def registration(**changes: object) -> dict[str, object]:
    """What a native client says when it registers."""
    told: dict[str, object] = {
        "client_name": "A client",
        "redirect_uris": [REDIRECT],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "native",
    }
    told |= changes
    return {name: value for name, value in told.items() if value is not None}


def question(client_id: object, /, **changes: str | None) -> dict[str, str]:
    """The parameters of an authorization request; None leaves one out."""
    asked: dict[str, object] = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": REDIRECT,
        "state": "a state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "resource": RESOURCE,
    }
    asked |= changes
    return {name: str(value) for name, value in asked.items() if value is not None}


def answer_of(reply: Reply) -> dict[str, str]:
    """The parameters of an authorization answer."""
    assert reply.status == 302
    return dict(parse_qsl(urlsplit(reply.location).query))


def error_of(reply: Reply) -> str:
    """The error that a client is told."""
    told = json.loads(reply.body) if reply.body else answer_of(reply)
    return str(told.get("error", ""))


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def client_id(site: Site) -> object:
    """A registered public client."""
    return site.register()["client_id"]
