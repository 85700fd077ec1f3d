"""The same in public: https at a relay, where cookies are for secure connections only."""

from __future__ import annotations

import json
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.e2e.authority import Authority, tls_relay
from tests.e2e.oauth.flow import INITIALIZE, TYPES, Client
from tests.e2e.oauth.person import CODE, Form
from tests.e2e.stage import Program, Stage
from tests.e2e.visitors import Answer, get

FORM = "application/x-www-form-urlencoded"


async def test_all_of_a_sign_in_over_https(stage: Stage, server: Program, free_port: int):
    authority = Authority(stage.home / "authority")
    relay = await tls_relay(stage, authority)
    words = (f"mcp+http://localhost:{free_port}/mcp", "--name", "tools", "--gate", "oauth")
    tunnel = await stage.open(*words, *relay.link)
    assert tunnel.url.startswith("https://tools.")
    trust, cookies = authority.client(), SimpleCookie()

    async def ask(url: str, body: dict[str, str] | bytes = b"", **headers: str) -> Answer:
        """One request of a browser or client; the name is this machine's."""
        sent = dict(headers)
        if cookies:
            sent["Cookie"] = "; ".join(f"{k}={v.value}" for k, v in cookies.items())
        if isinstance(body, dict):
            body, sent["Content-Type"] = urlencode(body).encode(), FORM
        answer = await get(
            url,
            sent,
            method="POST" if body else "GET",
            body=body,
            tls=trust,
            connect=("127.0.0.1", relay.port),
        )
        cookies.load(answer.headers.get("set-cookie", ""))
        return answer

    where = f"{tunnel.url}/.well-known/oauth-protected-resource/mcp"
    refused = await ask(f"{tunnel.url}/mcp", json.dumps(INITIALIZE).encode(), **TYPES)
    assert f'resource_metadata="{where}"' in refused.headers["www-authenticate"]
    assert (await ask(where)).json["resource"] == f"{tunnel.url}/mcp"

    client = Client(tunnel.url)
    told = {"redirect_uris": [client.redirect], "token_endpoint_auth_method": "none"}
    registered = await ask(f"{client.own}/register", json.dumps(told).encode())
    client.client_id = registered.json["client_id"]
    page = await ask(client.question())
    # The prefix keeps the tunnel next door from planting one: secure, for "/", and no domain.
    assert [*cookies] == ["__Host-underpass-browser"]
    planted = page.headers["set-cookie"]
    assert ("Secure" in planted, "Path=/;" in planted, "omain" in planted) == (True, True, False)
    fields = {**Form(page.body.decode()).fields, "answer": "yes"}
    begun = await ask(f"{client.own}/authorize", fields, Origin=tunnel.url)
    assert begun.status == 303
    waiting = f"{tunnel.url}{begun.headers['location']}"
    found = CODE.search((await ask(waiting)).body.decode())
    assert found is not None
    assert (await stage.run("approve", found[0])).code == 0
    answered = await ask(waiting)
    given = dict(parse_qsl(urlsplit(answered.headers["location"]).query))
    assert given["iss"] == tunnel.url
    form = {
        "grant_type": "authorization_code",
        "client_id": client.client_id,
        "code": given["code"],
        "redirect_uri": client.redirect,
        "code_verifier": client.verifier,
        "resource": client.resource,
    }
    tokens = (await ask(f"{client.own}/token", form)).json
    shown = {**TYPES, "Authorization": f"Bearer {tokens['access_token']}"}
    called = await ask(client.resource, json.dumps(INITIALIZE).encode(), **shown)
    assert (called.status, called.code) == (200, "")
    await client.close()
