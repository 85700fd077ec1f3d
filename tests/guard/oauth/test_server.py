"""The authorization server as its clients meet it: what it gives, and all that it refuses."""

from __future__ import annotations

import base64
import json
import logging
import time

import pytest
from tests.guard.oauth.conftest import (
    CHALLENGE,
    OWNER,
    REDIRECT,
    RESOURCE,
    URL,
    VERIFIER,
    Site,
    answer_of,
    error_of,
    question,
    registration,
)

from underpass.guard.oauth.authlib_server import Reply
from underpass.guard.oauth.books import (
    AGAIN_SECONDS,
    CODE_SECONDS,
    DOCUMENT_SECONDS,
    MAX_AGAIN,
    MAX_CODES,
    MAX_DOCUMENTS,
    MAX_GRANTS,
    MAX_STRANGERS,
)
from underpass.guard.oauth.place import place_of
from underpass.guard.oauth.records import Client
from underpass.guard.oauth.server import Asked, RequestRefused


def test_a_code_becomes_tokens_that_open_the_gate(site: Site, client_id: object):
    asked = site.ask(client_id)
    assert isinstance(asked, Asked)
    answer = answer_of(site.server.grant(asked, OWNER))
    assert (answer["state"], answer["iss"]) == ("a state", URL)
    reply = site.exchange(client_id, answer["code"])
    told = json.loads(reply.body)
    assert dict(reply.headers)["Cache-Control"] == "no-store"
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 3600, "tunnel")
    assert site.opens(told["access_token"])
    assert not site.opens(told["refresh_token"])


def test_the_callback_of_a_program_may_have_any_port(site: Site, client_id: object):
    other = REDIRECT.replace("7777", "50123")
    code = site.code(client_id, redirect_uri=other)
    assert site.exchange(client_id, code, redirect_uri=other).status == 200


def test_a_request_without_a_resource_means_ours(site: Site, client_id: object):
    code = site.code(client_id, resource=None)
    told = json.loads(site.exchange(client_id, code, resource=None).body)
    assert site.opens(told["access_token"])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "plain", "code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1]}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
        ({"code_challenge": "a" * 44}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"resource": "https://other.example.com/mcp"}, "invalid_target"),
        ({"resource": "http://tools.example.com/mcp"}, "invalid_target"),
        ({"resource": RESOURCE + "/deeper"}, "invalid_target"),
        ({"resource": RESOURCE + "#part"}, "invalid_target"),
        ({"resource": URL.upper() + "/mcp"}, "invalid_target"),
        ({"resource": URL}, "invalid_target"),
        ({"state": "x" * 4000}, "invalid_request"),
        ({"state": "caf\u00e9"}, "invalid_request"),
        ({"scope": "a\nb"}, "invalid_request"),
    ],
)
def test_a_question_that_is_wrong_is_answered_at_the_clients_own_address(
    site: Site, client_id: object, changes: dict[str, str | None], error: str
):
    reply = site.ask(client_id, **changes)
    assert isinstance(reply, Reply)
    assert reply.location.startswith(REDIRECT + "?")
    answer = answer_of(reply)
    assert (answer["error"], answer["iss"]) == (error, URL)
    assert "code" not in answer


@pytest.mark.parametrize(
    "redirect",
    [
        "https://evil.example.com/callback",
        "http://127.0.0.1:7777/callback/more",
        "http://127.0.0.1:7777/callback?extra=1",
        "http://127.0.0.1:7777/Callback",
        "http://127.0.0.1:7777/callback#x",
        "http://127.0.0.1:7777@evil.example.com/callback",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:99999/callback",
        "http://localhost:7777/callback",
        "http://127.0.0.2:7777/callback",
        "http://0x7f000001:7777/callback",
        "http://127.0.0.1.evil.example.com/callback",
        "https://127.0.0.1:7777/callback",
        "HTTP://127.0.0.1:7777/callback",
        "//127.0.0.1:7777/callback",
        "http://127.0.0.1:7777/x/../callback",
        "http://127.0.0.1:7777/%63allback",
        'http://127.0.0.1:7777/callback"',
        "http://127.0.0.1:7777/callback ",
        "http://127.0.0.1:7777\\@evil.example.com/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "caf\u00e9://x",
    ],
)
def test_nothing_is_sent_to_an_address_that_the_client_did_not_register(
    site: Site, client_id: object, redirect: str
):
    with pytest.raises(RequestRefused):
        site.ask(client_id, redirect_uri=redirect)


