"""Servers that are away, frozen or restarting: stock clients of each era go on without a person.

Where an era has sessions, a restart ends them by the protocol's own words (404, or the stream's
end), and the client begins another; what a tunnel must not do is to end them itself, to hang, or to
say something that clients remember.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path

import httpx2
import mcp
import pytest
from mcp.shared.exceptions import MCPError
from tests.e2e.mcp_stage import ERAS, EVENTS, STATELESS, Server, python_client, stdio_origin
from tests.e2e.stage import PATIENCE, Program, Stage, Tunnel
from tests.e2e.test_mcp_clients import JSON_TYPES, initialise
from tests.e2e.test_mcp_eras import typescript_client


@pytest.fixture
async def server(stage: Stage, free_port: int, request: pytest.FixtureRequest) -> Server:
    era = request.node.callspec.params["era"]
    made = Server(stage, era, free_port)
    await made.start()
    return made


@pytest.fixture
async def tunnel(stage: Stage, server: Server) -> Tunnel:
    return await stage.open(str(server.port), "--mcp", "--name", "tools")


async def add(client: mcp.Client) -> object:
    return (await client.call_tool("add", {"a": 2, "b": 40})).structured_content


async def stopped(server: Server, number: signal.Signals = signal.SIGKILL) -> None:
    assert server.program is not None
    await server.program.stop(number)


@pytest.mark.parametrize("era", ERAS)
async def test_a_frozen_server_answers_the_same_call_when_it_thaws(
    server: Server, tunnel: Tunnel, era: str
):
    assert server.program is not None
    async with asyncio.timeout(PATIENCE), python_client(era, tunnel) as client:
        assert await add(client) == {"result": 42}
        server.program.send_signal(signal.SIGSTOP)
        call = asyncio.create_task(add(client), name="a call to a frozen server")
        done, _ = await asyncio.wait({call}, timeout=0.5)
        assert not done, "nothing was made up while it could not answer"
        server.program.send_signal(signal.SIGCONT)
        assert await call == {"result": 42}


@pytest.mark.parametrize("era", ["sessions", STATELESS])
async def test_an_absent_server_is_an_error_at_once_and_not_the_end(
    server: Server, tunnel: Tunnel, era: str
):
    async with asyncio.timeout(PATIENCE), python_client(era, tunnel) as client:
        assert await add(client) == {"result": 42}
        await stopped(server)
        with pytest.raises(MCPError) as caught:
            await add(client)
        assert caught.value.error.data == {"code": "origin-away", "retryable": True}
        await server.start()
        if era == STATELESS:
            assert await add(client) == {"result": 42}, "the same client goes on"
            return
        with pytest.raises(MCPError, match="Session not found"):
            await add(client)  # the server's own 404, on which a client begins anew
    async with asyncio.timeout(PATIENCE), python_client(era, tunnel) as client:
        assert await add(client) == {"result": 42}


@pytest.mark.parametrize("era", [EVENTS])
async def test_a_stream_whose_server_died_ends_for_its_client(
    server: Server, tunnel: Tunnel, era: str
):
    async def bereave() -> None:
        async with python_client(era, tunnel) as client:
            assert await add(client) == {"result": 42}
            await stopped(server)
            await add(client)

    async with asyncio.timeout(PATIENCE):
        with pytest.raises((MCPError, ExceptionGroup)):
            await bereave()
        await server.start()
        async with python_client(era, tunnel) as client:
            assert await add(client) == {"result": 42}


@pytest.mark.node
@pytest.mark.npm
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("sdk", "era"), [("v1", EVENTS), ("v1", "sessions"), ("v2", "sessions"), ("v2", STATELESS)]
)
@pytest.mark.parametrize("how", ["restart", "away"])
async def test_typescript_clients_come_back_by_themselves(
    stage: Stage, server: Server, tunnel: Tunnel, sdk: str, era: str, how: str
):
    client = await talkative(stage, tunnel, sdk, era)
    assert (await asked(client))["tries"] == 1
    await stopped(server, signal.SIGTERM if how == "restart" else signal.SIGKILL)
    if how == "restart":
        await server.start()
        assert "42" in (await asked(client))["sum"][0]["text"]
        return
    assert client.process.stdin is not None
    client.process.stdin.write(b"\n")
    await client.until(lambda: bool(client.err))  # it has met the absence
    await server.start()
    told = json.loads(await client.next_line())
    assert "42" in told["sum"][0]["text"]
    assert told["tries"] > 1


async def talkative(stage: Stage, tunnel: Tunnel, sdk: str, era: str) -> Program:
    client = await typescript_client(stage, tunnel, sdk, era, listens=True)
    await client.next_line(60)
    return client


async def asked(client: Program) -> dict[str, object]:
    assert client.process.stdin is not None
    client.process.stdin.write(b"\n")
    told: dict[str, object] = json.loads(await client.next_line())
    return told


@pytest.mark.parametrize("origin", ["http", "stdio"])
@pytest.mark.parametrize("era", ["sessions", STATELESS])
async def test_hanging_up_cancels_in_the_one_era_and_not_in_the_other(
    stage: Stage, server: Server, tmp_path: Path, era: str, origin: str
):
    """The tool writes down how it ended; the control is the other era."""
    origins = {"http": (str(server.port), "--mcp"), "stdio": (stdio_origin(),)}
    tunnel = await stage.open(*origins[origin])
    url, diary = f"{tunnel.url}/mcp", tmp_path / "diary"
    params: dict[str, object] = {"name": "linger", "arguments": {"diary": str(diary)}}
    asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(headers=tunnel.bearer, trust_env=False, timeout=PATIENCE) as http,
    ):
        if era == STATELESS:
            params["_meta"] = META
            fields = {"MCP-Protocol-Version": VERSION, "Mcp-Method": "tools/call"}
            fields["Mcp-Name"] = "linger"
        else:
            fields = await initialise(http, url)
        request = http.build_request("POST", url, json=asked, headers={**JSON_TYPES, **fields})
        call = asyncio.create_task(http.send(request, stream=True), name="a call to hang up on")
        await until(diary.exists)
        if call.done():
            await call.result().aclose()
        call.cancel()
        if era != STATELESS:
            (tmp_path / "diary.go").touch()
        await until(lambda: diary.read_text() == ("cancelled" if era == STATELESS else "done"))


VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def until(wanted: Callable[[], bool]) -> None:
    """A file tells nobody when it changes."""
    while not wanted():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
