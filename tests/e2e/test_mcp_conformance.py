"""The official conformance suite, the inspector and a stdio bridge, direct and through the tunnel.

What a tunnel adds must not show: every scenario of the suite judges the same way on both sides.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import mcp
import pytest
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from tests.e2e.mcp_stage import ONLY_US, SESSIONS, Server, stdio_origin
from tests.e2e.node_clients import installed, node22
from tests.e2e.stage import Stage, Tunnel

pytestmark = [
    pytest.mark.node,
    pytest.mark.npm,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

SCENARIOS = 30
"""What the pinned suite runs against a server."""


@pytest.fixture
async def home() -> Path:
    return await asyncio.to_thread(installed)


@pytest.fixture
async def server(stage: Stage, free_port: int) -> Server:
    made = Server(stage, SESSIONS, free_port)
    await made.start()
    return made


async def opened(stage: Stage, *origin: str) -> Tunnel:
    return await stage.open(*origin, "--name", "tools", *ONLY_US)


async def judged(stage: Stage, home: Path, url: str, name: str) -> dict[str, list[tuple[str, str]]]:
    """Each scenario's checks and how they came out."""
    suite = home / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    results = stage.home / name
    words = (node22(home), str(suite), "server", "--url", url, "-o", str(results))
    await (await stage.spawn(*words)).ended(120)
    found = {}
    for checks in results.glob("*/checks.json"):
        told = json.loads(checks.read_text())
        found[_scenario(checks.parent.name)] = [(each["id"], each["status"]) for each in told]
    return found


def _scenario(directory: str) -> str:
    """``server-NAME-2026-11-23T09-35-49-513Z``: the last six parts are the time."""
    return "-".join(directory.split("-")[1:-5])


async def test_every_scenario_is_judged_alike(stage: Stage, home: Path, server: Server):
    tunnel = await opened(stage, str(server.port), "--mcp")
    direct = await judged(stage, home, server.url, "direct")
    through = await judged(stage, home, f"{tunnel.url}/mcp", "through")
    assert len(direct) == SCENARIOS
    assert {status for checks in direct.values() for _, status in checks} == {"SUCCESS"}
    assert through == direct


async def test_a_stdio_server_is_judged_like_the_same_server_over_http(
    stage: Stage, home: Path, server: Server
):
    tunnel = await opened(stage, stdio_origin())
    direct = await judged(stage, home, server.url, "direct")
    through = await judged(stage, home, f"{tunnel.url}/mcp", "through")
    assert through == direct


async def test_the_inspector_calls_a_tool(stage: Stage, home: Path, server: Server):
    tunnel = await opened(stage, str(server.port), "--mcp")
    launcher = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
    done = await (
        await stage.spawn(
            *(node22(home), str(home / "node_modules" / launcher), "--cli", f"{tunnel.url}/mcp"),
            *("--transport", "http", "--method", "tools/call", "--tool-name", "add"),
            *("--tool-arg", "a=2", "b=40"),
        )
    ).ended(60)
    assert done.code == 0, done.err
    assert done.json["structuredContent"] == {"result": 42}


@pytest.mark.parametrize("transport", ["http-only", "sse-only"])
async def test_mcp_remote_leads_a_stdio_client_through(
    stage: Stage, home: Path, free_port: int, transport: str
):
    tunnel = await opened(stage, stdio_origin())
    path = "/sse" if transport == "sse-only" else "/mcp"
    program = home / "node_modules" / "mcp-remote" / "dist" / "proxy.js"
    bridge = StdioServerParameters(
        command=node22(home),
        args=[str(program), tunnel.url + path, "--allow-http", "--transport", transport],
        env={**stage.environment, "MCP_REMOTE_CONFIG_DIR": str(stage.home / "mcp-remote")},
    )
    log = await asyncio.to_thread((stage.home / "mcp-remote.log").open, "w")
    with log:
        async with (
            asyncio.timeout(60),
            stdio_client(bridge, errlog=log) as streams,
            mcp.ClientSession(*streams) as session,
        ):
            await session.initialize()
            result = await session.call_tool("add", {"a": 2, "b": 40})
            assert result.structured_content == {"result": 42}
