"""Tokens of somebody's issuer: what passes, and more than sixty forgeries that do not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.guard.issuer import (
    AUDIENCE,
    ED,
    KEYS,
    NOW,
    OTHER_P256,
    OTHER_RSA,
    P256,
    P384,
    RSA,
    WEAK_RSA,
    b64,
    by_hand,
    claims,
    public_jwk,
    public_pem,
    sign,
)

from underpass.guard.gates import Deny, Gate, Materials, Outcome, Pass, Peer, forge
from underpass.http.messages import Headers, RequestHead
from underpass.model.errors import UnderpassError
from underpass.model.gates import parse_gate

ISSUER = "https://id.example.com"


class Clock:
    now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KEYS))
    return path


@pytest.fixture
def gate(keys: Path) -> Gate:
    return make(f"jwt:{ISSUER},aud={AUDIENCE},jwks=file:{keys}")


def make(text: str, clock: Callable[[], float] | None = None) -> Gate:
    materials = Materials(wall_clock=clock or Clock())
    return forge([parse_gate(text)], materials=materials).gates[text]


def show(made: Gate, headers: Headers) -> Outcome:
    return made.judge(RequestHead(b"POST", b"/mcp", b"tools.example.com", headers), Peer(""))


def bearer(token: bytes) -> Headers:
    return [(b"Authorization", b"Bearer " + token)]


HONEST: dict[str, Callable[[], bytes]] = {
    "RS256": lambda: sign(claims(), kid="rsa"),
    "ES256": lambda: sign(claims(), P256, "ES256", kid="p256"),
    "EdDSA": lambda: sign(claims(), ED, "EdDSA", kid="ed"),
    "the only key that fits, unnamed": lambda: sign(claims(), ED, "EdDSA"),
    "access token": lambda: sign(claims(), kid="rsa", typ="at+jwt"),
    "no type": lambda: by_hand({"alg": "RS256", "kid": "rsa"}, claims()),
    "several audiences": lambda: sign(claims(aud=["x", AUDIENCE]), kid="rsa"),
    "neither nbf nor iat": lambda: sign(claims(nbf=..., iat=...), kid="rsa"),
    "times with a fraction": lambda: sign(claims(exp=NOW + 0.5, iat=NOW - 0.5), kid="rsa"),
    "a clock within the leeway": lambda: sign(claims(exp=NOW - 29, nbf=NOW + 29), kid="rsa"),
    "claims we do not know": lambda: sign(claims(scope="a b", x={"y": [1]}), kid="rsa"),
    "no subject": lambda: sign(claims(sub=...), kid="rsa"),
}


@pytest.mark.parametrize("how", HONEST)
def test_an_honest_token_passes_and_stays_here(gate: Gate, how: str) -> None:
    outcome = show(gate, bearer(HONEST[how]()))
    assert isinstance(outcome, Pass)
    assert outcome.strip == (b"authorization",)
    assert outcome.identity == ("jwt" if how == "no subject" else "jwt:alice")


def test_in_our_own_field_the_token_leaves_the_origins_authorization_alone(gate: Gate) -> None:
    headers = [(b"Underpass-Token", sign(claims(), kid="rsa")), (b"Authorization", b"Basic eDp5")]
    assert show(gate, headers) == Pass(
        (b"underpass-token",), identity="jwt:alice", until=NOW + 600 + 30
    )


def test_without_a_token_the_visitor_learns_the_scheme_and_no_metadata(gate: Gate) -> None:
    missing = show(gate, [])
    assert isinstance(missing, Deny)
    assert missing.challenge == [(b"WWW-Authenticate", b'Bearer realm="underpass"')]
    wrong = show(gate, bearer(b"a.b.c"))
    assert isinstance(wrong, Deny)
    assert b"invalid_token" in wrong.challenge[0][1]
    assert b"resource_metadata" not in wrong.challenge[0][1]


def test_only_the_algorithms_that_were_named_are_taken(keys: Path) -> None:
    made = make(f"jwt:{ISSUER},aud={AUDIENCE},jwks=file:{keys},alg=ES384")
    assert isinstance(show(made, bearer(sign(claims(), P384, "ES384", kid="p384"))), Pass)
    assert isinstance(show(made, bearer(HONEST["RS256"]())), Deny)
    assert isinstance(show(made, bearer(HONEST["ES256"]())), Deny)


def test_each_request_is_judged_anew(keys: Path) -> None:
    clock = Clock()
    made = make(f"jwt:{ISSUER},aud={AUDIENCE},jwks=file:{keys},leeway=0", clock)
    token = bearer(sign(claims(exp=NOW + 60), kid="rsa"))
    assert isinstance(show(made, token), Pass)
    clock.now += 59
    assert isinstance(show(made, token), Pass)
    clock.now += 1
    assert isinstance(show(made, token), Deny)


def test_verified_signatures_are_remembered_within_bounds(gate: Gate) -> None:
    for number in range(600):
        token = sign(claims(sub=f"u{number}"), ED, "EdDSA", kid="ed")
        assert isinstance(show(gate, bearer(token)), Pass)
        assert isinstance(show(gate, bearer(token)), Pass)
        assert isinstance(show(gate, bearer(token[:-20] + b"A" * 20)), Deny)
    assert len(gate._verified) == 512  # type: ignore[attr-defined]


def spare_bits() -> bytes:
    """The same signature in another spelling: the last letter's spare bits set."""
    token = sign(claims(), kid="rsa")
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + bytes([alphabet[alphabet.index(token[-1]) + 1]])


