"""Programs that do what they must not: each is a clear error, and none is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.bridge.conftest import DEADLINE, bridged, http, until
from tests.bridge.test_app import GONE, HELLO, JSON, META, NEWEST

from underpass.bridge import program
from underpass.bridge.app import Bridge

SERVER = Path(__file__).resolve().parent / "rude_server.py"
RUDE = (sys.executable, str(SERVER))


class Visitor:
    """One session with a program of ``RUDE``."""

    def __init__(self, bridge: Bridge, client: Any, fields: dict[str, str]) -> None:
        self.bridge = bridge
        self._client = client
        self._fields = fields

    async def call(self, name: str, **arguments: str) -> dict[str, Any]:
        return await self.ask("tools/call", {"name": name, "arguments": arguments})

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        asked = {"jsonrpc": "2.0", "id": 8, "method": method, "params": params}
        answer = await self._client.post("/mcp", json=asked, headers=self._fields)
        text = answer.text
        if answer.headers["content-type"].startswith("text/event-stream"):
            text = [line for line in text.splitlines() if line.startswith("data: {")][-1][6:]
        found: dict[str, Any] = json.loads(text)
        assert found["id"] == 8
        return found

    async def pid(self) -> int:
        return int((await self.ask("ping", {}))["result"]["pid"])

    async def leave(self) -> None:
        await self._client.delete("/mcp", headers=self._fields)


@asynccontextmanager
async def visiting(short: Path, **more: Any) -> AsyncIterator[Visitor]:
    """A session, in which a first word has shown that the program is there."""
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short, RUDE, **more) as (bridge, socket),
        http(socket) as client,
    ):
        begun = await client.post("/mcp", json=HELLO, headers=JSON)
        fields = {**JSON, "Mcp-Session-Id": begun.headers["mcp-session-id"]}
        yield Visitor(bridge, client, fields)


async def gone(visitor: Visitor, pid: int) -> None:
    """Wait until nothing of the program is left."""
    await until(lambda: not psutil.pid_exists(pid))
    await until(lambda: visitor.bridge.children.in_use == 0)


async def test_garbage_is_passed_over_and_the_answer_comes(short: Path):
    async with visiting(short) as visitor:
        assert (await visitor.call("garbage"))["result"] == {"is": "polite again"}


async def test_a_line_without_an_end_is_an_error_and_bounded(
    short: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(program, "MAX_LINE", 1024 * 1024)
    async with visiting(short) as visitor:
        pid = await visitor.pid()
        before = psutil.Process().memory_info().rss
        assert (await visitor.call("endless"))["error"]["data"] == GONE
        await gone(visitor, pid)
        assert psutil.Process().memory_info().rss - before < 32 * 1024 * 1024
    assert "too long for a message" in capfd.readouterr().err


@pytest.mark.parametrize("rudeness", ["closes_stdout", "closes_stdin"])
async def test_who_closes_a_pipe_and_lives_on_is_ended(short: Path, rudeness: str):
    async with visiting(short) as visitor:
        pid = await visitor.pid()
        assert (await visitor.call(rudeness))["error"]["data"] == GONE
        await gone(visitor, pid)


async def test_a_child_that_holds_the_pipes_keeps_nobody_waiting_and_ends_too(short: Path):
    diary = short / "diary"
    async with visiting(short) as visitor:
        pid = await visitor.pid()
        answer = await visitor.call("leaves_a_child", diary=str(diary))
        assert answer["error"]["data"] == GONE
        await gone(visitor, pid)
        await until(lambda: not psutil.pid_exists(int(diary.read_text())))


async def test_the_last_words_of_a_program_arrive_whole(short: Path):
    async with visiting(short) as visitor:
        pid = await visitor.pid()
        answer = await visitor.call("large_last_words")
        assert len(answer["result"]["x"]) == 8_000_000
        await gone(visitor, pid)


async def test_who_hears_neither_sigterm_nor_the_end_of_stdin_is_killed(short: Path):
    async with visiting(short) as visitor:
        pid = (await visitor.call("hears_nothing"))["result"]["pid"]
        await visitor.leave()
        await gone(visitor, pid)


async def test_visitors_who_leave_a_program_that_reads_nothing_leave_nothing_behind(short: Path):
    """2026-07-28: all share one process; here none of their words is ever read."""
    meta = {"params": {"name": "x", "arguments": {"x": "x" * 300_000}, "_meta": META}}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", **meta}
    fields = {**NEWEST, "Mcp-Method": "tools/call", "Mcp-Name": "x"}
    sleeper = (sys.executable, "-c", "import time; time.sleep(600)")
    async with (
        asyncio.timeout(DEADLINE),
        bridged(short, sleeper) as (bridge, socket),
        http(socket) as client,
    ):
        calls = [
            asyncio.create_task(client.post("/mcp", json=asked, headers=fields)) for _ in range(5)
        ]
        await until(lambda: bridge.under_way == 5)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await until(lambda: bridge.under_way == 0)


async def test_what_no_json_can_hold_is_refused_with_400(short: Path):
    """A lone surrogate is an escape that JSON's grammar takes and UTF-8 cannot write."""
    meta = json.dumps(META)
    body = '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"x":"\\ud800","_meta":%s}}'
    async with asyncio.timeout(DEADLINE), bridged(short) as (bridge, socket), http(socket) as plain:
        answer = await plain.post("/mcp", content=(body % meta).encode(), headers=NEWEST)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)
        assert bridge.under_way == 0


async def test_no_variable_but_the_default_ones_reaches_the_program(
    short: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CANARY_KEY", "hush")
    async with visiting(short) as visitor:
        got = (await visitor.call("environment"))["result"]["environment"]
    # LC_CTYPE is what Python itself sets where no locale is named.
    assert set(got) - {"LC_CTYPE"} <= {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}
    assert got["PATH"] == os.environ["PATH"]


async def test_a_variable_that_is_named_reaches_it_and_its_neighbour_does_not(
    short: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CANARY_KEY", "hush")
    monkeypatch.setenv("NAMED_KEY", "for the server")
    async with visiting(short, pass_env=("NAMED_KEY",)) as visitor:
        got = (await visitor.call("environment"))["result"]["environment"]
    assert got["NAMED_KEY"] == "for the server"
    assert "CANARY_KEY" not in got