@pytest.mark.parametrize("named", ["", "nobody", 'a"b', "caf\u00e9", "https://evil.example.com/x"])
def test_nothing_is_sent_for_a_client_that_is_not_known(site: Site, named: str):
    with pytest.raises(RequestRefused):
        site.ask(named)


@pytest.mark.parametrize("kind", ['co"de', "co\\de", "caf\u00e9", "co\nde"])
def test_an_odd_kind_of_answer_is_no_reason_to_fail(site: Site, client_id: object, kind: str):
    with pytest.raises(RequestRefused):
        site.ask(client_id, response_type=kind)


@pytest.mark.parametrize("twice", ["client_id", "redirect_uri"])
def test_who_asks_may_not_be_named_twice(site: Site, client_id: object, twice: str):
    parameters = tuple(question(client_id).items())
    value = dict(parameters)[twice]
    with pytest.raises(RequestRefused):
        site.server.ask((*parameters, (twice, value)))


@pytest.mark.parametrize(
    "twice", ["state", "scope", "resource", "code_challenge", "code_challenge_method", "odd"]
)
def test_no_parameter_may_stand_there_twice(site: Site, client_id: object, twice: str):
    parameters = tuple(question(client_id, scope="tunnel", odd="1").items())
    try:
        reply = site.server.ask((*parameters, (twice, dict(parameters)[twice])))
    except RequestRefused:
        return  # told to the person instead: so authlib wants it for some
    assert isinstance(reply, Reply)
    assert answer_of(reply)["error"] in ("invalid_request", "invalid_target")


def test_a_denied_question_is_answered_with_access_denied(site: Site, client_id: object):
    asked = site.ask(client_id)
    assert isinstance(asked, Asked)
    answer = answer_of(site.server.grant(asked, None))
    assert (answer["error"], answer["iss"], answer["state"]) == ("access_denied", URL, "a state")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"code_verifier": "v" * 129}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:7778/callback"}, "invalid_grant"),
        ({"redirect_uri": "https://evil.example.com/"}, "invalid_grant"),
        ({"resource": "https://other.example.com/mcp"}, "invalid_target"),
        ({"resource": URL}, "invalid_target"),
        ({"code": None}, "invalid_request"),
        ({"code": "guessed"}, "invalid_grant"),
        ({"code": "caf\u00e9"}, "invalid_request"),
        ({"client_id": None}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_secret": "made-up"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
    ],
)
def test_a_code_is_not_exchanged_for_less_than_all(
    site: Site, client_id: object, changes: dict[str, object], error: str
):
    code = site.code(client_id)
    if "code" in changes and changes["code"] is not None:
        code, changes = str(changes["code"]), {}
    reply = site.exchange(client_id, code, **changes)
    assert reply.status in (400, 401)
    assert error_of(reply) == error
    assert site.books.statistics().access == 0


def test_a_code_is_good_once_and_its_second_use_takes_down_what_it_gave(
    site: Site, client_id: object
):
    code = site.code(client_id)
    tokens = json.loads(site.exchange(client_id, code).body)
    assert site.opens(tokens["access_token"])
    assert error_of(site.exchange(client_id, code)) == "invalid_grant"
    assert not site.opens(tokens["access_token"])
    assert error_of(site.refresh(client_id, tokens["refresh_token"])) == "invalid_grant"


def test_a_code_is_good_for_a_minute(site: Site, client_id: object):
    code = site.code(client_id)
    site.now += CODE_SECONDS + 0.1
    assert error_of(site.exchange(client_id, code)) == "invalid_grant"


def test_a_code_in_another_clients_hands_is_worth_nothing(site: Site, client_id: object):
    thief = site.register(client_name="Thief")["client_id"]
    code = site.code(client_id)
    assert error_of(site.exchange(thief, code)) == "invalid_grant"
    assert error_of(site.exchange(client_id, code)) == "invalid_grant"


def test_a_form_that_names_a_parameter_twice_is_refused(site: Site, client_id: object):
    body = f"grant_type=authorization_code&client_id={client_id}&code=a&code=b".encode()
    assert error_of(site.server.token(body, "")) == "invalid_request"


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"a=%ff", b"&".join(b"a%d=1" % n for n in range(99))]
)
def test_a_body_that_is_no_form_is_refused(site: Site, body: bytes):
    assert error_of(site.server.token(body, "")) == "invalid_request"


