"""A stdio server behind the bridge: every era's client, sure ends, no hang."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx2
import mcp
import psutil
import pytest
from mcp.shared.exceptions import MCPError
from tests.bridge.conftest import COMMAND, DEADLINE, bridged, client_of, http, until

ERAS = ("events", "sessions", "stateless")
GONE = {"code": "stdio-server-ended", "retryable": True}

JSON = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}

NEWEST = {**JSON, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def process_of(client: mcp.Client) -> int:
    found = (await client.call_tool("process", {})).structured_content
    assert found is not None
    return int(found["result"])


@pytest.mark.parametrize("era", ["events", "sessions"])
async def test_each_session_has_a_process_of_its_own_that_ends_with_it(short: Path, era: str):
    async with asyncio.timeout(DEADLINE), bridged(short) as (bridge, socket):
        async with client_of(socket, era) as first, client_of(socket, era) as second:
            processes = {await process_of(first), await process_of(second)}
            assert len(processes) == 2
            assert bridge.children.in_use == 2
        await until(lambda: not any(psutil.pid_exists(pid) for pid in processes))
        assert bridge.children.in_use == 0


async def test_requests_without_sessions_share_one_process(short: Path):
    steps: dict[str, list[float]] = {"one": [], "two": []}

    async def count(name: str, client: mcp.Client) -> None:
        async def note(done: float, total: float | None, message: str | None) -> None:
            steps[name].append(done)

        arguments = {"start": 5, "interval": 0.01}
        await client.call_tool("count_down", arguments, progress_callback=note)

    async with (
        asyncio.timeout(DEADLINE),
        bridged(short) as (_, socket),
        client_of(socket, "stateless") as one,
        client_of(socket, "stateless") as two,
    ):
        assert await process_of(one) == await process_of(two)
        # Both clients number their requests alike: nothing of one may reach the other.
        await asyncio.gather(count("one", one), count("two", two))
        assert steps == {"one": [0, 1, 2, 3, 4, 5], "two": [0, 1, 2, 3, 4, 5]}


async def test_everybody_who_listens_hears_under_an_id_of_their_own(short: Path):
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short) as (_, socket),
        client_of(socket, "stateless") as one,
        client_of(socket, "stateless") as two,
        one.listen(resources_list_changed=True) as first,
        two.listen(resources_list_changed=True) as second,
    ):
        await one.call_tool("change", {})
        assert [type(await anext(each)).__name__ for each in (first, second)] == [
            "ResourcesListChanged",
            "ResourcesListChanged",
        ]


async def test_a_visitor_who_does_not_read_holds_up_nobody_else(short: Path):
    meta = {**META, "progressToken": 1}
    arguments = {"start": 50_000, "interval": 0}
    params = {"name": "count_down", "arguments": arguments, "_meta": meta}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(asked).encode()
    fields = {**NEWEST, "Mcp-Method": "tools/call", "Mcp-Name": "count_down", "Host": "localhost"}
    lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
    head = "POST /mcp HTTP/1.1\r\n" + "".join(lines) + f"Content-Length: {len(body)}\r\n\r\n"
    async with asyncio.timeout(DEADLINE), bridged(short) as (_, socket):
        reader, writer = await asyncio.open_unix_connection(str(socket), limit=1024)
        writer.write(head.encode() + body)
        assert await reader.readuntil(b"notifications/progress")
        async with client_of(socket, "stateless") as client:
            for _ in range(20):
                assert await process_of(client)
        writer.close()


@pytest.mark.parametrize("era", ERAS)
async def test_a_dying_process_is_an_error_with_the_calls_id_and_no_hang(
    short: Path, era: str, capfd: pytest.CaptureFixture[str]
):
    async with asyncio.timeout(DEADLINE), bridged(short) as (_, socket):
        async with client_of(socket, era) as client:
            with pytest.raises(MCPError) as caught:
                await client.call_tool("die", {"words": "out of paper"})
            assert (caught.value.error.code, caught.value.error.data) == (-32000, GONE)
            if era == "stateless":
                assert await process_of(client), "the next request has another process"
        async with client_of(socket, era) as client:
            assert await process_of(client)
    name = os.path.basename(sys.executable)
    assert f"{name}: out of paper\n" in capfd.readouterr().err


async def test_a_session_whose_process_died_is_unknown(short: Path):
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short) as (_, socket),
        client_of(socket, "sessions") as client,
    ):
        with pytest.raises(MCPError):
            await client.call_tool("die", {"words": "x"})
        with pytest.raises(MCPError, match="Session not found"):
            await process_of(client)


@pytest.mark.parametrize("era", ERAS)
async def test_a_killed_process_is_an_error_too(short: Path, era: str):
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short) as (_, socket),
        client_of(socket, era) as client,
    ):
        pid = await process_of(client)
        diary = short / "diary"
        call = asyncio.create_task(client.call_tool("linger", {"diary": str(diary)}))
        await until(diary.exists)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(MCPError) as caught:
            await call
        assert caught.value.error.data == GONE


async def test_hanging_up_cancels_where_it_is_the_cancel(short: Path):
    """2026-07-28: closing the answer's stream is how a client cancels."""
    async with asyncio.timeout(DEADLINE), bridged(short) as (_, socket):
        diary = short / "diary"
        async with client_of(socket, "stateless") as client:
            call = asyncio.create_task(client.call_tool("linger", {"diary": str(diary)}))
            await until(diary.exists)
            call.cancel()
            await until(lambda: diary.read_text() == "cancelled")
            assert await process_of(client), "and nobody else is disturbed"


