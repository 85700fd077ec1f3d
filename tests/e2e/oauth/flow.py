"""A client written out step by step, so that tests can go wrong at any of them."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
from tests.canary import record_secret

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}
TYPES = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


class Client:
    """One OAuth client of one tunnel."""

    def __init__(self, url: str, path: str = "/mcp") -> None:
        self.url = url
        self.resource = url + path
        self.own = f"{url}/.underpass/oauth"
        self.redirect = "http://127.0.0.1:7465/callback"
        self.client_id = ""
        self.verifier = secrets.token_urlsafe(48)
        self.http = httpx2.AsyncClient(trust_env=False, timeout=20)

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    async def register(self, **changes: object) -> httpx2.Response:
        told = {
            "client_name": "A tests' client",
            "redirect_uris": [self.redirect],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        }
        answer = await self.http.post(f"{self.own}/register", json=told | changes)
        self.client_id = answer.json().get("client_id", "")
        return answer

    def question(self, **changes: str | None) -> str:
        """The address of the consent page; None leaves a parameter out."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect,
            "state": "a-state",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            "resource": self.resource,
        }
        kept = {name: value for name, value in (asked | changes).items() if value is not None}
        return f"{self.own}/authorize?{urlencode(kept)}"

    async def token(self, **form: str) -> httpx2.Response:
        return await self.http.post(f"{self.own}/token", data=form)

    async def exchange(self, answered: str, **changes: str) -> dict[str, Any]:
        """The tokens for the answer that a browser was sent with."""
        reply = await self.try_exchange(answered, **changes)
        assert reply.status_code == 200, reply.text
        tokens = dict(reply.json())
        record_secret("an access token", tokens["access_token"])
        return tokens

    async def try_exchange(self, answered: str, **changes: str) -> httpx2.Response:
        told = dict(parse_qsl(urlsplit(answered).query))
        form = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "code": told.get("code", ""),
            "redirect_uri": self.redirect,
            "code_verifier": self.verifier,
            "resource": self.resource,
        }
        return await self.token(**form | changes)

    async def call(self, token: str = "", **headers: str) -> httpx2.Response:
        """Begin an MCP session at the resource."""
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.http.post(
            self.resource, json=INITIALIZE, headers={**TYPES, **shown, **headers}
        )

    async def close(self) -> None:
        await self.http.aclose()
