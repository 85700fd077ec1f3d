"""The same stock server and clients over an engine that is not ours: the gatehouse does it all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.e2e.mcp_stage import ERAS, Server, python_client, stdio_origin
from tests.e2e.stage import PATIENCE, Stage
from tests.edges.bore import BoreServer, need_bore, path_with_engines

pytestmark = pytest.mark.slow


@pytest.fixture
async def bore(tmp_path: Path) -> AsyncIterator[BoreServer]:
    need_bore()
    made = BoreServer(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("origin", ["http", "stdio"])
@pytest.mark.parametrize("era", ERAS)
async def test_every_era_through_bore(
    stage: Stage, free_port: int, bore: BoreServer, era: str, origin: str
):
    words: tuple[str, ...] = (stdio_origin(),)
    if origin == "http":
        await Server(stage, era, free_port).start()
        words = (str(free_port), "--mcp")
    tunnel = await stage.open(*words, "--via", f"bore:{bore.host}", PATH=path_with_engines())
    assert tunnel.first["tunnel"]["engine"] == "bore"
    async with asyncio.timeout(PATIENCE), python_client(era, tunnel) as client:
        result = await client.call_tool("add", {"a": 2, "b": 40})
        assert result.structured_content == {"result": 42}