def test_refresh_tokens_rotate_and_the_new_ones_open_the_gate(site: Site, client_id: object):
    first = site.tokens(client_id)
    second = json.loads(site.refresh(client_id, first["refresh_token"]).body)
    assert second["refresh_token"] != first["refresh_token"]
    assert site.opens(second["access_token"])
    # An answer may still be on its way with the former one.
    assert site.opens(first["access_token"])


@pytest.mark.parametrize("age", [1, 2, 50])
def test_a_spent_refresh_token_takes_its_family_down_however_old_it_is(
    site: Site, client_id: object, age: int
):
    first = tokens = site.tokens(client_id)
    for _ in range(age):
        tokens = json.loads(site.refresh(client_id, tokens["refresh_token"]).body)
    site.now += AGAIN_SECONDS
    assert error_of(site.refresh(client_id, first["refresh_token"])) == "invalid_grant"
    assert not site.opens(tokens["access_token"])
    assert error_of(site.refresh(client_id, tokens["refresh_token"])) == "invalid_grant"


def test_a_client_whose_answer_was_lost_may_ask_again(site: Site, client_id: object):
    first = site.tokens(client_id)
    lost = json.loads(site.refresh(client_id, first["refresh_token"]).body)
    site.now += AGAIN_SECONDS - 1
    again = json.loads(site.refresh(client_id, first["refresh_token"]).body)
    assert site.opens(again["access_token"])
    last = json.loads(site.refresh(client_id, again["refresh_token"]).body)
    assert site.opens(last["access_token"])
    # What was lost is spent now: whoever found it gives itself away.
    assert error_of(site.refresh(client_id, lost["refresh_token"])) == "invalid_grant"
    assert not site.opens(last["access_token"])


def test_a_spent_token_is_not_exchanged_for_many(site: Site, client_id: object):
    first = tokens = site.tokens(client_id)
    for _ in range(MAX_AGAIN):
        tokens = json.loads(site.refresh(client_id, first["refresh_token"]).body)
        assert site.opens(tokens["access_token"])
    assert error_of(site.refresh(client_id, first["refresh_token"])) == "invalid_grant"
    assert not site.opens(tokens["access_token"])


def test_a_foreign_client_cannot_refresh(site: Site, client_id: object):
    tokens = site.tokens(client_id)
    thief = site.register(client_name="Thief")["client_id"]
    assert error_of(site.refresh(thief, tokens["refresh_token"])) == "invalid_grant"


@pytest.mark.parametrize("token", ["", "up_short", "x" * 46, "up_" + "A" * 43])
def test_what_is_no_refresh_token_of_ours_is_refused(site: Site, client_id: object, token: str):
    reply = site.refresh(client_id, token)
    assert error_of(reply) in ("invalid_grant", "invalid_request")


def test_a_refresh_for_another_resource_is_refused(site: Site, client_id: object):
    tokens = site.tokens(client_id)
    reply = site.refresh(client_id, tokens["refresh_token"], resource="https://other.example/mcp")
    assert error_of(reply) == "invalid_target"
    assert site.refresh(client_id, tokens["refresh_token"]).status == 200


def test_a_client_that_did_not_ask_for_refresh_tokens_gets_none(site: Site):
    client = site.register(grant_types=["authorization_code"])["client_id"]
    assert "refresh_token" not in site.tokens(client)


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token"])
def test_revoking_either_token_ends_the_whole_grant(
    site: Site, client_id: object, kind: str, hint: str | None
):
    tokens = site.tokens(client_id)
    hinted = f"&token_type_hint={hint}" if hint else ""
    body = f"client_id={client_id}&token={tokens[kind]}{hinted}".encode()
    assert site.server.revoke(body, "").status == 200
    assert not site.opens(tokens["access_token"])
    assert error_of(site.refresh(client_id, tokens["refresh_token"])) == "invalid_grant"


def test_a_token_that_is_not_known_is_revoked_without_a_word(site: Site, client_id: object):
    body = f"client_id={client_id}&token=unknown".encode()
    assert site.server.revoke(body, "").status == 200


