"""Bridges of the official SDK's server, and a socket that speaks HTTP to them."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import mcp
import pytest
import uvicorn
import uvloop
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from underpass.bridge.app import Bridge, serving
from underpass.bridge.settings import BridgeSettings

SERVER = Path(__file__).resolve().parents[1] / "e2e" / "mcp_fixture_server.py"
COMMAND = (sys.executable, str(SERVER), "stdio")
DEADLINE = 40.0
BASE = "http://localhost"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each side on its own loop: the bridge is a process of its own on the stdlib's; its keeper
    lives in ours, on uvloop, which would also leave copies of a program's pipes in it."""
    if item.path.name == "test_keeper.py":
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def short(tmp_path: Path):
    """A directory for sockets, whose paths are limited."""
    made = Path(tempfile.mkdtemp(prefix="up-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@asynccontextmanager
async def bridged(
    directory: Path, command: tuple[str, ...] = COMMAND, **more: Any
) -> AsyncIterator[tuple[Bridge, Path]]:
    """A bridge in this process, with limits of its own."""
    socket = directory / "s"
    settings = BridgeSettings(command=command, socket=str(socket), **more)
    async with serving(settings) as bridge:
        config = uvicorn.Config(
            bridge.application, uds=str(socket), lifespan="off", log_config=None, ws="none"
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        try:
            yield bridge, socket
        finally:
            server.force_exit = True
            await server.shutdown()
            await _answered(server)


async def _answered(server: uvicorn.Server) -> None:
    """Wait until no request is under way: that a visitor has left is heard a little later, and the
    official SDK leaves its streams unclosed when a request is broken off with the loop."""
    for connection in tuple(server.server_state.connections):
        connection.transport.close()  # type: ignore[union-attr]
    with suppress(TimeoutError):
        await until(lambda: not server.server_state.tasks, 5.0)


def http(socket: Path) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(uds=str(socket))
    return httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=DEADLINE)


@asynccontextmanager
async def client_of(socket: Path, era: str, **more: object) -> AsyncIterator[mcp.Client]:
    """The official client in one era."""

    def plain(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return http(socket)

    async with http(socket) as connection:
        if era == "events":
            streams = sse_client(f"{BASE}/sse", httpx_client_factory=plain)
        else:
            streams = streamable_http_client(f"{BASE}/mcp", http_client=connection)
        mode = "2026-07-28" if era == "stateless" else "legacy"
        async with mcp.Client(streams, mode=mode, **more) as client:  # type: ignore[arg-type]
            yield client


async def until(condition, seconds: float = DEADLINE) -> None:
    """Wait for something that tells nobody."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
