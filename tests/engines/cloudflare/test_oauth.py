"""OAuth without a vendor at a vendor's name: a stock MCP server, the real cloudflared, and https.

The client is the official SDK's, unmodified; the edge makes new heads, as Cloudflare's does.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpcore2
import httpx2
import mcp
import pytest
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from tests.e2e.oauth.person import CODE, Form
from tests.e2e.oauth.test_stock_clients import REDIRECT, Storage
from tests.engines.cloudflare.bench import CloudflareBench, QuickBench

from underpass.api.client import Call
from underpass.assembly import OpenTunnel
from underpass.guard.oauth.errors import OAuthUrlChanges
from underpass.testing.driver_bench import PATIENCE
from underpass.testing.driver_suite import url_of
from underpass.testing.driver_visits import ask
from underpass.testing.ports import free_port

SERVER = Path(__file__).resolve().parents[3] / "examples" / "demo_mcp_server.py"


@contextlib.asynccontextmanager
async def stock_server() -> AsyncIterator[int]:
    """The official SDK's server with its default settings, in a process of its own; its port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SERVER), str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                assert process.returncode is None
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield port
    finally:
        process.kill()
        await process.wait()


class Here(httpcore2.AsyncNetworkBackend):
    """Names below ``localhost`` are this machine, as browsers have it."""

    def __init__(self) -> None:
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, *rest: object, **more: object
    ) -> httpcore2.AsyncNetworkStream:
        assert host.endswith(".localhost"), "a client was sent to somebody else"
        return await self._inner.connect_tcp("127.0.0.1", port, *rest, **more)  # type: ignore[arg-type]


def visitor(bench: CloudflareBench, auth: OAuthClientProvider | None = None) -> httpx2.AsyncClient:
    """An HTTP client that trusts the edge."""
    transport = httpx2.AsyncHTTPTransport(verify=bench.edge.trust())
    transport._pool = httpcore2.AsyncConnectionPool(
        ssl_context=bench.edge.trust(), network_backend=Here()
    )
    return httpx2.AsyncClient(transport=transport, auth=auth, trust_env=False, timeout=30)


async def let_in(bench: CloudflareBench, tunnel: OpenTunnel, url: str) -> str:
    """Consent in a browser, and the owner's word through the tunnel's own socket."""
    async with visitor(bench) as browser:
        page = await browser.get(url)
        assert page.status_code == 200, page.text
        assert "__Host-underpass-browser" in page.headers["set-cookie"]
        form, public = Form(page.text), url_of(tunnel).rstrip("/")
        page = await browser.post(
            urljoin(url, form.action),
            data={**form.fields, "answer": "yes"},
            headers={"Origin": public},
        )
        waiting = urljoin(url, page.headers["location"])
        code = CODE.search((await browser.get(waiting)).text)
        assert code is not None
        (path,) = bench.runtime.glob("open-*.sock")

        def decide() -> None:
            where = f"/v1/tunnels/{tunnel.status().name}/sign-ins"
            with Call(path, "POST", where, {"code": code[0], "approve": True}) as call:
                call.answer()

        await asyncio.to_thread(decide)
        return str((await browser.get(waiting)).headers["location"])


async def test_a_stock_server_and_a_stock_client_meet_through_cloudflare(
    named: CloudflareBench,
):
    bench = named
    answers: list[str] = []
    async with stock_server() as port:
        tunnel = await bench.open(f"mcp+http://localhost:{port}/mcp --gate oauth")
        url = url_of(tunnel).rstrip("/") + "/mcp"
        assert url.startswith("https://")

        async def redirect(address: str) -> None:
            answers.append(await let_in(bench, tunnel, address))

        async def callback() -> AuthorizationCodeResult:
            told = dict(parse_qsl(urlsplit(answers[-1]).query))
            return AuthorizationCodeResult(
                code=told["code"], state=told.get("state"), iss=told.get("iss")
            )

        storage = Storage()
        metadata = OAuthClientMetadata(client_name="Stock client", redirect_uris=[REDIRECT])
        auth = OAuthClientProvider(url, metadata, storage, redirect, callback)
        async with (
            asyncio.timeout(PATIENCE),
            visitor(bench, auth) as http,
            mcp.Client(streamable_http_client(url, http_client=http)) as client,
        ):
            result = await client.call_tool("add", {"a": 2, "b": 40})
            assert result.structured_content == {"result": 42}
        assert len(answers) == 1
        refused = await ask(bench, url_of(tunnel), "/mcp", {"Authorization": "Bearer x"})
        assert refused.status == 401
        assert url.removesuffix("/mcp") in refused.headers["www-authenticate"]
        assert storage.tokens is not None
        shown = {"Authorization": f"Bearer {storage.tokens.access_token}"}
        assert (await ask(bench, url_of(tunnel), "/mcp", shown)).status != 401


async def test_a_quick_tunnel_whose_name_is_another_each_time_is_refused(quick: QuickBench):
    with pytest.raises(OAuthUrlChanges, match="cloudflare says only afterwards"):
        await quick.open("127.0.0.1:9 --gate oauth")
