"""What runs under a grant ends with it, for whoever took it back, and the record says why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from tests.e2e.oauth.conftest import let_in
from tests.e2e.oauth.flow import Client
from tests.e2e.oauth.person import Person
from tests.e2e.stage import PATIENCE, Stage

from underpass.testing.origins import HttpOrigin


@asynccontextmanager
async def running(client: Client, token: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """An event stream that has begun under ``token``."""
    url = f"{client.url}/sse?events=1000000&interval=0.05"
    shown = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(PATIENCE), client.http.stream("GET", url, headers=shown) as seen:
        assert seen.status_code == 200
        events = seen.aiter_bytes()
        assert (await anext(events)).startswith(b"id: ")
        yield events


async def is_cut(events: AsyncIterator[bytes]) -> None:
    """Wait until the stream breaks; an end that looks whole is a failure."""
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        async for _ in events:
            pass


async def test_a_stream_ends_when_its_grant_is_revoked_or_was_stolen(
    stage: Stage, person: Person
) -> None:
    relay = await stage.relay()
    async with HttpOrigin() as origin:
        words = (f"http://127.0.0.1:{origin.port}", "--name", "web", "--gate", "oauth")
        tunnel = await stage.open(*words, *relay.link)
        client = Client(tunnel.url, path="")
        await client.register()
        form = {"client_id": client.client_id, "grant_type": "refresh_token"}

        kept = await client.exchange(await let_in(stage, person, client.question()))
        revoked = await client.exchange(await let_in(stage, person, client.question()))
        async with running(client, kept["access_token"]) as other:
            async with running(client, revoked["access_token"]) as events:
                told = {"token": revoked["refresh_token"], "client_id": client.client_id}
                answer = await client.http.post(f"{client.own}/revoke", data=told)
                assert answer.status_code == 200
                await is_cut(events)

            newer = (await client.token(**form, refresh_token=kept["refresh_token"])).json()
            newest = (await client.token(**form, refresh_token=newer["refresh_token"])).json()
            assert await anext(other), "the control: neither another's end nor a rotation ends it"
            stolen = await client.token(**form, refresh_token=kept["refresh_token"])
            assert stolen.json()["error"] == "invalid_grant"
            await is_cut(other)
        gone = await client.http.get(
            f"{client.url}/", headers={"Authorization": f"Bearer {newest['access_token']}"}
        )
        assert gone.status_code == 401
        await client.close()
        listed = await stage.run("requests", "web", "--json")
        records = map(json.loads, listed.out.splitlines())
        broken = [each["code"] for each in records if each["outcome"] == "broken"]
        assert broken == ["admission-revoked"] * 2
