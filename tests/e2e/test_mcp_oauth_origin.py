"""A stock server with an OAuth of its own, behind a name it does not know: its clients find it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
import mcp
import pytest
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from tests.e2e.mcp_stage import ONLY_US, wait_for_port
from tests.e2e.stage import PATIENCE, Program, Stage, Tunnel

SERVER = Path(__file__).resolve().parent / "mcp_oauth_server.py"
REDIRECT = "http://localhost:33418/callback"


@pytest.fixture
async def tunnel(stage: Stage, free_port: int) -> Tunnel:
    server: Program = await stage.spawn(sys.executable, str(SERVER), str(free_port))
    await wait_for_port(server, free_port)
    return await stage.open(str(free_port), "--mcp", "--name", "guarded", *ONLY_US)


class Memory:
    """Keeps a client's registration and tokens."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def test_the_python_sdk_signs_in_through_the_tunnel(tunnel: Tunnel):
    url = f"{tunnel.url}/mcp"
    answers: list[dict[str, str]] = []

    async def redirect(address: str) -> None:
        assert address.startswith(f"{tunnel.url}/authorize?")
        async with httpx2.AsyncClient(trust_env=False) as browser:
            answer = await browser.get(address)
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(REDIRECT)
        answers.append(dict(parse_qsl(urlsplit(answer.headers["location"]).query)))

    async def callback() -> AuthorizationCodeResult:
        return AuthorizationCodeResult(**answers[-1])

    metadata = OAuthClientMetadata(client_name="tests", redirect_uris=[REDIRECT])  # type: ignore[list-item]
    auth = OAuthClientProvider(url, metadata, Memory(), redirect, callback)
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(auth=auth, trust_env=False, timeout=PATIENCE) as http,
        mcp.Client(streamable_http_client(url, http_client=http)) as client,
    ):
        result = await client.call_tool("add", {"a": 2, "b": 40})
        assert result.structured_content == {"result": 42}
    assert answers[0]["iss"] == tunnel.url
    assert len(answers) == 1, "the token's audience was right at once"
