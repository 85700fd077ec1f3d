"""A stock MCP server with default settings, behind a tunnel, for stock clients."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import httpx2
import mcp
import pytest
from mcp.client.streamable_http import streamable_http_client
from tests.e2e.stage import PATIENCE, Program, Stage, Tunnel
from tests.e2e.visitors import Answer, get

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "examples" / "demo_mcp_server.py"

CALL = {"jsonrpc": "2.0", "method": "tools/list", "params": {}}
JSON_TYPES = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
}


@pytest.fixture
async def server(stage: Stage, free_port: int) -> Program:
    """The official SDK's server, as its own example starts it."""
    started: Program = await stage.spawn(sys.executable, str(SERVER), str(free_port))
    async with asyncio.timeout(PATIENCE):
        while True:
            assert started.process.returncode is None, "".join(started.err)
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", free_port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return started


@pytest.fixture
async def tunnel(stage: Stage, server: Program, free_port: int) -> Tunnel:
    relay = await stage.relay()
    words = (f"mcp+http://localhost:{free_port}/mcp", "--name", "tools", *relay.link)
    opened = await stage.open(*words)
    assert (opened.first["tunnel"]["kind"], opened.first["verdict"]["ok"]) == ("mcp", True)
    return opened


async def call(tunnel: Tunnel, request: object, **headers: str) -> Answer:
    """POST one JSON-RPC message."""
    body = json.dumps(request).encode()
    sent = {**JSON_TYPES, **tunnel.bearer, **headers}
    return await get(f"{tunnel.url}/mcp", sent, method="POST", body=body)


async def test_python_sdk_client(tunnel: Tunnel):
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(headers=tunnel.bearer, trust_env=False) as http,
        mcp.Client(streamable_http_client(f"{tunnel.url}/mcp", http_client=http)) as client,
    ):
        tools = await client.list_tools()
        assert {each.name for each in tools.tools} == {"add", "now", "count_down"}
        result = await client.call_tool("add", {"a": 2, "b": 40})
        assert result.structured_content == {"result": 42}
        steps: list[float] = []

        async def note(done: float, total: float | None, message: str | None) -> None:
            steps.append(done)

        await client.call_tool("count_down", {"start": 3, "interval": 0.01}, progress_callback=note)
        assert steps == [0, 1, 2, 3]


@pytest.mark.parametrize("identity", [7, "seven", 'a"b\\c'])
async def test_an_absent_origin_answers_with_the_requests_id(
    stage: Stage, tunnel: Tunnel, server: Program, identity: object
):
    await server.stop(signal.SIGKILL)
    answer = await call(tunnel, {**CALL, "id": identity})
    assert (answer.status, answer.code) == (503, "origin-away")
    assert int(answer.headers["retry-after"]) > 0
    check_error(answer, identity)


@pytest.mark.slow
async def test_an_absent_connector_answers_with_the_requests_id(stage: Stage, tunnel: Tunnel):
    headers = tunnel.bearer
    await tunnel.stop(signal.SIGKILL)
    body = json.dumps({**CALL, "id": 7}).encode()
    sent = {**JSON_TYPES, **headers}
    answer = await get(f"{tunnel.url}/mcp", sent, method="POST", body=body)
    assert (answer.status, answer.code) == (503, "connector-away")
    check_error(answer, 7)
    batch = json.dumps([{**CALL, "id": 1}, {**CALL, "id": 2}]).encode()
    check_error(await get(f"{tunnel.url}/mcp", sent, method="POST", body=batch), None)


async def test_a_refused_visitor_gets_no_id_back(tunnel: Tunnel):
    answer = await call(tunnel, {**CALL, "id": 7}, Authorization="Bearer wrong")
    assert answer.status == 401
    assert "resource_metadata" not in answer.headers["www-authenticate"]
    check_error(answer, None)


def check_error(answer: Answer, identity: object) -> None:
    """A JSON-RPC error response, whole."""
    assert answer.headers["content-type"].startswith("application/json")
    told: dict[str, Any] = answer.json
    assert list(told) == ["jsonrpc", "id", "error"]
    assert (told["jsonrpc"], told["id"]) == ("2.0", identity)
    assert isinstance(told["error"]["code"], int)
    assert told["error"]["message"]


async def test_the_servers_own_answers_pass_untouched(tunnel: Tunnel):
    """A session that the server does not know is its 404, not ours."""
    answer = await call(tunnel, {**CALL, "id": 1}, **{"Mcp-Session-Id": "unknown"})
    assert "underpass-error" not in answer.headers
    assert answer.status in (400, 404)


@pytest.mark.slow
async def test_a_silent_event_stream_gets_a_comment_after_15_seconds(stage: Stage, tunnel: Tunnel):
    """In real time: the count-down says nothing for longer than a reaper waits."""
    async with (
        asyncio.timeout(55),
        httpx2.AsyncClient(headers=tunnel.bearer, trust_env=False, timeout=50) as http,
    ):
        session = await initialise(http, f"{tunnel.url}/mcp")
        silent = {"name": "count_down", "arguments": {"start": 1, "interval": 16.5}}
        message = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": silent}
        async with http.stream(
            "POST", f"{tunnel.url}/mcp", json=message, headers={**JSON_TYPES, **session}
        ) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            text = b"".join([part async for part in answer.aiter_raw()]).decode()
        events = [block for block in text.replace("\r\n", "\n").split("\n\n") if block]
        comments = [block for block in events if block.startswith(":")]
        assert len(comments) == 1
        assert "counted 1 steps" in events[-1]


async def initialise(http: httpx2.AsyncClient, url: str) -> dict[str, str]:
    """Begin a session as clients of 2025-06-18 do; the headers of what follows."""
    version = "2025-06-18"
    params = {
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    begun = await http.post(url, json=message, headers=JSON_TYPES)
    assert begun.status_code == 200
    headers = {"Mcp-Session-Id": begun.headers["mcp-session-id"], "MCP-Protocol-Version": version}
    told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await http.post(url, json=told, headers={**JSON_TYPES, **headers})
    return headers
