"""A stock A2A agent behind a public name: its card leads a stock client back through the tunnel."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
from a2a.client.client import ClientConfig
from a2a.client.client_factory import create_client
from a2a.helpers import get_message_text, new_text_message
from a2a.types import Role, SendMessageRequest
from tests.e2e.mcp_stage import wait_for_port
from tests.e2e.stage import PATIENCE, Stage
from tests.e2e.visitors import get

AGENT = Path(__file__).resolve().parent / "a2a_agent.py"
CARD = "/.well-known/agent-card.json"


async def test_the_a2a_sdk_finds_the_agent_by_its_card(stage: Stage, free_port: int):
    agent = await stage.spawn(sys.executable, str(AGENT), str(free_port))
    await wait_for_port(agent, free_port)
    tunnel = await stage.open(str(free_port), "--mcp", "--name", "echo")
    async with (
        asyncio.timeout(PATIENCE),
        httpx.AsyncClient(headers=tunnel.bearer, trust_env=False) as http,
    ):
        client = await create_client(tunnel.url, ClientConfig(httpx_client=http))
        card = (await http.get(tunnel.url + CARD)).json()
        assert card["supportedInterfaces"][0]["url"] == f"{tunnel.url}/a2a"
        asked = SendMessageRequest(message=new_text_message("hello", role=Role.ROLE_USER))
        answers = [answer async for answer in client.send_message(asked)]
        assert [get_message_text(answer.message) for answer in answers] == ["heard hello"]


async def test_the_card_is_revalidated_by_a_tag_of_its_own(stage: Stage, free_port: int):
    agent = await stage.spawn(sys.executable, str(AGENT), str(free_port))
    await wait_for_port(agent, free_port)
    direct = await get(f"http://127.0.0.1:{free_port}{CARD}")
    tunnel = await stage.open(str(free_port), "--mcp", "--name", "echo")
    first = await get(tunnel.url + CARD, tunnel.bearer)
    assert first.headers["etag"] != direct.headers["etag"]
    asked = {**tunnel.bearer, "If-None-Match": first.headers["etag"]}
    assert (await get(tunnel.url + CARD, asked)).status == 304
