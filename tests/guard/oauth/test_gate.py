"""The gate of the resource: what opens it, and a table of what must not."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.guard.oauth.conftest import OWNER, RESOURCE, URL, Site, passes

from underpass.guard.oauth.gate import OAuthGate
from underpass.guard.oauth.place import place_of
from underpass.guard.outcomes import Deny, Pass
from underpass.guard.peer import Peer
from underpass.http.messages import Headers, RequestHead

PEER = Peer("203.0.113.7")


@dataclass(frozen=True)
class Good:
    """Real tokens of one grant, for forgers to start from."""

    access: str
    refresh: str
    client: str
    code: str


Forger = Callable[[Good], "str | bytes"]

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS = {"iss": URL, "aud": RESOURCE, "sub": "alice", "exp": int(time.time()) + 3600}


def _b64(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


def _unsigned(algorithm: str) -> str:
    return f"{_b64({'alg': algorithm, 'typ': 'JWT'})}.{_b64(CLAIMS)}."


def _jws(key: object, algorithm: str, claims: object = None, **header: object) -> str:
    return jwt.encode(claims or CLAIMS, key, algorithm, headers=header)  # type: ignore[arg-type]


FORGED: dict[str, Forger] = {
    # Other things that we gave out.
    "the refresh token": lambda good: good.refresh,
    "the code": lambda good: good.code,
    "the client's id": lambda good: good.client,
    # Near misses of a real one.
    "one character short": lambda good: good.access[:-1],
    "one character long": lambda good: good.access + "A",
    "the first character changed": lambda good: "v" + good.access[1:],
    "a middle character changed": lambda good: _swap(good.access, 20),
    "the last character changed": lambda good: _swap(good.access, len(good.access) - 1),
    "two characters exchanged": lambda good: (
        good.access[:10] + good.access[11] + good.access[10] + good.access[12:]
        if good.access[10] != good.access[11]
        else good.access[::-1]
    ),
    "reversed": lambda good: good.access[::-1],
    "in capitals": lambda good: good.access.upper() + "!",
    "small letters": lambda good: good.access.lower() + "!",
    "without its prefix": lambda good: good.access.removeprefix("up_"),
    "with its prefix twice": lambda good: "up_" + good.access,
    "another prefix": lambda good: "ghp_" + good.access.removeprefix("up_"),
    "padded": lambda good: good.access + "=",
    "padded twice": lambda good: good.access + "==",
    "percent-encoded": lambda good: "%75" + good.access[1:],
    "in quotes": lambda good: f'"{good.access}"',
    "in single quotes": lambda good: f"'{good.access}'",
    "in brackets": lambda good: f"<{good.access}>",
    "with a comma": lambda good: good.access + ",",
    "a list": lambda good: f"{good.access}, {good.access}",
    "twice": lambda good: good.access * 2,
    "with a tab": lambda good: good.access + "\tx",
    "with a space inside": lambda good: good.access[:9] + " " + good.access[9:],
    "followed by another": lambda good: f"{good.access} {good.access}",
    "with a NUL": lambda good: good.access.encode() + b"\0",
    "with a zero-width space": lambda good: (good.access + "\u200b").encode(),
    "with a byte order mark": lambda good: ("\ufeff" + good.access).encode(),
    "in full-width letters": lambda good: "".join(
        chr(ord(c) + 0xFEE0) for c in good.access
    ).encode(),
    "with a combining mark": lambda good: (good.access + "\u0301").encode(),
    "a Cyrillic letter in it": lambda good: ("\u0443p_" + good.access[3:]).encode(),
    "its other alphabet": lambda good: good.access.translate(str.maketrans("-_", "+/")),
    "in hexadecimal": lambda good: good.access.encode().hex(),
    "in base64": lambda good: base64.b64encode(good.access.encode()).decode(),
    "its digest": lambda good: hashlib.sha256(good.access.encode()).hexdigest(),
    # Nothing.
    "empty": lambda good: "",
    "blanks": lambda good: "   ",
    "null": lambda good: "null",
    "undefined": lambda good: "undefined",
    "none": lambda good: "None",
    "true": lambda good: "true",
    "zero": lambda good: "0",
    "a star": lambda good: "*",
    "a dot": lambda good: ".",
    "two dots": lambda good: "..",
    "an empty object": lambda good: "{}",
    "all zeros": lambda good: "up_" + "A" * 43,
    "random": lambda good: "up_" + "q9Z" * 14 + "x",
    # Injections into whatever might look them up.
    "SQL": lambda good: "' OR '1'='1",
    "a wildcard": lambda good: "up_%",
    "a path": lambda good: "../../" + good.access,
    "a template": lambda good: "{{config}}",
    "a format": lambda good: "%s%s%n",
    "a line break": lambda good: good.access.encode() + b"\r\nX: y",
    "a regular expression": lambda good: "up_.*",
    # Too much.
    "very long": lambda good: "up_" + "A" * 5000,
    "a long tail": lambda good: good.access + "A" * 5000,
    # JWTs of every kind of forger: no JWT is ever a token here.
    "a JWT without a signature": lambda good: _unsigned("none"),
    "a JWT, alg None": lambda good: _unsigned("None"),
    "a JWT, alg NONE": lambda good: _unsigned("NONE"),
    "a JWT, alg nOnE": lambda good: _unsigned("nOnE"),
    "a JWT, HS256 by an empty-looking key": lambda good: _jws("\0" * 32, "HS256"),
    "a JWT, HS256 by the token": lambda good: _jws(good.access, "HS256"),
    "a JWT, HS256 by the client's id": lambda good: _jws(good.client * 4, "HS256"),
    "a JWT, HS512 by the refresh token": lambda good: _jws(good.refresh * 2, "HS512"),
    "a JWT, RS256 by a key of its own": lambda good: _jws(KEY, "RS256"),
    "a JWT with its key in it": lambda good: _jws(KEY, "RS256", jwk={"kty": "RSA", "e": "AQAB"}),
    "a JWT with its key's address": lambda good: _jws(KEY, "RS256", jku="https://evil.example/k"),
    "a JWT with a path as key": lambda good: _jws(KEY, "RS256", kid="../../dev/null"),
    "a JWT with SQL as key": lambda good: _jws(KEY, "RS256", kid="x' UNION SELECT 'k"),
    "a JWT, typ at+jwt": lambda good: _jws(KEY, "RS256", typ="at+jwt"),
    "a JWT without an end": lambda good: _jws(KEY, "RS256", {"iss": URL, "aud": RESOURCE}),
    "a JWT that names the token": lambda good: _jws(KEY, "RS256", {"jti": good.access}),
    "a JWT for another audience": lambda good: _jws(KEY, "RS256", {**CLAIMS, "aud": "other"}),
}


def _swap(token: str, at: int) -> str:
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


@pytest.fixture
def good(site: Site, client_id: object) -> Good:
    tokens = site.tokens(client_id)
    return Good(
        tokens["access_token"], tokens["refresh_token"], str(client_id), site.code(client_id)
    )


def test_there_are_sixty_forgeries_at_least():
    assert len(FORGED) >= 60


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_opens_nothing(site: Site, good: Good, name: str):
    token = FORGED[name](good)
    value = b"Bearer " + (token if isinstance(token, bytes) else token.encode())
    assert passes(site.gate, [(b"Authorization", b"Bearer " + good.access.encode())])
    assert not passes(site.gate, [(b"Authorization", value)])


@pytest.mark.parametrize(
    "make",
    [
        lambda good: [(b"Authorization", b"Basic " + base64.b64encode(good))],
        lambda good: [(b"Authorization", b"Token " + good)],
        lambda good: [(b"Authorization", b"Bearer" + good)],
        lambda good: [(b"Authorization", b"Bearer\t" + good)],
        lambda good: [(b"Authorization", b"DPoP " + good)],
        lambda good: [(b"Authorization", good)],
        lambda good: [(b"Authorization", b"Bearer " + good), (b"authorization", b"Bearer x")],
        lambda good: [(b"Authorization", b"Bearer " + good)] * 2,
        lambda good: [(b"X-Authorization", b"Bearer " + good)],
        lambda good: [(b"Proxy-Authorization", b"Bearer " + good)],
        lambda good: [(b"X-Forwarded-Authorization", b"Bearer " + good)],
        lambda good: [(b"Authorization_", b"Bearer " + good)],
        lambda good: [(b"Underpass-Token", good)],
        lambda good: [(b"Cookie", b"access_token=" + good)],
        lambda good: [(b"X-Access-Token", good)],
        lambda good: [(b"X-Api-Key", good)],
        lambda good: [],
    ],
)
def test_a_good_token_elsewhere_opens_nothing(
    site: Site, good: Good, make: Callable[[bytes], Headers]
):
    assert not passes(site.gate, make(good.access.encode()))


@pytest.mark.parametrize("form", ["?access_token=%s", "?token=%s", "?bearer_token=%s", "/%s"])
def test_a_token_in_the_address_opens_nothing(site: Site, good: Good, form: str):
    target = ("/mcp" + form % good.access).encode()
    head = RequestHead(b"GET", target, b"tools.example.com", [])
    assert isinstance(site.gate.judge(head, PEER), Deny)


def test_a_token_of_another_tunnel_opens_nothing(site: Site, good: Good):
    other = Site()
    assert not other.opens(good.access)
    other.books.rebase(place_of("https://other.example.com", "/mcp"))
    foreign = other.server.books.open_grant(
        site.books.client(good.client),  # type: ignore[arg-type]
        site.books.look_up_code(good.code, site.books.client(good.client)),  # type: ignore[arg-type]
    )
    # Its grant names this site's resource, as one made for another audience would.
    assert not other.opens(other.books.give_access(foreign)[0])


def test_a_revoked_an_expired_and_a_closed_tunnels_token_open_nothing(site: Site, good: Good):
    assert site.opens(good.access)
    site.now += 3600
    assert not site.opens(good.access)
    site.now -= 3600
    site.books.revoke_all()
    assert not site.opens(good.access)


def test_the_challenge_says_where_to_ask(site: Site, good: Good):
    def challenge(headers: Headers) -> bytes:
        outcome = site.gate.judge(RequestHead(b"GET", b"/mcp", b"x", headers), PEER)
        assert isinstance(outcome, Deny)
        assert (outcome.status, outcome.code) == (401, "gate-unauthenticated")
        return dict(outcome.challenge)[b"WWW-Authenticate"]

    where = f'resource_metadata="{URL}/.well-known/oauth-protected-resource/mcp"'.encode()
    assert challenge([]) == b"Bearer " + where
    assert challenge([(b"Authorization", b"Bearer x")]) == (
        b"Bearer " + where + b', error="invalid_token"'
    )


def test_before_the_tunnel_has_an_address_nobody_passes():
    books = Site().books
    books.place = None
    outcome = OAuthGate(books).judge(RequestHead(b"GET", b"/", b"x", []), PEER)
    assert isinstance(outcome, Deny)
    assert outcome.status == 401


def test_what_passes_is_taken_off_and_named(site: Site, good: Good):
    headers = [(b"AUTHORIZATION", b"bearer " + good.access.encode())]
    outcome = site.gate.judge(RequestHead(b"GET", b"/mcp", b"x", headers), PEER)
    assert isinstance(outcome, Pass)
    assert (outcome.strip, outcome.identity) == ((b"authorization",), f"oauth:{OWNER.label}")