def test_nobody_can_revoke_anothers_token(site: Site, client_id: object):
    tokens = site.tokens(client_id)
    stranger = site.register()["client_id"]
    body = f"client_id={stranger}&token={tokens['access_token']}".encode()
    assert error_of(site.server.revoke(body, "")) == "invalid_grant"
    assert error_of(site.server.revoke(b"token=x", "")) == "invalid_client"
    assert site.opens(tokens["access_token"])


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic", None])
def test_a_client_with_a_secret_must_show_it_in_its_own_way(site: Site, method: str | None):
    told = site.register(token_endpoint_auth_method=method)
    client, secret = told["client_id"], str(told["client_secret"])
    pair = base64.b64encode(f"{client}:{secret}".encode()).decode()
    shown = {"client_secret": secret} if method == "client_secret_post" else {}
    header = "" if method == "client_secret_post" else f"Basic {pair}"
    code = site.code(client)
    form = {"grant_type": "authorization_code", "client_id": client, "code": code}
    form |= {"redirect_uri": REDIRECT, "code_verifier": VERIFIER}
    assert error_of(site.post(**form)) == "invalid_client"
    wrong = base64.b64encode(f"{client}:wrong".encode()).decode()
    assert error_of(site.post(f"Basic {wrong}", **form)) == "invalid_client"
    assert error_of(site.post(**form, client_secret="wrong")) == "invalid_client"
    assert site.post(header, **form, **shown).status == 200


def test_tokens_end_with_the_lease_and_go_on_when_it_is_renewed(site: Site, client_id: object):
    site.lease_left = 600.0
    tokens = site.tokens(client_id)
    assert int(tokens["expires_in"]) == 600
    site.now, site.lease_left = site.now + 601, -1.0
    assert not site.opens(tokens["access_token"])
    assert error_of(site.refresh(client_id, tokens["refresh_token"])) == "invalid_grant"
    site.lease_left = 3600.0
    assert site.opens(tokens["access_token"])
    assert site.refresh(client_id, tokens["refresh_token"]).status == 200


def test_an_access_token_lives_an_hour_at_most(site: Site, client_id: object):
    tokens = site.tokens(client_id)
    site.now += 3599
    assert site.opens(tokens["access_token"])
    site.now += 1
    assert not site.opens(tokens["access_token"])


def test_another_public_address_voids_everything(site: Site, client_id: object):
    tokens = site.tokens(client_id)
    code = site.code(client_id)
    site.books.rebase(place_of("https://other.example.com", "/mcp"))
    assert not site.opens(tokens["access_token"])
    assert error_of(site.refresh(client_id, tokens["refresh_token"])) == "invalid_client"
    assert error_of(site.exchange(client_id, code, resource=None)) == "invalid_client"
    site.books.rebase(place_of(URL, "/mcp"))
    assert not site.opens(tokens["access_token"])


def test_clients_that_were_admitted_are_known_again_and_others_are_not(site: Site):
    admitted = site.register()["client_id"]
    stranger = site.register()["client_id"]
    site.tokens(admitted)
    later = Site()
    later.books.recall(site.books.admitted())
    assert isinstance(later.ask(admitted), Asked)
    with pytest.raises(RequestRefused):
        later.ask(stranger)