async def test_hanging_up_does_not_cancel_where_it_is_not(short: Path):
    """2025: a lost connection is no cancel; a message says so."""
    async with asyncio.timeout(DEADLINE), bridged(short) as (_, socket), http(socket) as plain:
        begun = await plain.post("/mcp", json=HELLO, headers=JSON)
        session = {**JSON, "Mcp-Session-Id": begun.headers["mcp-session-id"]}
        diary = short / "diary"
        call = {"name": "linger", "arguments": {"diary": str(diary)}}
        told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await plain.post("/mcp", json=told, headers=session)).status_code == 202
        asked = {"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": call}
        async with plain.stream("POST", "/mcp", json=asked, headers=session):
            await until(diary.exists)
        (short / "diary.go").touch()
        await until(lambda: diary.read_text() == "done")

        diary.unlink()
        (short / "diary.go").unlink()
        asked["id"] = 9
        async with plain.stream("POST", "/mcp", json=asked, headers=session) as answer:
            await until(diary.exists)
            params = {"requestId": 9}
            told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
            await plain.post("/mcp", json=told, headers=session)
            await until(lambda: diary.read_text() == "cancelled")
            await answer.aread()  # and its stream ends without an answer


async def begun(plain: httpx2.AsyncClient) -> str:
    """A session's id. Whoever has just had an answer may still count as using its session."""
    while True:
        answer = await plain.post("/mcp", json=HELLO, headers=JSON)
        if answer.status_code != 503:
            return str(answer.headers["mcp-session-id"])


async def test_a_session_nobody_uses_gives_way_and_a_used_one_does_not(short: Path):
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short, max_sessions=1) as (_, socket),
        http(socket) as plain,
    ):
        first = await begun(plain)
        second = await begun(plain)
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        gone = await plain.post("/mcp", json=ping, headers={**JSON, "Mcp-Session-Id": first})
        assert gone.status_code == 404
        used = {**JSON, "Mcp-Session-Id": second}
        assert (await plain.post("/mcp", json=ping, headers=used)).status_code == 200
        async with plain.stream("GET", "/mcp", headers=used) as standing:
            assert standing.status_code == 200
            full = await plain.post("/mcp", json=HELLO, headers=JSON)
            assert (full.status_code, full.headers["retry-after"]) == (503, "1")
            assert full.json()["id"] == 7
            assert full.json()["error"]["data"] == {"code": "over-limit", "retryable": True}
            assert (await plain.get("/sse")).status_code == 503


