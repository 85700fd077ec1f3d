"""An issuer's keys: fetched when needed, no oftener than allowed, from nowhere else."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.guard.issuer import (
    AUDIENCE,
    ED,
    KEYS,
    NOW,
    OTHER_RSA,
    P256,
    P384,
    RSA,
    WEAK_RSA,
    KeyServer,
    claims,
    key_server,
    public_jwk,
    sign,
)

from underpass.guard import jwks
from underpass.guard.fetch import MAX_DOCUMENT_BYTES, FetchFailed, fetch_json
from underpass.guard.gates import (
    Deny,
    Gate,
    Guard,
    IpGate,
    Later,
    Materials,
    Outcome,
    Pass,
    Peer,
    Rule,
    forge,
)
from underpass.guard.jwks import AGAIN_SECONDS, FRESH_SECONDS, STALE_SECONDS, Keys, read_keys
from underpass.http.messages import RequestHead
from underpass.model.gates import parse_gate

MISSING = "/.well-known/openid-configuration"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server() as made:
        made.serve("/keys", KEYS)
        made.serve(MISSING, {"issuer": made.url, "jwks_uri": made.url + "/keys"})
        yield made


def make(server: KeyServer, clock: Clock, more: str = "") -> Gate:
    text = f"jwt:{server.url},aud={AUDIENCE}{more}"
    materials = Materials(wall_clock=lambda: float(NOW), monotonic=clock)
    return forge([parse_gate(text)], materials=materials).gates[text]


def judge(gate: Gate, token: bytes) -> Outcome:
    headers = [(b"Authorization", b"Bearer " + token)]
    return gate.judge(RequestHead(b"POST", b"/", b"h", headers), Peer(""))


async def settle(outcome: Outcome) -> Outcome:
    while isinstance(outcome, Later):
        outcome = await outcome.wait()
    return outcome


async def test_keys_are_found_by_discovery_once_and_kept(server: KeyServer, clock: Clock) -> None:
    gate = make(server, clock)
    token = sign(claims(server.url), kid="rsa")
    first = judge(gate, token)
    assert isinstance(first, Later)
    assert isinstance(await settle(first), Pass)
    assert server.asked == [MISSING, "/keys"]
    for _ in range(5):
        assert isinstance(judge(gate, token), Pass), "no waiting once the keys are here"
    assert len(server.asked) == 2


async def test_a_place_that_was_named_is_asked_without_discovery(
    server: KeyServer, clock: Clock
) -> None:
    gate = make(server, clock, f",jwks={server.url}/keys")
    assert isinstance(await settle(judge(gate, sign(claims(server.url), kid="rsa"))), Pass)
    assert server.asked == ["/keys"]


async def test_nothing_is_fetched_for_who_shows_nothing_that_could_pass(
    server: KeyServer, clock: Clock
) -> None:
    gate = make(server, clock)
    assert isinstance(gate.judge(RequestHead(b"GET", b"/", b"h", []), Peer("")), Deny)
    assert isinstance(judge(gate, b"up_" + b"x" * 43), Deny)
    assert isinstance(judge(gate, b"a.b.c"), Deny)
    assert server.asked == []


async def test_a_new_key_id_is_looked_for_at_most_once_in_half_a_minute(
    server: KeyServer, clock: Clock
) -> None:
    gate = make(server, clock, f",jwks={server.url}/keys")
    fresh = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    token = sign(claims(server.url), fresh, kid="fresh")
    assert isinstance(await settle(judge(gate, sign(claims(server.url), kid="rsa"))), Pass)
    server.serve("/keys", {"keys": [*KEYS["keys"], public_jwk(fresh, kid="fresh")]})
    # Strangers with invented ids, in between.
    for number in range(50):
        invented = sign(claims(server.url), OTHER_RSA, kid=f"invented-{number}")
        assert isinstance(judge(gate, invented), Deny)
    assert isinstance(judge(gate, token), Deny)
    assert len(server.asked) == 1
    clock.now += AGAIN_SECONDS
    assert isinstance(await settle(judge(gate, token)), Pass)
    assert isinstance(judge(gate, sign(claims(server.url), OTHER_RSA, kid="invented")), Deny)
    assert len(server.asked) == 2


async def test_many_who_wait_at_once_cause_one_fetch(server: KeyServer, clock: Clock) -> None:
    gate = make(server, clock, f",jwks={server.url}/keys")
    server.gate.clear()
    token = sign(claims(server.url), kid="rsa")
    waiting = [asyncio.create_task(settle(judge(gate, token))) for _ in range(20)]
    await asyncio.wait_for(server.arrived.wait(), 5)
    server.gate.set()
    outcomes = await asyncio.gather(*waiting)
    assert all(isinstance(each, Pass) for each in outcomes)
    assert server.asked == ["/keys"]


async def test_a_visitor_who_leaves_during_the_fetch_leaves_it_to_the_next(
    server: KeyServer, clock: Clock
) -> None:
    gate = make(server, clock, f",jwks={server.url}/keys")
    server.gate.clear()
    token = sign(claims(server.url), kid="rsa")
    first = asyncio.create_task(settle(judge(gate, token)))
    await asyncio.wait_for(server.arrived.wait(), 5)
    second = asyncio.create_task(settle(judge(gate, token)))
    await asyncio.sleep(0)
    first.cancel()
    server.gate.set()
    assert isinstance(await second, Pass)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_withdrawn_key_counts_no_longer_than_keys_are_fresh(
    server: KeyServer, clock: Clock
) -> None:
    gate = make(server, clock, f",jwks={server.url}/keys")
    token = sign(claims(server.url), kid="rsa")
    assert isinstance(await settle(judge(gate, token)), Pass)
    assert isinstance(judge(gate, token), Pass)
    server.serve("/keys", {"keys": [public_jwk(ED, kid="ed")]})
    clock.now += FRESH_SECONDS + 1
    assert isinstance(await settle(judge(gate, token)), Deny)


async def test_a_key_that_takes_anothers_name_takes_its_tokens_along(
    server: KeyServer, clock: Clock
) -> None:
    gate = make(server, clock, f",jwks={server.url}/keys")
    token = sign(claims(server.url), kid="rsa")
    assert isinstance(await settle(judge(gate, token)), Pass)
    server.serve("/keys", {"keys": [public_jwk(OTHER_RSA, kid="rsa")]})
    clock.now += FRESH_SECONDS + 1
    assert isinstance(await settle(judge(gate, token)), Deny)
    assert isinstance(judge(gate, sign(claims(server.url), OTHER_RSA, kid="rsa")), Pass)


async def test_without_an_answer_old_keys_serve_for_an_hour_and_then_nobody_can_say(
    server: KeyServer, clock: Clock
) -> None:
    gate = make(server, clock, f",jwks={server.url}/keys")
    token = sign(claims(server.url), kid="rsa")
    assert isinstance(await settle(judge(gate, token)), Pass)
    server.status = 500
    clock.now += FRESH_SECONDS + 1
    assert isinstance(await settle(judge(gate, token)), Pass)
    clock.now += STALE_SECONDS
    assert await settle(judge(gate, token)) == Deny(503, "gate-away")
    asked = len(server.asked)
    assert judge(gate, token) == Deny(503, "gate-away")
    assert len(server.asked) == asked, "not asked again at once"
    server.status = 200
    clock.now += AGAIN_SECONDS
    assert isinstance(await settle(judge(gate, token)), Pass)


BAD_DISCOVERY: dict[str, Any] = {
    "another issuer": {"issuer": "http://127.0.0.1:1", "jwks_uri": "{url}/keys"},
    "an issuer with a slash": {"issuer": "{url}/", "jwks_uri": "{url}/keys"},
    "no issuer": {"jwks_uri": "{url}/keys"},
    "another host": {"issuer": "{url}", "jwks_uri": "http://localhost:{port}/keys"},
    "another port": {"issuer": "{url}", "jwks_uri": "http://127.0.0.1:1/keys"},
    "the metadata service": {"issuer": "{url}", "jwks_uri": "http://169.254.169.254/keys"},
    "a file": {"issuer": "{url}", "jwks_uri": "file:///etc/passwd"},
    "plain http elsewhere": {"issuer": "{url}", "jwks_uri": "http://keys.example.com/"},
    "a user": {"issuer": "{url}", "jwks_uri": "http://u@127.0.0.1:{port}/keys"},
    "no place": {"issuer": "{url}"},
    "a place that is no text": {"issuer": "{url}", "jwks_uri": ["{url}/keys"]},
    "a list": [],
}


@pytest.mark.parametrize("how", BAD_DISCOVERY)
async def test_a_discovery_document_cannot_lead_elsewhere(
    server: KeyServer, clock: Clock, how: str
) -> None:
    text = json.dumps(BAD_DISCOVERY[how])
    text = text.replace("{url}", server.url).replace("{port}", str(server.port))
    server.documents[MISSING] = text.encode()
    gate = make(server, clock)
    outcome = await settle(judge(gate, sign(claims(server.url), kid="rsa")))
    assert outcome == Deny(503, "gate-away")
    assert server.asked == [MISSING]


async def test_a_redirect_is_not_followed(server: KeyServer, clock: Clock) -> None:
    server.serve("/other", KEYS)
    server.status, server.headers = 302, f"Location: {server.url}/other\r\n"
    gate = make(server, clock, f",jwks={server.url}/keys")
    outcome = await settle(judge(gate, sign(claims(server.url), kid="rsa")))
    assert outcome == Deny(503, "gate-away")
    assert server.asked == ["/keys"]


async def test_nothing_compressed_is_unpacked(server: KeyServer) -> None:
    server.documents["/keys"] = gzip.compress(b" " * 10_000_000 + b"{}")
    assert len(server.documents["/keys"]) < MAX_DOCUMENT_BYTES
    server.headers = "Content-Encoding: gzip\r\n"
    with pytest.raises(FetchFailed, match="compressed"):
        await fetch_json(f"{server.url}/keys")
    server.headers = "Content-Encoding: identity\r\n"
    server.serve("/keys", KEYS)
    assert await fetch_json(f"{server.url}/keys") == KEYS


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not json",
        b"\xff",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": null}',
        json.dumps({"keys": [{"kty": "oct", "k": "AA"}] * 65}).encode(),
        b'{"keys": "' + b"x" * MAX_DOCUMENT_BYTES + b'"}',
        b'{"keys": []}',
    ],
    ids=range(9),
)
async def test_what_is_no_key_set_opens_nothing(
    server: KeyServer, clock: Clock, document: bytes
) -> None:
    server.documents["/keys"] = document
    gate = make(server, clock, f",jwks={server.url}/keys")
    outcome = await settle(judge(gate, sign(claims(server.url), kid="rsa")))
    assert isinstance(outcome, Deny)


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example.com/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://127.0.0.1@evil.example/",
        "https://id.example.com/?next=x",
        "//127.0.0.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://[::ffff:169.254.169.254]/",
        "https://",
        "http://127.0.0.1\\@evil.example/",
        "http://127.0.0.1:99999/",
    ],
)
async def test_only_https_and_loopback_are_fetched(url: str) -> None:
    with pytest.raises(FetchFailed):
        await fetch_json(url)


async def test_a_place_that_does_not_answer_is_given_up(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("underpass.guard.fetch.FETCH_SECONDS", 0.05)
    server.gate.clear()
    with pytest.raises(FetchFailed):
        await fetch_json(server.url + "/keys")
    with pytest.raises(FetchFailed):
        await fetch_json("http://127.0.0.1:1/keys")


def test_only_keys_that_may_verify_are_read() -> None:
    private = {**public_jwk(RSA, kid="private"), "d": "AA"}
    entries = [
        *KEYS["keys"],
        private,
        public_jwk(RSA, kid="ops", key_ops=["sign"]),
        public_jwk(RSA, kid=7),
        {"kty": "EC", "crv": "secp256k1", "kid": "k1", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "kid": "off the curve", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "kid": "x", "x": "AA"},
        {"kty": "RSA", "kid": "empty"},
        "text",
        None,
        [],
    ]
    assert [key.key_id for key in read_keys({"keys": entries})] == ["rsa", "p256", "p384", "ed"]


def test_a_key_serves_only_what_it_is_for() -> None:
    keys = Keys("https://id.example.com", "", Clock())
    listed = [public_jwk(RSA, kid="a"), public_jwk(RSA, kid="b", alg="PS256"), public_jwk(P384)]
    keys.set_keys(read_keys({"keys": listed}))
    assert keys.find("a", "RS256") is not None
    assert keys.find("b", "PS256") is not None
    assert keys.find("b", "RS256") is None
    assert keys.find("a", "ES256") is None
    assert keys.find(None, "ES384") is not None
    assert keys.find(None, "ES256") is None
    assert keys.find(None, "PS256") is None, "two would fit"


def test_two_keys_of_one_id_are_none() -> None:
    keys = Keys("https://id.example.com", "", Clock())
    keys.set_keys(read_keys({"keys": [public_jwk(RSA, kid="a"), public_jwk(OTHER_RSA, kid="a")]}))
    assert keys.find("a", "RS256") is None


def test_keys_for_good_are_never_fetched() -> None:
    clock = Clock()
    keys = Keys("https://id.example.com", "", clock)
    keys.set_keys(read_keys({"keys": [public_jwk(P256, kid="a")]}))
    clock.now += 10 * STALE_SECONDS
    assert keys.find("a", "ES256") is not None
    assert not keys.is_worth_asking(found=False)
    assert WEAK_RSA.key_size < jwks.MIN_RSA_BITS


# What becomes of a token on paths that need none.


async def test_a_token_stays_here_while_nobody_can_say_whether_it_is_good(
    server: KeyServer, clock: Clock
) -> None:
    gate, token = make(server, clock), sign(claims(server.url), kid="rsa")
    rules = [Rule(("/jwt",), ((gate,),)), Rule(("/open",), ((),))]
    guard = Guard([], rules=rules)

    def stripped(*values: bytes, name: bytes = b"Authorization") -> tuple[bytes, ...]:
        headers = [(name, value) for value in values]
        outcome = guard.judge_http(RequestHead(b"GET", b"/open", b"h", headers), Peer(""))
        assert isinstance(outcome, Pass)
        return outcome.strip

    shown = b"Bearer " + token
    assert stripped(shown) == (b"authorization",), "before the keys are fetched"
    assert stripped(token, name=b"Underpass-Token") == (b"underpass-token",)
    assert stripped(b"Bearer x", shown) == (b"authorization",), "also beside another"
    server.documents.clear()
    assert isinstance(await settle(judge(gate, token)), Deny)
    assert stripped(shown) == (b"authorization",), "while they cannot be fetched"
    for other in (
        sign(claims("https://elsewhere.example.com"), kid="rsa"),
        sign(claims(server.url, aud="another"), kid="rsa"),
        b"a.b.c",
        token.replace(b".", b".A", 1),
        b"x" * 20_000,
    ):
        assert stripped(b"Bearer " + other) == (), "what is not for this gate goes on"


async def test_a_token_stays_here_when_another_gate_lets_its_bearer_in_meanwhile(
    server: KeyServer, clock: Clock
) -> None:
    gate, token = make(server, clock), sign(claims(server.url), kid="rsa")
    guard = Guard([], rules=[Rule((), ((gate,), (IpGate(["192.0.2.0/24"]),)))])
    headers = [(b"Authorization", b"Bearer " + token)]
    outcome = guard.judge_http(RequestHead(b"GET", b"/", b"h", headers), Peer("192.0.2.1"))
    assert outcome == Pass((b"authorization",))
