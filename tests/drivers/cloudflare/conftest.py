"""The API's test server, and a client of it that does not wait."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.edges.cloudflare_api import CloudflareApiServer

from underpass.drivers.cloudflare.api import CloudflareApi
from underpass.drivers.cloudflare.changes import TunnelIdentity
from underpass.guard.secrets import Secret

HOSTNAME = "mcp.tools.example.com"
TUNNEL = "11111111-2222-3333-4444-555555555555"


class Waits(list[float]):
    """The waits that were asked for; none takes time."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
async def server() -> AsyncIterator[CloudflareApiServer]:
    async with CloudflareApiServer() as server:
        server.zone("example.com")
        server.account.tunnels[TUNNEL] = {"id": TUNNEL, "config_src": "cloudflare"}
        yield server


@pytest.fixture
async def api(server: CloudflareApiServer, waits: Waits) -> AsyncIterator[CloudflareApi]:
    token = Secret(server.account.token)
    async with CloudflareApi(server.url, token, sleep=waits.sleep) as api:
        yield api


@pytest.fixture
def identity(server: CloudflareApiServer) -> TunnelIdentity:
    return TunnelIdentity(server.account.identity, TUNNEL)