async def test_a_session_ends_after_idle_time_and_by_delete(short: Path):
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short, idle_seconds=0.2) as (bridge, socket),
        http(socket) as plain,
    ):
        await plain.post("/mcp", json=HELLO, headers=JSON)
        await until(lambda: bridge.children.in_use == 0)
    async with asyncio.timeout(DEADLINE), bridged(short) as (bridge, socket), http(socket) as plain:
        begun = await plain.post("/mcp", json=HELLO, headers=JSON)
        session = {**JSON, "Mcp-Session-Id": begun.headers["mcp-session-id"]}
        assert (await plain.delete("/mcp", headers=session)).status_code == 200
        await until(lambda: bridge.children.in_use == 0)


async def test_the_shared_process_ends_after_idle_time(short: Path):
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short, idle_seconds=0.2) as (bridge, socket),
        client_of(socket, "stateless") as client,
    ):
        await process_of(client)
        await until(lambda: bridge.children.in_use == 0)
        assert await process_of(client)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/mcp", 405),
        ("DELETE", "/mcp", 405),
        ("POST", "/sse", 405),
        ("GET", "/.well-known/oauth-protected-resource/mcp", 404),
        ("GET", "/", 404),
    ],
)
async def test_what_is_not_there(short: Path, method: str, path: str, status: int):
    async with asyncio.timeout(DEADLINE), bridged(short) as (_, socket), http(socket) as plain:
        assert (await plain.request(method, path)).status_code == status


@pytest.mark.parametrize(
    ("body", "fields", "status", "code"),
    [
        (b"{", {}, 400, -32700),
        (b"[]", {}, 400, -32600),
        ({"id": 1}, {"Mcp-Method": "tools/call"}, 400, -32020),
        ({"id": 1}, {"MCP-Protocol-Version": "2099-01-01"}, 400, -32020),
        ({"id": 1, "params": {}}, {}, 400, -32602),
        ({"id": 1, "method": "no/such"}, {"Mcp-Method": "no/such"}, 404, -32601),
    ],
)
async def test_refusals_of_the_newest_era_in_its_own_words(
    short: Path, body: object, fields: dict[str, str], status: int, code: int
):
    if isinstance(body, dict):
        whole = {"jsonrpc": "2.0", "method": "tools/list", "params": {"_meta": META}, **body}
        body = json.dumps(whole).encode()
    async with asyncio.timeout(DEADLINE), bridged(short) as (_, socket), http(socket) as plain:
        answer = await plain.post("/mcp", content=body, headers={**NEWEST, **fields})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_notification_of_the_newest_era_gets_202_without_a_body(short: Path):
    async with asyncio.timeout(DEADLINE), bridged(short) as (_, socket), http(socket) as plain:
        told = {"jsonrpc": "2.0", "method": "notifications/x"}
        answer = await plain.post("/mcp", json=told, headers=NEWEST)
        assert (answer.status_code, answer.content) == (202, b"")


async def test_a_program_that_ends_at_once_is_never_ready(short: Path):
    async with asyncio.timeout(DEADLINE), bridged(short, ("false",)) as (bridge, socket):
        assert not await bridge.children.ready()
        async with http(socket) as plain:
            assert (await plain.get("/.underpass/bridge")).status_code == 503
            answer = await plain.post("/mcp", json=HELLO, headers=JSON)
            told = answer.text.partition("data: ")[2] or answer.text
            assert json.loads(told)["id"] == 7
            assert json.loads(told)["error"]["data"] == GONE


async def test_noise_on_stdout_is_passed_over(short: Path):
    script = short / "noisy.sh"
    script.write_text("echo this is no JSON\nexec " + " ".join(COMMAND) + "\n")
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short, ("sh", str(script))) as (_, socket),
        client_of(socket, "sessions") as client,
    ):
        assert await process_of(client)
