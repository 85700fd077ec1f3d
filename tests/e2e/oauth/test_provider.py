"""Signing in at an outside OpenID Connect provider: a certified one (npm ``oidc-provider``)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.canary import record_secret
from tests.e2e.node_clients import installed
from tests.e2e.oauth.flow import Client
from tests.e2e.oauth.person import Person
from tests.e2e.stage import Program, Stage, Tunnel, tool

from underpass.testing import ports

pytestmark = [pytest.mark.node, pytest.mark.npm, pytest.mark.slow, pytest.mark.timeout(240)]

NODE = Path(__file__).resolve().parent / "node"


@pytest.fixture
async def site(stage: Stage, server: Program, free_port: int) -> Tunnel:
    """A tunnel whose visitors sign in at a provider, and the provider."""
    packages = await asyncio.to_thread(installed, NODE)
    secret_file = stage.home / "client-secret"
    secret_file.touch(0o600)
    secret = secrets.token_hex(24)
    secret_file.write_text(secret)
    record_secret("the provider's client secret", secret)
    port = ports.free_port()
    relay = await stage.relay()
    tunnel = await stage.open(
        *(f"mcp+http://localhost:{free_port}/mcp", "--name", "tools", *relay.link),
        *("--gate", "oauth", "--oauth-provider", f"http://127.0.0.1:{port}"),
        *("--oauth-client-id", "underpass", "--oauth-client-secret-file", str(secret_file)),
        *("--oauth-allow", "alice@example.com", "--oauth-allow", "sub:bob"),
        *("--oauth-allow", "unverified@example.com"),
    )
    provider: Program = await stage.spawn(
        *(tool("node"), str(NODE / "provider.mjs"), str(packages), str(port)),
        *(f"{tunnel.url}/.underpass/oauth/callback", str(secret_file)),
    )
    await provider.event("ready")
    return tunnel


async def sign_in(person: Person, url: str, name: str) -> None:
    """From our consent page to the provider, sign in there as ``name``, and come back."""
    await person.visit(url)
    await person.answer("yes")
    assert "Going on to sign in" in person.page.text
    await person.go_on()
    assert person.page.status_code == 302
    while "/.underpass/" not in person.leads_to_or_nothing:
        if person.page.is_redirect:
            await person.go_on()
        elif 'name="login"' in person.page.text:
            await person.fill_in(login=name, password="any")
        else:
            await person.fill_in()
    await person.go_on()


@pytest.fixture
async def client(site: Tunnel) -> AsyncIterator[Client]:
    made = Client(site.url)
    await made.register()
    yield made
    await made.close()


@pytest.mark.parametrize("name", ["alice", "bob"])
async def test_whom_the_owner_allows_gets_in(client: Client, person: Person, name: str):
    await sign_in(person, client.question(), name)
    assert person.page.status_code == 303
    await person.go_on()
    tokens = await client.exchange(person.leads_to)
    answer = await client.call(tokens["access_token"])
    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["mallory", "unverified", "Alice", "alice@example.com"])
async def test_nobody_else_does(client: Client, person: Person, name: str):
    await sign_in(person, client.question(), name)
    assert person.page.status_code == 403
    assert "not among those who may pass" in person.page.text
    await person.go_on_by_link()
    told = dict(parse_qsl(urlsplit(person.leads_to).query))
    assert told["error"] == "access_denied"
    assert "code" not in told


async def test_an_answer_for_another_browser_is_not_taken(
    site: Tunnel, client: Client, person: Person
):
    other = Person()
    await person.visit(client.question())
    await person.answer("yes")
    await person.go_on()
    state = dict(parse_qsl(urlsplit(person.leads_to).query))["state"]
    await other.visit(f"{site.url}/.underpass/oauth/callback?code=x&state={state}")
    assert other.page.status_code == 410
    await person.visit(f"{site.url}/.underpass/oauth/callback?code=forged&state={state}")
    assert person.page.status_code == 403
    assert json.dumps("forged") not in person.page.text
    await other.close()
