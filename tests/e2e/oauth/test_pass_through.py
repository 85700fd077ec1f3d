"""A stock server with its own OAuth, behind ``--gate oauth:origin``, met by a stock client."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
import mcp
import pytest
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from tests.e2e.oauth.conftest import started
from tests.e2e.oauth.test_stock_clients import REDIRECT, Storage
from tests.e2e.stage import PATIENCE, Stage, Tunnel
from tests.e2e.visitors import get

SERVER = Path(__file__).resolve().parent / "own_oauth_server.py"


@pytest.fixture
async def tunnel(stage: Stage, free_port: int) -> Tunnel:
    await started(stage, SERVER, free_port)
    relay = await stage.relay()
    words = (f"mcp+http://localhost:{free_port}/mcp", "--name", "tools", *relay.link)
    return await stage.open(*words, "--gate", "oauth:origin")


async def test_a_stock_client_signs_in_at_the_origin(tunnel: Tunnel):
    url, asked = f"{tunnel.url}/mcp", []

    async def redirect(address: str) -> None:
        async with httpx2.AsyncClient(trust_env=False) as http:
            asked.append((address, (await http.get(address)).headers["location"]))

    async def callback() -> AuthorizationCodeResult:
        told = dict(parse_qsl(urlsplit(asked[-1][1]).query))
        return AuthorizationCodeResult(code=told["code"], state=told.get("state"))

    metadata = OAuthClientMetadata(client_name="Stock client", redirect_uris=[REDIRECT])
    auth = OAuthClientProvider(url, metadata, Storage(), redirect, callback)
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(auth=auth, trust_env=False, timeout=30) as http,
        mcp.Client(streamable_http_client(url, http_client=http)) as client,
    ):
        result = await client.call_tool("add", {"a": 2, "b": 40})
        assert result.structured_content == {"result": 42}
    assert asked[0][0].startswith(tunnel.url + "/authorize?")


async def test_the_gate_refuses_who_shows_nothing_and_the_origin_who_shows_anything(
    tunnel: Tunnel,
):
    nothing = await get(f"{tunnel.url}/mcp")
    assert (nothing.status, nothing.code) == (401, "gate-unauthenticated")
    anything = await get(f"{tunnel.url}/mcp", {"Authorization": "Bearer made-up"})
    assert (anything.status, anything.code) == (401, "")
    where = f"{tunnel.url}/.well-known/oauth-protected-resource/mcp"
    for refused in (nothing, anything):
        assert f'resource_metadata="{where}"' in refused.headers["www-authenticate"]
    told = json.loads((await get(where)).body)
    assert told["resource"] == f"{tunnel.url}/mcp"
    assert "localhost" not in json.dumps(told)