def tampered(part: int, change: Callable[[bytes], bytes]) -> bytes:
    parts = sign(claims(), kid="rsa").split(b".")
    parts[part] = change(parts[part])
    return b".".join(parts)


RS = {"alg": "RS256", "kid": "rsa", "typ": "JWT"}
OWN = public_jwk(OTHER_RSA)
TWINS = json.dumps(claims(aud="x"))[:-1] + f', "aud": "{AUDIENCE}"}}'
NEAR = rsa.generate_private_key(public_exponent=3, key_size=2048)

FORGED: dict[str, Callable[[], bytes]] = {
    # No signature, or none that counts.
    "alg none": lambda: b64({"alg": "none"}) + b"." + b64(claims()) + b".",
    "alg none with a signature": lambda: by_hand({"alg": "none", "kid": "rsa"}, claims()),
    "alg None": lambda: by_hand({"alg": "None", "kid": "rsa"}, claims()),
    "alg nOnE": lambda: by_hand({"alg": "nOnE", "kid": "rsa"}, claims()),
    "alg NONE, empty": lambda: b64({"alg": "NONE", "kid": "rsa"}) + b"." + b64(claims()) + b".",
    "signature cut off": lambda: b".".join(sign(claims(), kid="rsa").split(b".")[:2]) + b".",
    "no third part": lambda: b".".join(sign(claims(), kid="rsa").split(b".")[:2]),
    "half a signature": lambda: tampered(2, lambda part: part[: len(part) // 2]),
    "a changed signature": lambda: tampered(2, lambda part: b"A" * 8 + part[8:]),
    "zeroes for a signature": lambda: tampered(2, lambda part: b"A" * len(part)),
    "another's claims": lambda: tampered(1, lambda _: b64(claims(sub="root"))),
    "another header": lambda: tampered(0, lambda _: b64({**RS, "typ": "at+jwt"})),
    "another algorithm in the header": lambda: tampered(0, lambda _: b64({**RS, "alg": "PS256"})),
    "ecdsa of zeroes": lambda: (
        b64({"alg": "ES256", "kid": "p256"}) + b"." + b64(claims()) + b"." + b64(bytes(64))
    ),
    "eddsa of zeroes": lambda: (
        b64({"alg": "EdDSA", "kid": "ed"}) + b"." + b64(claims()) + b"." + b64(bytes(64))
    ),
    # The public key as a secret.
    "HS256 with the PEM": lambda: by_hand(
        {"alg": "HS256", "kid": "rsa"}, claims(), mac=public_pem(RSA)
    ),
    "HS256 with the PEM, stripped": lambda: by_hand(
        {"alg": "HS256", "kid": "rsa"}, claims(), mac=public_pem(RSA).strip()
    ),
    "HS256 with the modulus": lambda: by_hand(
        {"alg": "HS256", "kid": "rsa"}, claims(), mac=public_jwk(RSA)["n"].encode()
    ),
    "HS256 with the whole entry": lambda: by_hand(
        {"alg": "HS256", "kid": "rsa"}, claims(), mac=json.dumps(KEYS["keys"][0]).encode()
    ),
    "HS256 with the symmetric entry": lambda: by_hand(
        {"alg": "HS256", "kid": "oct"}, claims(), mac=b"k" * 32
    ),
    "HS256 with an empty key": lambda: by_hand({"alg": "HS256", "kid": "rsa"}, claims(), mac=b""),
    "RS256 in name, a MAC in fact": lambda: by_hand(RS, claims(), mac=public_pem(RSA)),
    "HS512": lambda: by_hand({"alg": "HS512", "kid": "oct"}, claims(), mac=b"k" * 32),
    # Keys that are not the issuer's, or not for this.
    "another key": lambda: sign(claims(), OTHER_RSA, kid="rsa"),
    "another curve's key": lambda: sign(claims(), P384, "ES384", kid="p384"),
    "another key of the same curve": lambda: sign(claims(), OTHER_P256, "ES256", kid="p256"),
    "a key for encryption": lambda: sign(claims(), OTHER_RSA, kid="enc"),
    "a key that is too short": lambda: by_hand(
        {"alg": "RS256", "kid": "weak"}, claims(), key=WEAK_RSA
    ),
    "a key with a small exponent": lambda: sign(claims(), NEAR, kid="rsa"),
    "an unknown key id": lambda: sign(claims(), kid="new"),
    "the right key by another id": lambda: sign(claims(), kid="p384"),
    "an RSA id with ES256": lambda: sign(claims(), P256, "ES256", kid="rsa"),
    "an EC id with RS256": lambda: sign(claims(), kid="p256"),
    "another's key without an id": lambda: sign(claims(), OTHER_P256, "ES256"),
    "an algorithm beyond the fixed ones": lambda: sign(claims(), RSA, "RS512", kid="rsa"),
    "PS256": lambda: sign(claims(), RSA, "PS256", kid="rsa"),
    "an id that is a path": lambda: sign(claims(), kid="../../dev/null"),
    "an id that is a query": lambda: sign(claims(), kid="rsa' UNION SELECT 'x"),
    "an id that is a URL": lambda: sign(claims(), kid="https://evil.example/jwks.json"),
    "an id with a null byte": lambda: by_hand({**RS, "kid": "rsa\0"}, claims()),
    "an id that is a number": lambda: by_hand({**RS, "kid": 1}, claims()),
    "an id that is a list": lambda: by_hand({**RS, "kid": ["rsa"]}, claims()),
    "an id without end": lambda: by_hand({**RS, "kid": "r" * 5000}, claims()),
    "an empty id": lambda: by_hand({**RS, "kid": ""}, claims()),
    # Tokens that bring their own key.
    "jwk": lambda: by_hand({**RS, "jwk": OWN}, claims(), key=OTHER_RSA),
    "jwk beside the right signature": lambda: by_hand({**RS, "jwk": OWN}, claims()),
    "jku": lambda: by_hand({**RS, "jku": "https://evil.example/k"}, claims(), key=OTHER_RSA),
    "jku on loopback": lambda: by_hand({**RS, "jku": "http://127.0.0.1:1/k"}, claims()),
    "x5u": lambda: by_hand({**RS, "x5u": "https://evil.example/c"}, claims()),
    "x5c": lambda: by_hand({**RS, "x5c": ["AAAA"]}, claims()),
    # Extensions and other formats.
    "crit": lambda: by_hand({**RS, "crit": ["exp"], "exp": NOW + 60}, claims()),
    "crit, empty": lambda: by_hand({**RS, "crit": []}, claims()),
    "b64 false": lambda: by_hand({**RS, "b64": False, "crit": ["b64"]}, claims()),
    "zip": lambda: by_hand({**RS, "zip": "DEF"}, claims()),
    "a logout token": lambda: by_hand({**RS, "typ": "logout+jwt"}, claims()),
    "an event": lambda: by_hand({**RS, "typ": "secevent+jwt"}, claims()),
    "a proof of possession": lambda: by_hand({**RS, "typ": "dpop+jwt"}, claims()),
    "a type that is no text": lambda: by_hand({**RS, "typ": ["JWT"]}, claims()),
    "an encrypted one": lambda: b".".join(
        [b64({"alg": "RSA-OAEP", "enc": "A128GCM"})] + [b"AAAA"] * 4
    ),
    "alg a list": lambda: by_hand({**RS, "alg": ["RS256"]}, claims()),
    "alg missing": lambda: by_hand({"kid": "rsa"}, claims()),
    "alg in lower case": lambda: by_hand({**RS, "alg": "rs256"}, claims()),
    "alg twice": lambda: by_hand('{"alg":"none","kid":"rsa","alg":"RS256"}', claims()),
    "kid twice": lambda: by_hand('{"alg":"RS256","kid":"x","kid":"rsa"}', claims()),
    "a header that is a list": lambda: by_hand("[]", claims()),
    "a header that is no JSON": lambda: by_hand("{", claims()),
    "a header nested without end": lambda: by_hand("[" * 3000, claims()),
    "padded": lambda: sign(claims(), kid="rsa") + b"=",
    "spare bits set": spare_bits,
    "the other alphabet": lambda: (
        sign(claims(), kid="rsa").replace(b"-", b"+").replace(b"_", b"/") + b"+"
    ),
    "a space inside": lambda: sign(claims(), kid="rsa").replace(b".", b" .", 1),
    "two tokens": lambda: sign(claims(), kid="rsa") + b", " + sign(claims(), kid="rsa"),
    "four parts": lambda: sign(claims(), kid="rsa") + b".AAAA",
    "too long": lambda: sign(claims(x="y" * 20_000), kid="rsa"),
    # Claims.
    "another issuer": lambda: sign(claims("https://evil.example.com"), kid="rsa"),
    "an issuer with a slash": lambda: sign(claims(ISSUER + "/"), kid="rsa"),
    "an issuer in upper case": lambda: sign(claims(ISSUER.upper()), kid="rsa"),
    "an issuer by another scheme": lambda: sign(claims("http://id.example.com"), kid="rsa"),
    "an issuer that begins alike": lambda: sign(claims(ISSUER + ".evil.example"), kid="rsa"),
    "an issuer in a list": lambda: by_hand(RS, claims(iss=[ISSUER])),
    "no issuer": lambda: by_hand(RS, claims(iss=...)),
    "another audience": lambda: sign(claims(aud="https://other.example"), kid="rsa"),
    "an audience that begins alike": lambda: sign(claims(aud=AUDIENCE + "/"), kid="rsa"),
    "part of an audience": lambda: sign(claims(aud=AUDIENCE[:-1]), kid="rsa"),
    "no audience": lambda: sign(claims(aud=...), kid="rsa"),
    "an empty audience": lambda: sign(claims(aud=[]), kid="rsa"),
    "an audience that is null": lambda: by_hand(RS, claims(aud=None)),
    "an audience that is an object": lambda: by_hand(RS, claims(aud={AUDIENCE: True})),
    "audiences of two kinds": lambda: by_hand(RS, claims(aud=[AUDIENCE, 1])),
    "an audience in a list in a list": lambda: by_hand(RS, claims(aud=[[AUDIENCE]])),
    "an audience twice": lambda: by_hand(RS, TWINS),
    "expired": lambda: sign(claims(exp=NOW - 31), kid="rsa"),
    "expires never": lambda: sign(claims(exp=...), kid="rsa"),
    "expiry null": lambda: by_hand(RS, claims(exp=None)),
    "expiry a text": lambda: by_hand(RS, claims(exp=str(NOW + 600))),
    "expiry true": lambda: by_hand(RS, claims(exp=True)),
    "expiry infinite": lambda: by_hand(RS, json.dumps(claims()).replace(str(NOW + 600), "1e999")),
    "expiry not a number": lambda: by_hand(RS, json.dumps(claims()).replace(str(NOW + 600), "NaN")),
    "expiry negative": lambda: by_hand(RS, claims(exp=-1)),
    "expiry in a list": lambda: by_hand(RS, claims(exp=[NOW + 600])),
    "not valid yet": lambda: sign(claims(nbf=NOW + 31), kid="rsa"),
    "validity a text": lambda: by_hand(RS, claims(nbf="0")),
    "issued in the future": lambda: sign(claims(iat=NOW + 31), kid="rsa"),
    "issued a text": lambda: by_hand(RS, claims(iat="0")),
    "a subject that is no text": lambda: by_hand(RS, claims(sub={"name": "alice"})),
    "claims that are a list": lambda: by_hand(RS, "[]"),
    "claims that are no JSON": lambda: by_hand(RS, "alice"),
    "claims that are no UTF-8": lambda: by_hand(RS, b"\xff{}"),
    "claims nested without end": lambda: by_hand(RS, '{"a":' * 2000),
    "nothing": lambda: b"",
    "dots": lambda: b"..",
    "garbage": lambda: b"\xff\xfe.\x00.a",
    "a pickle": lambda: base64.b64encode(b"cos\nsystem\n(S'id'\ntR."),
}


def test_there_are_far_more_than_sixty_forgeries() -> None:
    assert len(FORGED) >= 100


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token_is_refused(gate: Gate, how: str) -> None:
    for headers in (bearer(FORGED[how]()), [(b"Underpass-Token", FORGED[how]())]):
        outcome = show(gate, headers)
        assert isinstance(outcome, Deny), how
        assert (outcome.status, outcome.code) == (401, "gate-unauthenticated")


PLACES: list[Callable[[bytes], Headers]] = [
    lambda token: [(b"Authorization", token)],
    lambda token: [(b"Authorization", b"bearer" + token)],
    lambda token: [(b"Authorization", b"Basic " + token)],
    lambda token: [(b"Authorization", b"DPoP " + token)],
    lambda token: [(b"Authorization", b"Bearer\t" + token)],
    lambda token: [*bearer(token), *bearer(token)],
    lambda token: [*bearer(token), (b"authorization", b"Bearer x")],
    lambda token: [(b"Underpass-Token", b"x"), *bearer(token)],
    lambda token: [(b"Underpass-Token", token), (b"underpass-token", token)],
    lambda token: [(b"Proxy-Authorization", b"Bearer " + token)],
    lambda token: [(b"X-Forwarded-Authorization", b"Bearer " + token)],
    lambda token: [(b"X-Forwarded-Access-Token", token)],
    lambda token: [(b"Authorization_", b"Bearer " + token)],
    lambda token: [(b"Cookie", b"access_token=" + token)],
]


@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
def test_a_token_in_another_place_does_not_count(
    gate: Gate, place: Callable[[bytes], Headers]
) -> None:
    assert isinstance(show(gate, place(HONEST["RS256"]())), Deny)
    assert isinstance(show(gate, bearer(HONEST["RS256"]())), Pass)


def test_a_subject_that_cannot_be_shown_is_not(gate: Gate) -> None:
    for subject in ("a b", "x" * 200, "\x1b[31m", "ä", ""):
        token = sign(claims(sub=subject), kid="rsa")
        outcome = show(gate, bearer(token))
        assert isinstance(outcome, Pass)
        assert (outcome.strip, outcome.identity) == ((b"authorization",), "jwt")


@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b"[]", b'{"keys":[]}', b'{"keys":[{"kty":"oct","k":"AA"}]}']
)
def test_a_key_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnderpassError) as caught:
        make(f"jwt:{ISSUER},aud=a,jwks=file:{path}")
    assert caught.value.code == "keys-unreadable"
    assert str(path) in caught.value.message


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_the_library_that_verifies_is_asked_for_one_algorithm_only(algorithm: str) -> None:
    key: Any = {"RS256": RSA, "ES256": P256, "EdDSA": ED}[algorithm]
    token = sign(claims(), key, algorithm)
    with pytest.raises(jwt.PyJWTError):
        jwt.PyJWS(algorithms=["PS256"]).decode(token, key.public_key(), algorithms=["PS256"])
