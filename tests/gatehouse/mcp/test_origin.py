"""A stock MCP server, with its own guard against strange hosts, serves stock clients unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import mcp
import uvicorn
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor, open_door
from underpass.guard.gates import BearerGate, Guard
from underpass.guard.secrets import hash_token

Make = Callable[..., Gatehouse]


def tools() -> MCPServer:
    server = MCPServer("tools")

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool()
    async def steps(context: Context, count: int) -> str:
        for step in range(count):
            await context.report_progress(step, count)
        return "done"

    return server


@asynccontextmanager
async def serve(server: MCPServer) -> AsyncIterator[int]:
    config = uvicorn.Config(server.streamable_http_app(), port=0, log_level="error")
    config.load()
    running = uvicorn.Server(config)
    running.lifespan = config.lifespan_class(config)
    await running.lifespan.startup()
    await running.startup()
    try:
        yield running.servers[0].sockets[0].getsockname()[1]
    finally:
        running.force_exit = True
        await running.shutdown()


@asynccontextmanager
async def tunnel_to(make_gatehouse: Make, port: int, host_header: str) -> AsyncIterator[str]:
    gatehouse = make_gatehouse(
        f"mcp+http://localhost:{port}/mcp",
        guard=Guard([BearerGate(hash_token("up_right"))]),
        host_header=host_header,
    )
    door = SocketDoor(gatehouse, DoorSettings(heartbeats=True, fin_departs=True))
    server = await open_door(door)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    gatehouse.set_public_urls([url])
    try:
        yield url
    finally:
        server.close()
        door.close()


@asynccontextmanager
async def client_of(url: str, token: str) -> AsyncIterator[mcp.Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False) as http,
        mcp.Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def test_tools_are_listed_and_called_through_the_tunnel(make_gatehouse: Make):
    async with (
        asyncio.timeout(20),
        serve(tools()) as port,
        tunnel_to(make_gatehouse, port, "origin") as url,
        client_of(url, "up_right") as client,
    ):
        listed = await client.list_tools()
        assert {tool.name for tool in listed.tools} == {"add", "steps"}
        result = await client.call_tool("add", {"a": 2, "b": 3})
        assert result.structured_content == {"result": 5}

        progress: list[float] = []

        async def note(done: float, total: float | None, message: str | None) -> None:
            progress.append(done)

        await client.call_tool("steps", {"count": 3}, progress_callback=note)
        assert progress == [0, 1, 2]


async def test_server_would_refuse_the_public_host_if_it_were_preserved(make_gatehouse: Make):
    """The control: without our rewriting the SDK's own guard says 421."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    fields = {
        "Authorization": "Bearer up_right",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "Host": "tools.example",
    }
    async with (
        asyncio.timeout(20),
        serve(tools()) as port,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        async with tunnel_to(make_gatehouse, port, "preserve") as url:
            answer = await http.post(url, content=body, headers=fields)
            assert (answer.status_code, "Underpass-Error" in answer.headers) == (421, False)
        async with tunnel_to(make_gatehouse, port, "origin") as url:
            answer = await http.post(url, content=body, headers=fields)
            assert answer.headers["Underpass-Error"] == "host-misdirected"
            fields["Host"] = url.split("/")[2]
            answer = await http.post(url, content=body, headers=fields)
            assert answer.status_code not in (401, 403, 421, 503)


async def test_client_without_the_token_is_refused_in_its_own_language(make_gatehouse: Make):
    async with (
        serve(tools()) as port,
        tunnel_to(make_gatehouse, port, "origin") as url,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        answer = await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert answer.status_code == 401
        assert answer.json()["id"] is None
        assert "resource_metadata" not in answer.headers["WWW-Authenticate"]
