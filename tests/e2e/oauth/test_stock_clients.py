"""Stock clients, unmodified, that meet a 401 and do all of OAuth themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
import mcp
import pytest
from mcp.client.auth import OAuthClientProvider
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from tests.canary import record_secret
from tests.e2e.authority import Authority
from tests.e2e.node_clients import installed
from tests.e2e.oauth.conftest import let_in
from tests.e2e.oauth.person import Person
from tests.e2e.stage import PATIENCE, Program, Stage, Tunnel, tool

HERE = Path(__file__).resolve().parent
REDIRECT = "http://127.0.0.1:7465/callback"


class Storage:
    """A client's memory."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens
        record_secret("an access token", tokens.access_token)
        record_secret("a refresh token", tokens.refresh_token or "")

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def provider(
    url: str,
    storage: Storage,
    stage: Stage,
    person: Person,
    asked: list[str],
    document: str | None = None,
) -> OAuthClientProvider:
    """The Python SDK's OAuth, with a person who says yes."""
    answers: list[str] = []

    async def redirect(address: str) -> None:
        asked.append(address)
        answers.append(await let_in(stage, person, address))

    async def callback() -> AuthorizationCodeResult:
        told = dict(parse_qsl(urlsplit(answers[-1]).query))
        return AuthorizationCodeResult(
            code=told["code"], state=told.get("state"), iss=told.get("iss")
        )

    metadata = OAuthClientMetadata(client_name="Stock Python client", redirect_uris=[REDIRECT])
    return OAuthClientProvider(url, metadata, storage, redirect, callback, document)


async def test_python_sdk_client(stage: Stage, tunnel: Tunnel, person: Person):
    url, storage, asked = f"{tunnel.url}/mcp", Storage(), []
    auth = provider(url, storage, stage, person, asked)
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(auth=auth, trust_env=False, timeout=30) as http,
        mcp.Client(streamable_http_client(url, http_client=http)) as client,
    ):
        result = await client.call_tool("add", {"a": 2, "b": 40})
        assert result.structured_content == {"result": 42}
    assert len(asked) == 1
    question = dict(parse_qsl(urlsplit(asked[0]).query))
    assert (question["resource"], question["code_challenge_method"]) == (url, "S256")
    assert storage.tokens is not None
    assert storage.tokens.refresh_token


async def test_python_sdk_client_comes_back_with_its_refresh_token(
    stage: Stage, tunnel: Tunnel, person: Person
):
    url, storage, asked = f"{tunnel.url}/mcp", Storage(), []
    for is_first in (True, False):
        auth = provider(url, storage, stage, person, asked)
        async with (
            asyncio.timeout(PATIENCE),
            httpx2.AsyncClient(auth=auth, trust_env=False, timeout=30) as http,
            mcp.Client(streamable_http_client(url, http_client=http)) as client,
        ):
            assert await client.list_tools()
            if is_first:
                before, auth.context.token_expiry_time = storage.tokens, 1.0
                assert await client.list_tools()
                assert storage.tokens != before
    assert len(asked) == 1, "nobody had to sign in again"


async def test_python_sdk_client_known_by_its_document(
    stage: Stage, server: Program, free_port: int, person: Person
):
    authority = Authority(stage.home / "authority")
    async with documented(authority) as document:
        relay = await stage.relay()
        words = (f"mcp+http://localhost:{free_port}/mcp", "--name", "tools", *relay.link)
        trust = {"SSL_CERT_FILE": str(authority.file)}
        tunnel = await stage.open(*words, "--gate", "oauth", **trust)
        url, storage, asked = f"{tunnel.url}/mcp", Storage(), []
        auth = provider(url, storage, stage, person, asked, document)
        async with (
            asyncio.timeout(PATIENCE),
            httpx2.AsyncClient(auth=auth, trust_env=False, timeout=30) as http,
            mcp.Client(streamable_http_client(url, http_client=http)) as client,
        ):
            assert await client.list_tools()
    assert storage.client is not None
    assert storage.client.client_id == document


@contextlib.asynccontextmanager
async def documented(authority: Authority) -> AsyncIterator[str]:
    """A client's metadata document over https; its address."""
    chain, key = authority.sign("client", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    told: dict[str, object] = {"client_name": "Documented client", "redirect_uris": [REDIRECT]}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            body = json.dumps(told).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    told["client_id"] = f"https://localhost:{port}/client.json"
    yield str(told["client_id"])
    listener.close()


@pytest.mark.node
@pytest.mark.npm
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_typescript_sdk_client(stage: Stage, tunnel: Tunnel, person: Person):
    sdk = await asyncio.to_thread(installed)
    client = await stage.spawn(
        tool("node"), str(HERE / "oauth_client.mjs"), str(sdk), f"{tunnel.url}/mcp"
    )
    asked = await client.event("authorize", 60)
    await person.http.get(await let_in(stage, person, asked["url"]))
    done = await client.event("done", 60)
    assert set(done["tools"]) >= {"add", "now"}
    assert "42" in done["sum"][0]["text"]
    assert done["hasRefreshToken"] is True


@pytest.mark.node
@pytest.mark.npm
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_mcp_remote(stage: Stage, tunnel: Tunnel, person: Person, free_port: int):
    home = await asyncio.to_thread(installed)
    program = home / "node_modules" / "mcp-remote" / "dist" / "proxy.js"
    read, write = await asyncio.to_thread(open_log, stage.home / "mcp-remote.log")
    url = f"{tunnel.url}/mcp"
    bridge = StdioServerParameters(
        command=tool("node"),
        args=[str(program), url, "--allow-http", "--transport", "http-only"],
        env={**stage.environment, "MCP_REMOTE_CONFIG_DIR": str(stage.home / "mcp-remote")},
    )
    with read, write:
        async with (
            asyncio.timeout(90),
            stdio_client(bridge, errlog=write) as streams,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(sign_in(stage, person, stage.home / "mcp-remote.log"))
            async with mcp.ClientSession(*streams, read_timeout_seconds=80) as session:
                await session.initialize()
                result = await session.call_tool("add", {"a": 2, "b": 40})
                assert "42" in json.dumps([each.model_dump() for each in result.content])


def open_log(path: Path):
    write = path.open("w", buffering=1)
    return path.open(), write


def asked_in(log: Path) -> list[str]:
    """The addresses of consent pages that a program has written down."""
    return [word for word in log.read_text().split() if "/.underpass/oauth/authorize?" in word]


async def sign_in(stage: Stage, person: Person, log: Path) -> None:
    """Wait until the bridge says where to go, go there, and give it its answer."""
    while not (found := asked_in(log)):  # noqa: ASYNC110  a file tells nobody when it grows
        await asyncio.sleep(0.1)
    await person.http.get(await let_in(stage, person, found[0]))
