"""Whatever strangers send, the server answers or refuses in words, and gives nothing away."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.guard.oauth.conftest import Site, error_of, question

from underpass.guard.oauth.authlib_server import Reply
from underpass.guard.oauth.server import Asked, RequestRefused

SITE = Site()
CLIENT = str(SITE.register()["client_id"])

ASKED = st.sampled_from(
    [*question(CLIENT), "scope", "prompt", "nonce", "request", "request_uri", "response_mode"]
)
SENT = st.sampled_from(
    [
        *("grant_type", "code", "client_id", "client_secret", "redirect_uri", "code_verifier"),
        *("refresh_token", "token", "token_type_hint", "resource", "scope", "client_assertion"),
    ]
)
WORDS = st.text(max_size=24) | st.sampled_from(["authorization_code", "refresh_token", CLIENT])
TOLD = st.sampled_from(
    [
        *("redirect_uris", "client_name", "grant_types", "response_types", "jwks", "logo_uri"),
        *("token_endpoint_auth_method", "application_type", "scope", "software_statement"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=16),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
SHOWN = st.text(max_size=24) | st.sampled_from(
    ["Basic", "Basic ", "Basic ////", "Basic eDp5", "Basic 4pyT", "Bearer x", "Basic eA== eA=="]
)


@given(st.dictionaries(ASKED, WORDS), st.lists(st.tuples(ASKED, WORDS), max_size=3))
def test_any_question_is_answered_or_refused(changes: dict[str, str], more: list[tuple[str, str]]):
    try:
        answer = SITE.server.ask((*(question(CLIENT) | changes).items(), *more))
    except RequestRefused:
        return
    assert isinstance(answer, (Asked, Reply))
    if isinstance(answer, Reply):
        assert answer.location.startswith("http://127.0.0.1:")
        assert "error=" in answer.location


@given(st.dictionaries(SENT, WORDS), SHOWN)
def test_any_form_is_answered_and_gives_nothing(form: dict[str, str], shown: str):
    body = urlencode(form, errors="surrogatepass").encode()
    answer = SITE.server.token(body, shown)
    assert answer.status in (400, 401)
    assert error_of(answer)
    assert SITE.server.revoke(body, shown).status in (200, 400, 401)


@given(st.binary(max_size=200), SHOWN)
def test_any_bytes_are_answered(body: bytes, shown: str):
    assert SITE.server.token(body, shown).status in (400, 401)
    assert SITE.server.revoke(body, shown).status in (400, 401)
    assert SITE.server.register(body).status == 400


@given(st.dictionaries(TOLD, JSON))
def test_any_registration_is_answered(told: dict[str, object]):
    assert SITE.server.register(json.dumps(told).encode()).status in (201, 400)


@pytest.mark.parametrize("shown", ["Bearer x", "Basic", "Basic !!!", "Basic eA==", "Digest a:b"])
def test_an_authorization_that_shows_no_client_is_not_passed_over(shown: str):
    body = urlencode({"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": "x"})
    answer = SITE.server.token(body.encode(), shown)
    assert (answer.status, error_of(answer)) == (401, "invalid_client")
