from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from underpass.testing.ports import free_port

pytest.importorskip("mcp", reason="the MCP SDK is missing: pip install 'underpass[mcp]'")

from mcp.client import Client

SERVER = Path(__file__).parents[2] / "examples" / "demo_mcp_server.py"
DEADLINE = 30.0
"""Importing the SDK alone takes seconds on a loaded machine."""


@asynccontextmanager
async def demo_server() -> AsyncIterator[str]:
    """The server in a process of its own; its URL, once it answers."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), str(port), stderr=asyncio.subprocess.PIPE
    )
    try:
        assert server.stderr is not None
        async with asyncio.timeout(DEADLINE):
            while b"running on" not in (line := await server.stderr.readline()):
                assert line, "the server ended before it served"
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.terminate()
        await server.communicate()


async def test_a_client_lists_and_calls_the_tools() -> None:
    async with demo_server() as url, Client(url) as client:
        tools = await client.list_tools()
        assert [tool.name for tool in tools.tools] == ["add", "now", "count_down"]
        answer = await client.call_tool("add", {"a": 2, "b": 3})
        assert answer.structured_content == {"result": 5}


async def test_progress_arrives_step_by_step() -> None:
    steps: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total, message))

    async with demo_server() as url, Client(url) as client:
        answer = await client.call_tool(
            "count_down", {"start": 2, "interval": 0.01}, progress_callback=note
        )
    assert answer.structured_content == {"result": "counted 2 steps"}
    assert steps == [(0, 2, "2 …"), (1, 2, "1 …"), (2, 2, "0")]
