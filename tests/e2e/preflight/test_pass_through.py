"""``--gate oauth:origin`` in front of origins with an OAuth of their own, and without one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.e2e.mcp_stage import stdio_origin
from tests.e2e.oauth.conftest import started
from tests.e2e.preflight.programs import app, running
from tests.e2e.preflight.test_imitations import Web, codes, look_at, serving
from tests.e2e.stage import Stage
from tests.e2e.visitors import get

OWN_OAUTH = Path(__file__).resolve().parents[1] / "oauth" / "own_oauth_server.py"
WORDS = ("--name", "tools", "--gate", "oauth:origin")


async def test_a_stock_server_without_oauth_is_refused_and_told_why(stage: Stage, short_path: Path):
    async with running(app("mcp-sessions"), short_path) as place:
        origin = f"mcp+http://localhost:{place.port}/mcp"
        done = await stage.run("open", origin, *WORDS, "--json")
    error = done.json["error"]
    assert (done.code, error["code"]) == (4, "dangerous-origin")
    assert error["hint"].startswith("use --gate oauth, whose tokens are judged here")
    missing, tools = error["findings"]
    assert (missing["code"], tools["code"]) == ("oauth-origin-missing", "mcp-tools")
    assert missing["where"] == tools["where"]
    assert missing["where"].endswith(", with a made-up token")
    assert "read_note" in missing["seen"]


async def test_a_stock_server_with_its_own_oauth_is_let_be(stage: Stage, free_port: int):
    await started(stage, OWN_OAUTH, free_port)
    relay = await stage.relay()
    tunnel = await stage.open(f"mcp+http://localhost:{free_port}/mcp", *WORDS, *relay.link)
    assert (await get(f"{tunnel.url}/mcp", {"Authorization": "Bearer made-up"})).status == 401


async def test_every_era_without_oauth_is_found(short_path: Path):
    for name, path in (("mcp-stateless", "/mcp"), ("mcp-events", "/sse")):
        (home := short_path / name).mkdir()
        async with running(app(name), home) as place:
            origin = f"mcp+http://localhost:{place.port}{path}"
            looked = await look_at(origin, "oauth:origin", public=False)
        assert codes(looked) == ["oauth-origin-missing", "mcp-tools"], name


async def test_a_danger_that_a_made_up_token_opens_is_found(short_path: Path):
    async with running(app("flask-debug"), short_path) as place:
        looked = await look_at(str(place.port), "oauth:origin", public=False)
    assert codes(looked) == ["oauth-origin-missing", "debugger-werkzeug"]


async def test_a_server_behind_a_token_of_its_own_is_let_be(short_path: Path):
    async with running(app("mcp-token"), short_path) as place:
        looked = await look_at(f"{place.port}", "oauth:origin", public=False)
    assert (codes(looked), looked.is_whole) == ([], True)


async def test_a_server_that_has_nothing_to_list_has_judged_no_token_either():
    answer = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no such method"}}
    async with serving(Web({"/mcp": json.dumps(answer).encode()})) as port:
        looked = await look_at(f"mcp+http://localhost:{port}/mcp", "oauth:origin", public=False)
        public = await look_at(f"mcp+http://localhost:{port}/mcp")
    assert codes(looked) == ["oauth-origin-missing"]
    assert codes(public) == []


async def test_only_what_the_gate_lets_through_is_asked_and_with_a_token():
    """A path with a gate of its own is asked nothing; one that is open, without a token."""
    heads: list[bytes] = []

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    gates = ("/api/*=oauth:origin", "/docs/*=open", "bearer")
    async with serving(origin) as port:
        looked = await look_at(str(port), *gates, public=False)
    assert codes(looked) == []
    with_token = {head.split()[1] for head in heads if b"Bearer underpass-preflight-" in head}
    without = {head.split()[1] for head in heads if b"Authorization" not in head}
    assert with_token
    assert without
    assert all(target.startswith(b"/api/") for target in with_token)
    assert all(target.startswith(b"/docs/") for target in without)


async def test_a_server_over_stdin_and_stdout_has_none(stage: Stage):
    done = await stage.run("open", stdio_origin(), *WORDS, "--json")
    assert [each["code"] for each in done.json["error"]["findings"]] == ["mcp-tools"]
