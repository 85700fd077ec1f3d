"""``underpass changes`` beside a server that takes the API's place."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.edges.cloudflare_api import CloudflareApiServer

Run = Callable[..., Awaitable[Any]]

TUNNEL = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
async def server() -> AsyncIterator[CloudflareApiServer]:
    async with CloudflareApiServer() as server:
        server.zone("example.com")
        server.account.tunnels[TUNNEL] = {"id": TUNNEL, "config_src": "local"}
        yield server


def words(server: CloudflareApiServer, home: Path) -> list[str]:
    told = {"a": server.account.identity, "t": TUNNEL, "s": "c2VjcmV0"}
    token = base64.b64encode(json.dumps(told).encode()).decode()
    for name, text in (("tunnel", token), ("api", server.account.token)):
        (home / name).write_text(text)
        (home / name).chmod(0o600)
    options = ["hostname=mcp.example.com", f"token-file={home}/tunnel"]
    options += [f"api-token-file={home}/api", f"api={server.url}", "access=@example.com"]
    given = [word for option in options for word in ("--engine-option", option)]
    return ["changes", "3001", "--engine", "cloudflare", *given]


async def test_what_would_change_is_told_and_nothing_is_changed(
    underpass: Run, server: CloudflareApiServer, tmp_path: Path
) -> None:
    done = await underpass(*words(server, tmp_path))
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"create DNS record CNAME mcp.example.com -> {TUNNEL}.cfargotunnel.com, proxied",
        "create Access service token underpass mcp.example.com",
        "create Access application mcp.example.com",
        "create Access policy for programs",
        "create Access policy for @example.com",
    ]
    assert server.changes() == []
    told = await underpass(*words(server, tmp_path), "--json")
    assert told.json["schema"] == "underpass/v1/changes"
    assert len(told.json["changes"]) == 5


async def test_a_refused_token_is_told_as_such(
    underpass: Run, server: CloudflareApiServer, tmp_path: Path
) -> None:
    given = words(server, tmp_path)
    (tmp_path / "api").write_text("another")
    done = await underpass(*given, "--json")
    assert (done.code, done.json["error"]["code"]) == (7, "cloudflare-token-refused")


async def test_an_engine_without_a_vendor_changes_nothing(underpass: Run) -> None:
    done = await underpass("changes", "3001", "--engine", "relay")
    assert done.out == "relay would change nothing but this machine\n"
    quick = await underpass("changes", "3001", "--engine", "cloudflare", "--json")
    assert quick.json["changes"] == []
