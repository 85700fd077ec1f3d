"""What an outside provider says is believed only as far as it is verified: forged id_tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from underpass.gatehouse.oauth.fetch import Fetcher
from underpass.gatehouse.oauth.provider import Provider, ProviderRefused
from underpass.guard.oauth.records import Visitor
from underpass.guard.secrets import Secret

CALLBACK = "https://tools.example.com/.underpass/oauth/callback"
NONCE, VERIFIER = "n" * 43, "v" * 43
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
SECRET = "a-client-secret-of-the-providers-own"


def jwk(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, "alg": algorithm, "use": "sig"}


class Issuer:
    """A provider of the test's own, on loopback; what it answers with is the test's to say."""

    def __init__(self) -> None:
        self.url = ""
        self.id_token = ""
        self.keys = [jwk(KEY, "one", "RS256"), jwk(CURVE, "two", "ES256")]
        self.changes: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, str], str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])
        }
        form = (await reader.readexactly(int(fields.get("content-length", 0)))).decode()
        path = head.split()[1]
        self.asked.append((path, dict(parse_qsl(form)), fields.get("authorization", "")))
        told: Any = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "authorization_endpoint": self.url + "/authorize",
                "token_endpoint": self.url + "/token",
                "jwks_uri": self.url + "/keys",
                **self.changes,
            },
            "/keys": {"keys": self.keys},
            "/token": {"access_token": "unused", "id_token": self.id_token},
        }[path]
        body = json.dumps(told).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        told = {"iss": self.url, "aud": "underpass", "sub": "alice-1", "nonce": NONCE}
        told |= {"iat": now, "exp": now + 60, "email": "alice@example.com", "email_verified": True}
        told |= changes
        return {name: value for name, value in told.items() if value is not None}

    def sign(
        self, key: Any = KEY, algorithm: str = "RS256", kid: str = "one", **claims: Any
    ) -> str:
        headers = {"kid": kid} if kid else {}
        return jwt.encode(self.claims(**claims), key, algorithm, headers=headers)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    await asyncio.sleep(0)


def provider(issuer: Issuer, *allowed: str) -> Provider:
    who = allowed or ("alice@example.com",)
    return Provider(issuer.url, "underpass", lambda: Secret(SECRET), who, Fetcher(loopback=True))


async def signed_in(provider: Provider, **answer: str) -> Visitor:
    told = {"code": "a-code", "state": "s"} | answer
    return await provider.visitor(told, NONCE, VERIFIER, CALLBACK)


async def test_whoever_is_verified_and_allowed_is_let_in(issuer: Issuer):
    issuer.id_token = issuer.sign()
    visitor = await signed_in(provider(issuer))
    assert visitor == Visitor(f"{issuer.url}#alice-1", "alice@example.com")
    path, form, authorization = issuer.asked[1]
    assert (path, form["code_verifier"], form["redirect_uri"]) == ("/token", VERIFIER, CALLBACK)
    assert base64.b64decode(authorization.removeprefix("Basic ")).decode() == f"underpass:{SECRET}"


async def test_people_whose_names_differ_at_their_ends_only_are_told_apart(issuer: Issuer):
    """``sub`` may have 255 characters; the origin is told all of them."""
    names = [f"{'a' * 250}{number}" for number in range(2)]
    heard = set()
    for name in names:
        issuer.id_token = issuer.sign(sub=name, email=None)
        heard.add((await signed_in(provider(issuer, *(f"sub:{each}" for each in names)))).identity)
    assert heard == {f"oauth:{name}" for name in names}


async def test_the_question_is_bound_to_this_sign_in(issuer: Issuer):
    url = await provider(issuer).question("a-state", NONCE, VERIFIER, CALLBACK)
    asked = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith(issuer.url + "/authorize?")
    assert (asked["state"], asked["nonce"], asked["redirect_uri"]) == ("a-state", NONCE, CALLBACK)
    assert asked["code_challenge_method"] == "S256"
    assert VERIFIER not in url


def _public_pem() -> bytes:
    return KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _unsigned(issuer: Issuer, algorithm: str) -> str:
    def part(data: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    return f"{part({'alg': algorithm, 'kid': 'one'})}.{part(issuer.claims())}."


def _by_public_key(issuer: Issuer) -> str:
    """Signed with the public key as if it were a shared secret: PyJWT itself would not do it."""
    import hashlib
    import hmac

    head, body, _ = jwt.encode(issuer.claims(), "x" * 64, "HS256", headers={"kid": "one"}).split(
        "."
    )
    digest = hmac.digest(_public_pem(), f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


FORGED: dict[str, Callable[[Issuer], str]] = {
    "without a signature": lambda issuer: _unsigned(issuer, "none"),
    "alg None": lambda issuer: _unsigned(issuer, "None"),
    "by another key": lambda issuer: issuer.sign(OTHER),
    "by the client's secret": lambda issuer: issuer.sign(SECRET, "HS256"),
    "by the public key as a secret": _by_public_key,
    "by a key that is not known": lambda issuer: issuer.sign(OTHER, kid="three"),
    "by no named key of two": lambda issuer: issuer.sign(kid=""),
    "by a key of another kind": lambda issuer: issuer.sign(CURVE, "ES256", kid="one"),
    "by Ed25519 nobody knows": lambda issuer: issuer.sign(EDWARDS, "EdDSA", kid="two"),
    "of another issuer": lambda issuer: issuer.sign(iss="https://evil.example.com"),
    "of the issuer with a slash": lambda issuer: issuer.sign(iss=issuer.url + "/"),
    "without an issuer": lambda issuer: issuer.sign(iss=None),
    "for another program": lambda issuer: issuer.sign(aud="another"),
    "for several, meant for another": lambda issuer: issuer.sign(aud=["underpass", "x"], azp="x"),
    "for several, without saying": lambda issuer: issuer.sign(aud=["underpass", "x"]),
    "meant for another": lambda issuer: issuer.sign(azp="another"),
    "without an audience": lambda issuer: issuer.sign(aud=None),
    "too old": lambda issuer: issuer.sign(exp=int(time.time()) - 60),
    "without an end": lambda issuer: issuer.sign(exp=None),
    "from the future": lambda issuer: issuer.sign(iat=int(time.time()) + 600),
    "not yet good": lambda issuer: issuer.sign(nbf=int(time.time()) + 600),
    "without a time": lambda issuer: issuer.sign(iat=None),
    "without a subject": lambda issuer: issuer.sign(sub=None),
    "of another sign-in": lambda issuer: issuer.sign(nonce="m" * 43),
    "of no sign-in": lambda issuer: issuer.sign(nonce=None),
    "with a number for a sign-in": lambda issuer: issuer.sign(nonce=7),
    "of somebody else": lambda issuer: issuer.sign(email="mallory@example.com"),
    "of a longer address": lambda issuer: issuer.sign(email="alice@example.com@evil.example"),
    "of an address before it": lambda issuer: issuer.sign(email="x@evil.example,alice@example.com"),
    "of an address in capitals": lambda issuer: issuer.sign(email="ALICE@example.com"),
    "of an address nobody checked": lambda issuer: issuer.sign(email_verified=False),
    "of an address checked in words": lambda issuer: issuer.sign(email_verified="true"),
    "of an address without a word": lambda issuer: issuer.sign(email_verified=None),
    "of a list of addresses": lambda issuer: issuer.sign(email=["alice@example.com"]),
    "changed": lambda issuer: issuer.sign()[:-4] + "AAAA",
    "cut": lambda issuer: issuer.sign().rpartition(".")[0],
    "empty": lambda issuer: "",
    "no JWT": lambda issuer: "not.a.jwt",
}


@pytest.mark.parametrize("name", FORGED)
async def test_what_is_forged_lets_nobody_in(issuer: Issuer, name: str):
    judge = provider(issuer)
    issuer.id_token = issuer.sign()
    assert await signed_in(judge)
    issuer.id_token = FORGED[name](issuer)
    with pytest.raises(ProviderRefused):
        await signed_in(judge)


async def test_a_subject_may_be_allowed_instead_of_an_address(issuer: Issuer):
    issuer.id_token = issuer.sign(email=None)
    assert (await signed_in(provider(issuer, "sub:alice-1"))).label == "alice-1"
    with pytest.raises(ProviderRefused):
        await signed_in(provider(issuer, "sub:alice"))
    issuer.id_token = issuer.sign(email="sub:bob", email_verified=True)
    with pytest.raises(ProviderRefused):
        await signed_in(provider(issuer, "sub:bob"))


@pytest.mark.parametrize(
    "answer", [{"code": ""}, {"iss": "https://evil.example.com"}, {"error": "x", "code": ""}]
)
async def test_an_answer_that_is_none_lets_nobody_in(issuer: Issuer, answer: dict[str, str]):
    issuer.id_token = issuer.sign()
    with pytest.raises(ProviderRefused):
        await signed_in(provider(issuer), **answer)


async def test_a_provider_that_promises_its_name_must_say_it(issuer: Issuer):
    issuer.changes = {"authorization_response_iss_parameter_supported": True}
    issuer.id_token = issuer.sign()
    judge = provider(issuer)
    with pytest.raises(ProviderRefused):
        await signed_in(judge)
    assert await signed_in(judge, iss=issuer.url)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example.com"},
        {"issuer": None},
        {"token_endpoint": "http://evil.example.com/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": None},
    ],
)
async def test_a_provider_that_leads_elsewhere_is_not_asked(
    issuer: Issuer, changes: dict[str, Any]
):
    issuer.changes = changes
    with pytest.raises(ProviderRefused):
        await provider(issuer).question("s", NONCE, VERIFIER, CALLBACK)


async def test_a_provider_that_is_away_is_an_answer_and_not_an_error():
    gone = Provider("http://127.0.0.1:1", "underpass", None, ("a@b.c",), Fetcher(loopback=True))
    with pytest.raises(ProviderRefused, match="cannot be reached"):
        await gone.question("s", NONCE, VERIFIER, CALLBACK)
