"""An outside OpenID Connect provider that says who a person is: the code flow with PKCE.

Its addresses come from its discovery document, whose issuer must be the one that was named; its
``id_token`` is verified by PyJWT with keys we fetched: fixed algorithms, exact issuer and audience,
our nonce. Whoever it names must be among those the owner allows; an e-mail address counts whole, in
the case it is written, and only when the provider has verified it (CVE-2026-40574).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import jwt

from underpass.gatehouse.oauth.fetch import Fetcher, FetchRefused
from underpass.guard.oauth.records import Visitor
from underpass.guard.secrets import Secret

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
"""Asymmetric all: with a shared one, whoever knows the client's secret could sign."""

LEEWAY_SECONDS: Final = 30
KEYS_SECONDS: Final = 300.0
"""How long discovery and keys are believed; an unknown key asks again, but not more often than
``AGAIN_SECONDS``."""
AGAIN_SECONDS: Final = 15.0


class ProviderRefused(Exception):
    """The provider says no, cannot be asked, or names somebody who may not pass."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Provider:
    """One provider, as one client of it."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        secret: Callable[[], Secret] | None,
        allowed: tuple[str, ...],
        fetcher: Fetcher,
    ) -> None:
        """``allowed`` holds ``sub:SUBJECT`` and e-mail addresses; nobody else passes."""
        self.host = urlsplit(issuer).netloc
        """For people."""
        self._issuer = issuer
        self._client_id = client_id
        self._secret = secret
        self._allowed = frozenset(allowed)
        self._fetcher = fetcher
        self._document: dict[str, Any] | None = None
        self._keys: jwt.PyJWKSet | None = None
        self._fetched_at = 0.0
        self._asking = asyncio.Lock()

    async def question(self, state: str, nonce: str, verifier: str, callback: str) -> str:
        """Where the browser goes to sign in. Raises ``ProviderRefused``."""
        document = await self._discover()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": callback,
            "scope": "openid email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        endpoint = str(document["authorization_endpoint"])
        return endpoint + ("&" if urlsplit(endpoint).query else "?") + urlencode(asked)

    async def visitor(
        self, answer: Mapping[str, str], nonce: str, verifier: str, callback: str
    ) -> Visitor:
        """Who signed in, by the provider's answer. Raises ``ProviderRefused``."""
        document = await self._discover()
        named = answer.get("iss")
        if named is not None and named != self._issuer:
            raise ProviderRefused("The answer came from another provider than was asked.")
        if named is None and document.get("authorization_response_iss_parameter_supported"):
            raise ProviderRefused("The answer does not say which provider it is from.")
        code = answer.get("code", "")
        if not code:
            raise ProviderRefused(f"{self.host} did not sign you in.")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": callback,
            "code_verifier": verifier,
        }
        headers = {}
        if self._secret is None:
            form["client_id"] = self._client_id
        else:
            pair = f"{quote(self._client_id, safe='')}:{quote(self._secret().reveal(), safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        try:
            told = await self._fetcher.post(
                str(document["token_endpoint"]), urlencode(form).encode(), headers
            )
        except FetchRefused as refused:
            raise ProviderRefused(f"{self.host} was asked, and {refused.why}.") from None
        token = told.get("id_token") if isinstance(told, dict) else None
        if not isinstance(token, str):
            raise ProviderRefused(f"{self.host} did not say who you are.")
        return self._admit(await self._verify(token, nonce))

    async def close(self) -> None:
        """Nothing is kept open between questions."""

    async def _verify(self, token: str, nonce: str) -> dict[str, Any]:
        try:
            key = await self._key(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                issuer=self._issuer,
                audience=self._client_id,
                leeway=LEEWAY_SECONDS,
                options={"require": ["iss", "sub", "aud", "exp", "iat"], "strict_aud": False},
            )
        except jwt.PyJWTError:
            raise ProviderRefused(f"What {self.host} said cannot be verified.") from None
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise ProviderRefused(f"What {self.host} said was not meant for this sign-in.")
        audiences, party = claims["aud"], claims.get("azp")
        is_many = isinstance(audiences, list) and len(audiences) > 1
        if (is_many or party is not None) and party != self._client_id:
            raise ProviderRefused(f"What {self.host} said was meant for another program.")
        return claims

    def _admit(self, claims: Mapping[str, Any]) -> Visitor:
        subject, email = claims["sub"], claims.get("email")
        is_verified = claims.get("email_verified") is True
        if isinstance(email, str) and is_verified and email in self._allowed and "@" in email:
            return Visitor(f"{self._issuer}#{subject}", email)
        if f"sub:{subject}" in self._allowed:
            return Visitor(f"{self._issuer}#{subject}", subject)
        raise ProviderRefused("You are signed in, but you are not among those who may pass.")

    async def _key(self, token: str) -> Any:
        identity = jwt.get_unverified_header(token).get("kid")
        for attempt in (False, True):
            keys = await self._keys_now(again=attempt)
            for key in keys.keys:
                if key.key_id == identity or (identity is None and len(keys.keys) == 1):
                    return key
        raise jwt.InvalidKeyError("no such key")

    async def _keys_now(self, *, again: bool) -> jwt.PyJWKSet:
        document = await self._discover(again=again)
        if self._keys is None:
            try:
                told = await self._fetcher.get(str(document["jwks_uri"]))
                self._keys = jwt.PyJWKSet.from_dict(told)
            except (FetchRefused, jwt.PyJWTError, AttributeError, TypeError):
                raise ProviderRefused(f"The keys of {self.host} cannot be had.") from None
        return self._keys

    async def _discover(self, *, again: bool = False) -> dict[str, Any]:
        now = asyncio.get_running_loop().time()
        async with self._asking:
            age = now - self._fetched_at
            if self._document is not None and age < (AGAIN_SECONDS if again else KEYS_SECONDS):
                return self._document
            url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
            try:
                told = await self._fetcher.get(url)
            except FetchRefused as refused:
                raise ProviderRefused(f"{self.host} was asked, and {refused.why}.") from None
            needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if not isinstance(told, dict) or told.get("issuer") != self._issuer:
                raise ProviderRefused(f"{self.host} says that it is somebody else.")
            for name in needed:
                self._check_endpoint(told.get(name))
            self._document, self._keys, self._fetched_at = told, None, now
            return told

    def _check_endpoint(self, url: object) -> None:
        try:
            self._fetcher.check(url if isinstance(url, str) else "")
        except FetchRefused:
            raise ProviderRefused(f"{self.host} names an address that cannot be used.") from None
