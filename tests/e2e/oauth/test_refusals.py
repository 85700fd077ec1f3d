"""Everything that must be refused at the public door, and what the lease's end does to tokens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.e2e.oauth.conftest import let_in
from tests.e2e.oauth.flow import Client
from tests.e2e.oauth.person import Person
from tests.e2e.stage import Program, Stage, Tunnel
from tests.e2e.visitors import get

from underpass.testing.origins.http import HttpOrigin


@pytest.fixture
async def client(tunnel: Tunnel) -> AsyncIterator[Client]:
    made = Client(tunnel.url)
    await made.register()
    yield made
    await made.close()


async def test_questions_that_are_wrong_reach_nobody_else(client: Client, person: Person):
    elsewhere = {
        "code_challenge": None,
        "code_challenge_method": "plain",
        "resource": "https://another.example.com/mcp",
        "response_type": "token",
    }
    for name, value in elsewhere.items():
        page = await person.visit(client.question(**{name: value}))
        told = dict(parse_qsl(urlsplit(page.headers["location"]).query))
        assert page.headers["location"].startswith(client.redirect)
        assert told["error"] in ("invalid_request", "invalid_target", "unsupported_response_type")
        assert told["iss"] == client.url
        assert "code" not in told
    for changes in (
        {"redirect_uri": "https://evil.example.com/callback"},
        {"redirect_uri": client.redirect + "/.."},
        {"client_id": "nobody"},
        {"client_id": "https://127.0.0.1:1/client"},
        {"client_id": "http://169.254.169.254/latest/meta-data"},
    ):
        page = await person.visit(client.question(**changes))
        assert page.status_code == 400
        assert "location" not in page.headers


async def test_codes_and_tokens_that_are_wrong_open_nothing(
    stage: Stage, client: Client, person: Person
):
    thief = Client(client.url)
    await thief.register()
    stolen = await let_in(stage, person, client.question())
    assert (await thief.try_exchange(stolen)).json()["error"] == "invalid_grant"
    assert (await client.try_exchange(stolen)).json()["error"] == "invalid_grant"
    answered = await let_in(stage, person, client.question())
    for changes, error in (
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:1/callback"}, "invalid_grant"),
        ({"resource": "https://another.example.com/mcp"}, "invalid_target"),
        ({"client_id": "nobody"}, "invalid_client"),
    ):
        assert (await client.try_exchange(answered, **changes)).json()["error"] == error
    tokens = await client.exchange(answered)
    access, refresh = tokens["access_token"], tokens["refresh_token"]
    assert (await client.call(access)).status_code == 200
    assert (await client.call()).status_code == 401
    assert (await client.call(refresh)).status_code == 401
    assert (await client.call(access + "x")).status_code == 401
    for query in (f"?access_token={access}", f"?token={access}"):
        assert (await get(client.resource + query)).status == 401
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert (await thief.token(**form, client_id=thief.client_id)).status_code == 400
    renewed = (await client.token(**form, client_id=client.client_id)).json()
    assert (await client.call(renewed["access_token"])).status_code == 200
    # Once more is forgiven, since answers get lost; a second rotation later nothing is.
    again = (await client.token(**form, client_id=client.client_id)).json()
    assert (await client.call(again["access_token"])).status_code == 200
    newest = form | {"refresh_token": again["refresh_token"]}
    last = (await client.token(**newest, client_id=client.client_id)).json()
    stale = await client.token(**form, client_id=client.client_id)
    assert stale.json()["error"] == "invalid_grant"
    assert (await client.call(last["access_token"])).status_code == 401
    await thief.close()


async def test_a_replayed_code_takes_its_tokens_down_and_revocation_does(
    stage: Stage, client: Client, person: Person
):
    answered = await let_in(stage, person, client.question())
    tokens = await client.exchange(answered)
    assert (await client.try_exchange(answered)).json()["error"] == "invalid_grant"
    assert (await client.call(tokens["access_token"])).status_code == 401
    tokens = await client.exchange(await let_in(stage, person, client.question()))
    form = {"token": tokens["access_token"], "client_id": client.client_id}
    assert (await client.http.post(f"{client.own}/revoke", data=form)).status_code == 200
    assert (await client.call(tokens["access_token"])).status_code == 401


async def test_the_origin_sees_no_token_and_nobody_elses_word(
    stage: Stage, origin: HttpOrigin, person: Person
):
    relay = await stage.relay()
    where = f"http://127.0.0.1:{origin.port}"
    words = ("--name", "web", "--gate", "oauth", "--owner", "Zoë", "--tell-visitor")
    tunnel = await stage.open(where, *words, *relay.link)
    client = Client(tunnel.url, path="")
    await client.register()
    tokens = await client.exchange(await let_in(stage, person, client.question()))
    shown = {"Authorization": f"Bearer {tokens['access_token']}", "Underpass-Visitor": "mallory"}
    answer = await get(f"{tunnel.url}/echo", shown)
    assert answer.status == 200
    assert tokens["access_token"].encode() not in answer.body
    assert b"authorization" not in answer.body.lower()
    assert b"mallory" not in answer.body
    assert b"oauth:Zo%C3%AB" in answer.body
    await client.close()


async def test_a_new_lease_knows_admitted_clients_and_no_old_token(
    stage: Stage, server: Program, free_port: int, person: Person
):
    relay = await stage.relay()
    words = (f"mcp+http://localhost:{free_port}/mcp", "--name", "tools", "--gate", "oauth")
    tunnel = await stage.open(*words, *relay.link)
    client = Client(tunnel.url)
    await client.register()
    tokens = await client.exchange(await let_in(stage, person, client.question()))
    assert (await stage.run("renew", "tools", "--for", "9h")).code == 0
    assert (await client.call(tokens["access_token"])).status_code == 200
    await tunnel.stop()
    again = await stage.open(*words, *relay.link)
    assert again.url == tunnel.url
    assert (await client.call(tokens["access_token"])).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refused = await client.token(**form, client_id=client.client_id)
    assert refused.json()["error"] == "invalid_grant"
    fresh = await client.exchange(await let_in(stage, person, client.question()))
    assert (await client.call(fresh["access_token"])).status_code == 200
    await client.close()


@pytest.mark.parametrize("words", [("--name", "tools"), ()])
async def test_an_address_that_changes_is_refused_unless_asked_for(
    stage: Stage, server: Program, free_port: int, words: tuple[str, ...]
):
    origin = f"mcp+http://localhost:{free_port}/mcp"
    done = await stage.run("open", origin, "--gate", "oauth", "--json", *words)
    assert done.code == 4
    assert json.loads(done.out or done.err)["error"]["code"] == "oauth-url-changes"
    opened = await stage.open(origin, "--gate", "oauth", "--changing-url", *words)
    assert await opened.stop() == 130
    await server.stop()
    assert await stage.leftovers() == []


async def test_documents_are_where_clients_look_for_them(tunnel: Tunnel):
    for path in ("", "/mcp"):
        told = (await get(f"{tunnel.url}/.well-known/oauth-protected-resource{path}")).json
        assert told["resource"] == f"{tunnel.url}/mcp"
        assert told["authorization_servers"] == [tunnel.url]
        for word in ("oauth-authorization-server", "openid-configuration"):
            answer = await get(f"{tunnel.url}/.well-known/{word}{path}")
            assert answer.json["issuer"] == tunnel.url
            assert answer.json["code_challenge_methods_supported"] == ["S256"]
            assert answer.headers["access-control-allow-origin"] == "*"
    wrong_host = await get(f"{tunnel.url}/.well-known/oauth-protected-resource", host="evil.com")
    assert wrong_host.status == 421
    preflight = await get(f"{tunnel.url}/.underpass/oauth/token", method="OPTIONS")
    assert preflight.status == 204
    assert (await get(f"{tunnel.url}/.underpass/oauth/token")).status == 405
    assert (await get(f"{tunnel.url}/.underpass/oauth/nothing")).status == 404
