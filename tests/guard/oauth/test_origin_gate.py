"""The gate before an origin that brings its own OAuth: what needs a token, and what does not."""

from __future__ import annotations

import pytest

from underpass.guard.oauth.origin_gate import MAX_TOKEN_BYTES, OriginOAuthGate
from underpass.guard.oauth.place import place_of
from underpass.guard.outcomes import Deny, Pass
from underpass.guard.peer import Peer
from underpass.http.messages import Headers, RequestHead

PEER = Peer("203.0.113.7")


@pytest.fixture
def gate() -> OriginOAuthGate:
    made = OriginOAuthGate()
    made.place = place_of("https://tools.example.com", "/mcp")
    return made


def judge(gate: OriginOAuthGate, target: str, headers: Headers | None = None) -> Pass | Deny:
    head = RequestHead(b"GET", target.encode(), b"tools.example.com", headers or [])
    outcome = gate.judge(head, PEER)
    assert isinstance(outcome, (Pass, Deny))
    return outcome


@pytest.mark.parametrize(
    "target",
    [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/mcp/.well-known/openid-configuration",
        "/authorize?client_id=x",
        "/token",
        "/register",
        "/revoke",
    ],
)
def test_what_signing_in_needs_passes(gate: OriginOAuthGate, target: str):
    assert isinstance(judge(gate, target), Pass)


@pytest.mark.parametrize(
    "target",
    [
        "/mcp",
        "/",
        "/mcp/",
        "/authorize/../mcp",
        "/authorize/x",
        "/Token",
        "/token/",
        "/token%2f",
        "/mcp?x=/token",
        "/x/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/other",
        "/.well-known/oauth-protected-resource/../../mcp",
        "/.well-known/agent-card.json",
        "*",
    ],
)
def test_everything_else_needs_a_token_and_is_told_where_to_ask(gate: OriginOAuthGate, target: str):
    refused = judge(gate, target)
    assert isinstance(refused, Deny)
    assert (refused.status, refused.code) == (401, "gate-unauthenticated")
    where = b"https://tools.example.com/.well-known/oauth-protected-resource/mcp"
    assert refused.challenge == [(b"WWW-Authenticate", b'Bearer resource_metadata="%b"' % where)]


def test_a_token_goes_on_to_the_origin_untouched(gate: OriginOAuthGate):
    passed = judge(gate, "/mcp", [(b"Authorization", b"Bearer a.b.c")])
    assert passed == Pass(identity="oauth:origin")


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Authorization", b"Basic eDp5")],
        [(b"Authorization", b"Bearer")],
        [(b"Authorization", b"Bearer  ")],
        [(b"Authorization", b"Bearer a"), (b"Authorization", b"Bearer b")],
        [(b"Authorization", b"Bearer " + b"a" * MAX_TOKEN_BYTES)],
        [(b"Cookie", b"token=a")],
    ],
)
def test_what_is_no_token_in_the_header_does_not_pass(gate: OriginOAuthGate, headers: Headers):
    assert isinstance(judge(gate, "/mcp", headers), Deny)


def test_before_the_address_is_known_a_visitor_is_refused_without_one():
    refused = judge(OriginOAuthGate(), "/mcp")
    assert isinstance(refused, Deny)
    assert refused.challenge == [(b"WWW-Authenticate", b"Bearer")]