def test_strangers_cannot_fill_the_memory(site: Site):
    known = site.register()["client_id"]
    site.tokens(known)
    for _ in range(2 * MAX_STRANGERS):
        site.register()
    assert site.books.statistics().strangers == MAX_STRANGERS
    assert isinstance(site.ask(known), Asked)
    for _ in range(2 * MAX_CODES):
        site.code(known)
    assert site.books.statistics().codes == MAX_CODES
    for _ in range(MAX_GRANTS + 5):
        site.tokens(known)
    numbers = site.books.statistics()
    assert (numbers.grants, numbers.access) == (MAX_GRANTS, MAX_GRANTS)


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uris": None},
        {"redirect_uris": []},
        {"redirect_uris": "http://127.0.0.1/cb"},
        {"redirect_uris": [7]},
        {"redirect_uris": [REDIRECT] * 17},
        {"redirect_uris": ["http://example.com/cb"]},
        {"redirect_uris": ["http://192.168.1.5/cb"]},
        {"redirect_uris": ["https://example.com/cb#x"]},
        {"redirect_uris": ["https://user@example.com/cb"]},
        {"redirect_uris": ["https:///cb"]},
        {"redirect_uris": ["https://bank.example,(verified).evil.example/cb"]},
        {"redirect_uris": ["https://bank.example;evil.example/cb"]},
        {"redirect_uris": ["https://'evil.example/cb"]},
        {"redirect_uris": ["https://-evil.example/cb"]},
        {"redirect_uris": ["ms-msdt:/id"]},
        {"redirect_uris": ["search-ms:query=x"]},
        {"redirect_uris": ["https://exa mple.com/cb"]},
        {"redirect_uris": ["https://example.com/" + "x" * 2000]},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": ["data:text/html,<script>"]},
        {"redirect_uris": ["file:///etc/passwd"]},
        {"redirect_uris": ["vbscript:x"]},
        {"redirect_uris": ["/relative"]},
        {"redirect_uris": [REDIRECT, "javascript:alert(1)"]},
        {"application_type": "web"},
        {"application_type": "web", "redirect_uris": ["myapp://cb"]},
        {"application_type": "other"},
        {"application_type": 7},
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["refresh_token"]},
        {"grant_types": 7},
        {"response_types": ["token"]},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"token_endpoint_auth_method": ["none"]},
    ],
)
def test_a_registration_that_cannot_be_used_is_refused(site: Site, changes: dict[str, object]):
    reply = site.server.register(json.dumps(registration(**changes)).encode())
    assert reply.status == 400
    assert error_of(reply) in ("invalid_redirect_uri", "invalid_client_metadata")
    assert site.books.statistics().strangers == 0


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"7", b"\xff", b"[" * 100_000])
def test_a_registration_that_is_no_object_is_refused(site: Site, body: bytes):
    assert error_of(site.server.register(body)) == "invalid_request"


@pytest.mark.parametrize(
    "uri",
    [
        "https://claude.ai/api/mcp/auth_callback",
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "com.example.app:/callback",
        "http://localhost:33418/",
        "http://[::1]:5000/cb",
    ],
)
def test_the_addresses_that_real_clients_use_can_be_registered(site: Site, uri: str):
    told = site.register(redirect_uris=[uri], application_type=None)
    code = site.code(told["client_id"], redirect_uri=uri)
    assert site.exchange(told["client_id"], code, redirect_uri=uri).status == 200


def test_a_name_cannot_turn_or_hide_what_stands_beside_it(site: Site):
    name = "Bank\u202e\u0007 of\n\n<b>Trust</b>\u200b" + "x" * 200
    told = site.register(client_name=name)
    assert str(told["client_name"]).startswith("Bank of <b>Trust</b>xxx")
    assert len(str(told["client_name"])) == 80
    assert site.register(client_name=7)["client_name"] == "a program without a name"
    assert site.register(client_name="\u3164\u2800 \u115f")["client_name"] == (
        "a program without a name"
    )
    tower = str(site.register(client_name="Ba" + "\u0301\u0323" * 30 + "nk")["client_name"])
    assert (tower[0], tower[-2:], len(tower) <= 6) == ("B", "nk", True)


def test_a_name_made_of_marks_costs_no_more_than_another(site: Site):
    """Bringing 30,000 marks into order takes a second, if they are all looked at."""
    began = time.process_time()
    site.register(client_name="\u0301\u0323" * 15_000)
    assert time.process_time() - began < 0.2


def test_clients_that_are_in_are_not_driven_out_by_documents(site: Site):
    def document(number: int) -> Client:
        where = f"https://client.example.com/{number}"
        return Client(where, "A client", (REDIRECT,), origin="document")

    site.books.note_document(document(0))
    tokens = site.tokens(document(0).client_id)
    for number in range(1, 2 * MAX_DOCUMENTS):
        site.books.note_document(document(number))
    assert site.books.statistics().documents == MAX_DOCUMENTS
    assert site.refresh(document(0).client_id, tokens["refresh_token"]).status == 200
    site.now += DOCUMENT_SECONDS + 1
    # Who is in goes on while its document is away; nobody else comes in by an old one.
    assert isinstance(site.ask(document(0).client_id), Asked)
    with pytest.raises(RequestRefused):
        site.ask(document(2 * MAX_DOCUMENTS - 1).client_id)


def test_no_token_shows_in_a_log(site: Site, client_id: object, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        tokens = site.tokens(client_id)
        site.refresh(client_id, tokens["refresh_token"])
    assert caplog.records
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert token not in caplog.text
