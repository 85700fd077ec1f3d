"""A stock MCP server behind ``--gate oauth``, its owner, and a person with a browser."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.e2e.conftest import free_port, stage
from tests.e2e.oauth.person import Person
from tests.e2e.stage import PATIENCE, Program, Stage, Tunnel

__all__ = ["free_port", "stage"]

SERVER = Path(__file__).resolve().parents[3] / "examples" / "demo_mcp_server.py"


async def started(stage: Stage, script: Path, port: int) -> Program:
    """The server that ``script`` is, once it listens at ``port``."""
    program: Program = await stage.spawn(sys.executable, str(script), str(port))
    async with asyncio.timeout(PATIENCE):
        while True:
            assert program.process.returncode is None, "".join(program.err)
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return program


@pytest.fixture
async def server(stage: Stage, free_port: int) -> Program:
    """The official SDK's server with its default settings."""
    return await started(stage, SERVER, free_port)


@pytest.fixture
async def tunnel(stage: Stage, server: Program, free_port: int) -> Tunnel:
    """Its tunnel, with a lasting name at a relay of its own."""
    relay = await stage.relay()
    words = (f"mcp+http://localhost:{free_port}/mcp", "--name", "tools", *relay.link)
    return await stage.open(*words, "--gate", "oauth")


@pytest.fixture
async def person() -> AsyncIterator[Person]:
    made = Person()
    yield made
    await made.close()


async def let_in(stage: Stage, person: Person, url: str) -> str:
    """Walk all of a sign-in from ``url``; returns where the client's answer is sent."""
    page = await person.visit(url)
    assert page.status_code == 200, page.text
    await person.answer("yes")
    done = await stage.run("approve", person.code, "--json")
    assert done.code == 0, done.err
    assert done.json["approved"] is True
    await person.go_on()
    assert person.page.status_code == 302, person.page.text
    return person.leads_to
