"""A session is its visitor's alone: whoever else learns its id finds nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.bridge.conftest import DEADLINE, bridged, http
from tests.bridge.test_app import HELLO, JSON

ALICE = {"Underpass-Visitor": "jwt:alice"}
BOB = {"Underpass-Visitor": "jwt:bob"}
LIST = {"jsonrpc": "2.0", "id": 8, "method": "tools/list", "params": {}}


async def test_a_session_serves_nobody_but_who_began_it(short: Path):
    async with asyncio.timeout(DEADLINE), bridged(short) as (_, socket), http(socket) as client:
        began = await client.post("/mcp", json=HELLO, headers=JSON | ALICE)
        assert began.status_code == 200
        session = JSON | {"Mcp-Session-Id": began.headers["mcp-session-id"]}
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await client.post("/mcp", json=ready, headers=session | ALICE)).status_code == 202
        for stranger in (BOB, {}):
            for method in ("POST", "GET", "DELETE"):
                body = LIST if method == "POST" else None
                got = await client.request(method, "/mcp", json=body, headers=session | stranger)
                assert got.status_code == 404, (method, stranger)
        owners = await client.post("/mcp", json=LIST, headers=session | ALICE)
        assert owners.status_code == 200


async def test_an_event_stream_takes_messages_from_nobody_but_who_opened_it(short: Path):
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short) as (_, socket),
        http(socket) as client,
        client.stream("GET", "/sse", headers=ALICE) as stream,
    ):
        lines = stream.aiter_lines()
        place = ""
        while not place:
            _, _, place = (await anext(lines)).partition("data: ")
        for stranger in (BOB, {}):
            assert (await client.post(place, json=HELLO, headers=stranger)).status_code == 404
        assert (await client.post(place, json=HELLO, headers=ALICE)).status_code == 202
