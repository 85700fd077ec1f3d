"""Stock clients of the official SDKs, in every era they speak, through the public name."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.e2e.mcp_stage import ERAS, SESSIONS, Server, path_of, python_client, stdio_origin
from tests.e2e.node_clients import NODE, installed, node22
from tests.e2e.stage import PATIENCE, Program, Stage, Tunnel

ORIGINS = ("http", "stdio")


async def opened(stage: Stage, origin: str, era: str, port: int) -> Tunnel:
    if origin == "stdio":
        return await stage.open(stdio_origin(), "--name", "tools")
    server = Server(stage, era, port)
    await server.start()
    tunnel = await stage.open(str(port), "--mcp", "--name", "tools")
    assert tunnel.first["tunnel"]["kind"] == "mcp"
    return tunnel


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("era", ERAS)
async def test_the_python_sdk(stage: Stage, free_port: int, era: str, origin: str):
    tunnel = await opened(stage, origin, era, free_port)
    async with asyncio.timeout(PATIENCE), python_client(era, tunnel) as client:
        assert "add" in {each.name for each in (await client.list_tools()).tools}
        result = await client.call_tool("add", {"a": 2, "b": 40})
        assert result.structured_content == {"result": 42}
        steps: list[float] = []

        async def note(done: float, total: float | None, message: str | None) -> None:
            steps.append(done)

        await client.call_tool("count_down", {"start": 3, "interval": 0.01}, progress_callback=note)
        assert steps == [0, 1, 2, 3]


TYPESCRIPT = (("v1", "events"), ("v1", "sessions"), ("v2", "events"), ("v2", "sessions"))


@pytest.mark.node
@pytest.mark.npm
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(("sdk", "era"), [*TYPESCRIPT, ("v2", "stateless")])
async def test_the_typescript_sdk(stage: Stage, free_port: int, sdk: str, era: str, origin: str):
    tunnel = await opened(stage, origin, era, free_port)
    client = await typescript_client(stage, tunnel, sdk, era)
    seen = json.loads(await client.next_line())
    assert "add" in seen["tools"]
    assert "42" in seen["sum"][0]["text"]
    assert seen["progress"] == [0, 1, 2, 3]
    assert (await client.ended()).code == 0


async def typescript_client(
    stage: Stage, tunnel: Tunnel, sdk: str, era: str, *, listens: bool = False
) -> Program:
    home = await asyncio.to_thread(installed)
    url = tunnel.url + path_of(era)
    words = (node22(home), str(NODE / "client.mjs"), str(home), sdk, era, url)
    client: Program = await stage.spawn(*words, str(tunnel.token_file), listens=listens)
    return client


async def test_a_client_that_tries_the_newest_era_first(stage: Stage, free_port: int):
    """Both SDKs probe before they settle: what they find must not mislead them."""
    import httpx2
    import mcp
    from mcp.client.streamable_http import streamable_http_client

    tunnel = await opened(stage, "stdio", SESSIONS, free_port)
    async with (
        asyncio.timeout(PATIENCE),
        # The first answer waits for the server's start, which httpx's usual five seconds may not.
        httpx2.AsyncClient(headers=tunnel.bearer, trust_env=False, timeout=PATIENCE) as http,
        mcp.Client(streamable_http_client(f"{tunnel.url}/mcp", http_client=http)) as client,
    ):
        result = await client.call_tool("add", {"a": 2, "b": 40})
        assert result.structured_content == {"result": 42}


def test_the_lock_file_pins_every_client():
    package = json.loads((NODE / "package.json").read_text())
    lock = json.loads((NODE / "package-lock.json").read_text())["packages"]
    wanted = {**package["dependencies"], **package["optionalDependencies"]}
    assert {name: lock[f"node_modules/{name}"]["version"] for name in wanted} == wanted
