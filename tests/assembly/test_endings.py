"""What runs in an open tunnel ends with the token that let it in, as visitors see it."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import websockets.asyncio.client
import websockets.exceptions
from tests.guard.issuer import AUDIENCE, KEYS, claims, sign

import underpass
from underpass.testing.origins import HttpOrigin, WebSocketEcho

DEADLINE = 30.0
SHORT = (2, 6, 18)
"""Seconds that a token lasts; a slow machine gets a longer one when the first was too short."""


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # not tmp_path: the paths of sockets are limited
    with tempfile.TemporaryDirectory(prefix="up-") as directory:
        monkeypatch.setenv("UNDERPASS_STATE_DIR", f"{directory}/state")
        monkeypatch.setenv("UNDERPASS_RUNTIME_DIR", f"{directory}/run")
        yield Path(directory)


def gate(directory: Path) -> str:
    keys = directory / "jwks.json"
    keys.write_text(json.dumps(KEYS))
    return f"jwt:https://id.example.com,aud={AUDIENCE},jwks=file:{keys},leeway=0"


def bearer(seconds: float) -> str:
    """A token that ends so soon."""
    now = int(time.time())
    token = sign(claims(iat=now - 9, nbf=now - 9, exp=now + seconds), kid="rsa")
    return f"Bearer {token.decode()}"


async def test_a_websocket_is_closed_by_1008_at_the_relays_door(places: Path) -> None:
    async with (
        WebSocketEcho() as origin,
        underpass.open(origin.port, gates=[gate(places)]) as tunnel,
    ):
        assert tunnel.url is not None
        url = tunnel.url.replace("http://", "ws://")
        shown = {"Authorization": bearer(3600)}
        other = await websockets.asyncio.client.connect(url, additional_headers=shown)
        for seconds in SHORT:
            shown = {"Authorization": bearer(seconds)}
            async with asyncio.timeout(DEADLINE):
                try:
                    client = await websockets.asyncio.client.connect(url, additional_headers=shown)
                    await client.send("hello")
                    assert await client.recv() == "hello"
                except (websockets.exceptions.WebSocketException, OSError):
                    continue
                with pytest.raises(websockets.exceptions.ConnectionClosedError):
                    await client.recv()
            break
        else:
            pytest.fail("no WebSocket was opened")
        assert (client.close_code, client.close_reason) == (1008, "admission-ended")
        await other.send("the control: a token that lasts goes on")
        assert (await other.recv()).startswith("the control")
        await other.close()


async def test_an_event_stream_is_broken_off_and_never_looks_complete(places: Path) -> None:
    async with (
        HttpOrigin() as origin,
        underpass.open(origin.port, gates=[gate(places)]) as tunnel,
        httpx2.AsyncClient(trust_env=False, timeout=DEADLINE) as client,
    ):
        url = f"{tunnel.url}/sse?events=1000000&interval=0.05"
        for seconds in SHORT:
            shown = {"Authorization": bearer(seconds)}
            async with asyncio.timeout(DEADLINE), client.stream("GET", url, headers=shown) as seen:
                if seen.status_code != 200:
                    continue
                events = seen.aiter_bytes()
                assert (await anext(events)).startswith(b"id: ")
                with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
                    async for _ in events:
                        pass
            break
        else:
            pytest.fail("no stream began")


async def test_nothing_outlives_the_tunnel_whatever_let_it_in(places: Path) -> None:
    async with (
        HttpOrigin() as origin,
        underpass.open(origin.port, gates=[gate(places)]) as tunnel,
        httpx2.AsyncClient(trust_env=False, timeout=DEADLINE) as client,
    ):
        url, shown = f"{tunnel.url}/sse?events=1000000&interval=0.05", bearer(3600)
        stream = client.stream("GET", url, headers={"Authorization": shown})
        async with asyncio.timeout(DEADLINE), stream as seen:
            events = seen.aiter_bytes()
            assert (await anext(events)).startswith(b"id: ")
            await tunnel.control.renew(7200)
            assert await anext(events), "a renewal cuts nothing"
            await tunnel.close()
            with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
                async for _ in events:
                    pass
