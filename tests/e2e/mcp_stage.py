"""MCP servers and clients on the stage: the official ones, in each of the three eras."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import mcp
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from tests.e2e.stage import PATIENCE, Program, Stage, Tunnel

SERVER = Path(__file__).resolve().parent / "mcp_fixture_server.py"

EVENTS, SESSIONS, STATELESS = "events", "sessions", "stateless"
ERAS = (EVENTS, SESSIONS, STATELESS)
"""HTTP+SSE of 2024-11-05, Streamable HTTP of 2025, Streamable HTTP of 2026-07-28."""

ONLY_US = ("--gate", "ip:127.0.0.1")
"""A gate for clients that cannot be given a header."""


@dataclass
class Server:
    """One running server of the official SDK, with its defaults."""

    stage: Stage
    era: str
    port: int
    program: Program | None = None

    @property
    def origin(self) -> str:
        return f"mcp+http://localhost:{self.port}{path_of(self.era)}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{path_of(self.era)}"

    async def start(self) -> None:
        """Serve; listening when this returns."""
        transport = "sse" if self.era == EVENTS else "http"
        words = (sys.executable, str(SERVER), transport, str(self.port))
        program: Program = await self.stage.spawn(*words)
        self.program = program
        await wait_for_port(program, self.port)


async def wait_for_port(program: Program, port: int) -> None:
    """Wait until ``program`` listens there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            assert program.process.returncode is None, "".join(program.err)
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def path_of(era: str) -> str:
    return "/sse" if era == EVENTS else "/mcp"


def stdio_origin(*more: str) -> str:
    """The same server as an ``mcp+stdio:`` origin."""
    return " ".join(("mcp+stdio:" + sys.executable, str(SERVER), "stdio", *more))


@asynccontextmanager
async def python_client(era: str, tunnel: Tunnel, **more: object) -> AsyncIterator[mcp.Client]:
    """The official Python client, connected through the tunnel in one era."""
    url = tunnel.url + path_of(era)
    headers = tunnel.bearer if tunnel.first["access"]["token_file"] else {}
    mode = "2026-07-28" if era == STATELESS else "legacy"
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=PATIENCE) as http:
        if era == EVENTS:
            transport = sse_client(url, headers=headers, httpx_client_factory=_quiet)
        else:
            transport = streamable_http_client(url, http_client=http)
        async with mcp.Client(transport, mode=mode, **more) as client:  # type: ignore[arg-type]
            yield client


def _quiet(
    headers: dict[str, str] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers=headers, timeout=timeout, auth=auth, trust_env=False)
