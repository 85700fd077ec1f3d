"""Coming back takes one's name over from one's own ghost; nobody else can."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from raw_visitor import AnswerBroken, fetch, visiting
from told_origin import ToldOrigin
from tunnel_site import Connector, Relay, Site, measured

from underpass.assembly import open_tunnel
from underpass.model.errors_relay import Superseded
from underpass.model.options import OpenOptions, RelayAccess
from underpass.model.spec import parse_spec

NAME = "tools"


@pytest.fixture
async def relay(site: Site) -> Relay:
    return await site.serve()


def options(site: Site, relay: Relay, owner: str = "owner") -> OpenOptions:
    """The same user as the processes of `owner`, in this process."""
    environment = site.environment(owner)
    return OpenOptions(
        state_dir=Path(environment["UNDERPASS_STATE_DIR"]),
        runtime_dir=Path(environment["UNDERPASS_RUNTIME_DIR"]),
        relay=RelayAccess(url=relay.url),
        enrol_token_file=Path(relay.token_file),
    )


async def open_named(site: Site, relay: Relay, origin: ToldOrigin, *words: str) -> Connector:
    return await site.open(
        origin.url, "--name", NAME, *words, relay=relay.url, enrol=relay.token_file
    )


async def test_a_frozen_instance_is_replaced_in_a_second_and_stands_down_when_woken(
    site: Site, relay: Relay
) -> None:
    async with ToldOrigin() as old_origin, ToldOrigin() as new_origin:
        old = await open_named(site, relay, old_origin)
        assert (await fetch(old.port, "/before", old.credential))[0].status == 200
        # once before: what this process imports and enrols is not part of a takeover
        await (await open_tunnel(parse_spec(new_origin.url), options(site, relay))).close()
        new_origin.targets.clear()
        old.send(signal.SIGSTOP)
        began = time.monotonic()
        spec = parse_spec(f"{new_origin.url} --name {NAME}")
        async with await open_tunnel(spec, options(site, relay)) as new:
            took = time.monotonic() - began
            measured("takeover, seconds", took)
            assert took < 1.0
            assert new.url == old.url
            assert new.access.token is not None
            passes = {"Authorization": f"Bearer {new.access.token.reveal()}"}
            for number in range(20):
                assert (await fetch(old.port, f"/{number}", passes))[0].status == 200
            before = len(old_origin.targets)

            old.send(signal.SIGCONT)
            waking = asyncio.create_task(old.wait_ended(20))
            number = 20
            while not waking.done():
                assert (await fetch(old.port, f"/{number}", passes))[0].status == 200
                number += 1
            # 9: conflict
            assert await waking == 9
            ended = [line["event"] for line in old.lines if "event" in line]
            assert "superseded" in ended
            assert old.lines[-1]["error"]["code"] == "superseded"

            # no split traffic: the old origin saw nothing since, the new one everything
            assert len(old_origin.targets) == before
            assert new_origin.targets.count("/0") == 1
            wanted = [f"/{each}" for each in range(number)]
            assert [target for target in new_origin.targets if target in wanted] == wanted
            assert new.status().to_dict()["tunnel"]["state"] == "live"


async def test_streams_of_the_replaced_instance_are_answered_or_broken_at_once(
    site: Site, relay: Relay
) -> None:
    async with ToldOrigin() as origin:
        old = await open_named(site, relay, origin)
        async with visiting(old.port) as with_head, visiting(old.port) as without_head:
            await with_head.ask("/sse", old.credential)
            assert (await asyncio.wait_for(with_head.head(), 10)).status == 200
            stream = await origin.streams.get()
            await stream.say(3)
            old.send(signal.SIGSTOP)
            await without_head.ask("/", old.credential)
            new = await open_named(site, relay, origin)
            async with asyncio.timeout(10):
                answer = await without_head.head()
                assert answer.status == 503
                assert int(answer.fields["retry-after"]) > 0
                with pytest.raises(AnswerBroken):
                    await with_head.body()
            await old.kill()
            assert (await fetch(new.port, "/", new.credential))[0].status == 200
            await asyncio.wait_for(stream.departed.wait(), 10)


@pytest.mark.slow
async def test_a_killed_connector_comes_back_under_its_url(site: Site, relay: Relay) -> None:
    async with ToldOrigin() as origin:
        old = await open_named(site, relay, origin)
        async with visiting(old.port) as visitor:
            await visitor.ask("/sse", old.credential)
            assert (await asyncio.wait_for(visitor.head(), 10)).status == 200
            await old.kill()
            began = time.monotonic()
            away, _ = await fetch(old.port, "/", old.credential)
            # held five seconds, in case it comes back
            assert time.monotonic() - began >= 4.5
            assert (away.status, away.code) == (503, "connector-away")
            assert int(away.fields["retry-after"]) > 0
            waiting = asyncio.create_task(late_answer(old))
            new = await open_named(site, relay, origin)
            assert new.url == old.url
            with pytest.raises(AnswerBroken):
                await asyncio.wait_for(visitor.body(), 10)
            assert (await fetch(new.port, "/", new.credential))[0].status == 200
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting


async def late_answer(tunnel: Connector) -> None:
    """Keep asking while nobody is there: each answer is complete."""
    while True:
        head, _ = await fetch(tunnel.port, "/", tunnel.credential)
        assert head.status in (200, 401, 503)


async def test_of_living_instances_the_fifth_is_refused_and_the_holder_stays(
    site: Site, relay: Relay
) -> None:
    async with ToldOrigin() as origin:
        spec = parse_spec(f"{origin.url} --name {NAME}")
        held = [await open_tunnel(spec, options(site, relay))]
        try:
            for _ in range(3):
                held.append(await open_tunnel(spec, options(site, relay)))
                with pytest.raises(Superseded):
                    await asyncio.wait_for(held[-2].wait_closed(), 10)
            refused = await site.begin(
                *(origin.url, "--name", NAME), relay=relay.url, enrol=relay.token_file
            )
            assert await refused.wait_ended() == 9
            assert refused.lines[-1]["error"]["code"] == "name-contended"
            holder = held[-1]
            assert holder.url is not None
            assert holder.access.token is not None
            passes = {"Authorization": f"Bearer {holder.access.token.reveal()}"}
            port = int(holder.url.rsplit(":", 1)[1])
            assert (await fetch(port, "/", passes))[0].status == 200
        finally:
            for tunnel in held:
                await tunnel.close()


async def test_another_key_is_refused_the_name_even_while_its_owner_is_away(
    site: Site, relay: Relay
) -> None:
    async with ToldOrigin() as origin:
        mine = await open_named(site, relay, origin)
        await mine.kill()
        theirs = await site.begin(
            *(origin.url, "--name", NAME),
            relay=relay.url,
            enrol=relay.token_file,
            owner="stranger",
        )
        assert await theirs.wait_ended() == 9
        assert theirs.lines[-1]["error"]["code"] == "name-taken"
        assert NAME in json.dumps(theirs.lines[-1]["error"]["message"])
        # nothing is left of the attempt
        assert not site.sockets("stranger")
        again = await open_named(site, relay, origin)
        assert again.url == mine.url
