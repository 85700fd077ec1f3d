"""``mcp+stdio:`` as its users meet it: it opens, it says what is wrong, it leaves nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from tests.bridge.test_app import HELLO, JSON
from tests.bridge.test_rude_programs import SERVER as RUDE
from tests.e2e.mcp_stage import ERAS, SESSIONS, STATELESS, python_client, stdio_origin
from tests.e2e.stage import PATIENCE, Stage, processes_with
from tests.e2e.visitors import get
from tests.guard.issuer import AUDIENCE, KEYS, claims, sign

MARKED = ("--pass-env", "UNDERPASS_RUNTIME_DIR")
"""So that the stage knows the program as its own."""


async def test_it_closes_without_a_trace(stage: Stage):
    tunnel = await stage.open(stdio_origin(), *MARKED)
    async with asyncio.timeout(PATIENCE), python_client(SESSIONS, tunnel) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 1})).structured_content == {"result": 2}
        assert (await tunnel.stop()) == 130
    assert await stage.leftovers() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends programs with their parent")
async def test_no_server_outlives_a_killed_tunnel(stage: Stage):
    tunnel = await stage.open(stdio_origin(), *MARKED)
    async with asyncio.timeout(PATIENCE), python_client(STATELESS, tunnel) as client:
        found = (await client.call_tool("process", {})).structured_content
        assert found is not None
        assert any(
            line.startswith(f"{found['result']}:") for line in processes_with(str(stage.runtime))
        )
    await tunnel.stop(signal.SIGKILL)
    await stage.processes_gone()
    # What a killed process leaves on disk is the next one's to remove.
    (left,) = stage.runtime.glob("bridge-*")
    again = await stage.open(stdio_origin())
    assert not left.exists()
    await again.stop()
    assert not list(stage.runtime.glob("bridge-*"))


async def test_a_dying_server_is_told_with_its_words_and_serves_again(stage: Stage):
    tunnel = await stage.open(stdio_origin())
    async with asyncio.timeout(PATIENCE), python_client(STATELESS, tunnel) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("die", {"words": "out of paper"})
        assert caught.value.error.data == {"code": "stdio-server-ended", "retryable": True}
        await tunnel.until(lambda: any("python: out of paper" in line for line in tunnel.err))
        assert (await client.call_tool("add", {"a": 1, "b": 1})).structured_content == {"result": 2}


@pytest.mark.parametrize("era", ERAS)
async def test_a_frozen_program_answers_when_it_thaws(stage: Stage, era: str):
    tunnel = await stage.open(stdio_origin())
    async with asyncio.timeout(PATIENCE), python_client(era, tunnel) as client:
        found = (await client.call_tool("process", {})).structured_content
        assert found is not None
        os.kill(found["result"], signal.SIGSTOP)
        call = asyncio.create_task(client.call_tool("process", {}))
        done, _ = await asyncio.wait({call}, timeout=0.5)
        assert not done
        os.kill(found["result"], signal.SIGCONT)
        assert (await call).structured_content == found


async def test_a_program_that_ends_at_once_opens_nothing(stage: Stage, tmp_path: Path):
    done = await stage.run("open", "mcp+stdio:sh -c 'echo no licence >&2'", "--json")
    assert done.code == 5
    assert done.lines[-1]["error"]["code"] == "stdio-server-ended"
    assert "sh: no licence" in done.err
    assert await stage.leftovers() == []


async def test_a_program_that_is_not_there(stage: Stage):
    done = await stage.run("open", "mcp+stdio:no-such-server --flag", "--json")
    assert (done.code, done.lines[-1]["error"]["code"]) == (2, "stdio-server-not-found")
    assert await stage.leftovers() == []


async def test_a_program_gets_the_variables_that_are_named_and_no_others(stage: Stage):
    rude = f"mcp+stdio:{sys.executable} {RUDE}"
    secrets = {"CANARY_KEY": "hush", "NAMED_KEY": "for the server"}
    tunnel = await stage.open(rude, "--pass-env", "NAMED_KEY", **secrets)
    ask = {"name": "environment"}
    async with asyncio.timeout(PATIENCE), httpx2.AsyncClient(trust_env=False) as client:
        fields = {**JSON, **tunnel.bearer}
        begun = await client.post(f"{tunnel.url}/mcp", json=HELLO, headers=fields)
        fields |= {"Mcp-Session-Id": begun.headers["mcp-session-id"]}
        call = {"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": ask}
        answer = await client.post(f"{tunnel.url}/mcp", json=call, headers=fields)
    assert "for the server" in answer.text
    assert "hush" not in answer.text
    assert "UNDERPASS" not in answer.text
    await tunnel.stop()
    done = await stage.run("open", rude, "--pass-env", "NAMED_KEY", "--json")
    assert (done.code, done.lines[-1]["error"]["code"]) == (2, "variable-not-set")
    assert await stage.leftovers() == []


async def test_only_who_passes_the_gate_reaches_the_program(stage: Stage):
    tunnel = await stage.open(stdio_origin())
    answer = await get(f"{tunnel.url}/mcp", method="POST", body=b"{}")
    assert (answer.status, answer.code) == (401, "gate-unauthenticated")


async def test_a_session_belongs_to_whom_the_gate_let_in(stage: Stage, tmp_path: Path):
    keys, now = tmp_path / "jwks.json", int(time.time())
    keys.write_text(json.dumps(KEYS))
    gate = f"jwt:https://id.example.com,aud={AUDIENCE},jwks=file:{keys}"
    tunnel = await stage.open(stdio_origin(), "--gate", gate)

    def shown(who: str) -> dict[str, str]:
        token = sign(claims(sub=who, iat=now, nbf=now, exp=now + 600), kid="rsa").decode()
        return JSON | {"Authorization": f"Bearer {token}", "Underpass-Visitor": "jwt:alice"}

    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as client,
    ):
        url = f"{tunnel.url}/mcp"
        began = await client.post(url, json=HELLO, headers=shown("alice"))
        assert began.status_code == 200
        session = {"Mcp-Session-Id": began.headers["mcp-session-id"]}
        ping = {"jsonrpc": "2.0", "id": 8, "method": "ping"}
        stolen = await client.post(url, json=ping, headers=shown("bob") | session)
        assert stolen.status_code == 404
        own = await client.post(url, json=ping, headers=shown("alice") | session)
        assert own.status_code == 200
