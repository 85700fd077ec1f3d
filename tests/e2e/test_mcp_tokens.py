"""A stock MCP client whose event stream ends with its token goes on with the next one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator
from pathlib import Path

import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client
from tests.e2e.mcp_stage import SESSIONS, Server
from tests.e2e.stage import PATIENCE, Stage
from tests.guard.issuer import AUDIENCE, KEYS, claims, sign

SECONDS = 9
"""A token's life; a client gets another when it asks for one that is good."""


class Renewing(httpx2.Auth):
    """Signs in anew for each request, and notes when the client listens for events."""

    def __init__(self) -> None:
        self.listened = 0
        self.listens_again = asyncio.Event()

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        now = int(time.time())
        token = sign(claims(iat=now - 9, nbf=now - 9, exp=now + SECONDS), kid="rsa")
        request.headers["Authorization"] = f"Bearer {token.decode()}"
        if request.method == "GET":
            self.listened += 1
            if self.listened > 1:
                self.listens_again.set()
        yield request


async def test_the_python_client_listens_again_and_its_session_goes_on(
    stage: Stage, free_port: int, tmp_path: Path
) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(KEYS))
    server = Server(stage, SESSIONS, free_port)
    await server.start()
    gate = f"jwt:https://id.example.com,aud={AUDIENCE},jwks=file:{keys},leeway=0"
    tunnel = await stage.open(server.origin, "--name", "tools", "--gate", gate)
    auth = Renewing()
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(auth=auth, trust_env=False, timeout=PATIENCE) as http,
        mcp.Client(
            streamable_http_client(f"{tunnel.url}/mcp", http_client=http), mode="legacy"
        ) as client,
    ):
        assert (await client.call_tool("add", {"a": 2, "b": 40})).structured_content is not None
        await auth.listens_again.wait()
        answer = await client.call_tool("add", {"a": 2, "b": 40})
        assert answer.structured_content == {"result": 42}
    listed = await stage.run("requests", "tools", "--json")
    records = [json.loads(line) for line in listed.out.splitlines()]
    ended = [each for each in records if each["code"] == "admission-ended"]
    assert ended
    assert {(each["method"], each["outcome"]) for each in ended} == {("GET", "broken")}
