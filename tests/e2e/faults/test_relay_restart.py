"""A relay that dies comes back knowing its tunnels; one that is told to stop loses nothing."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest
from raw_visitor import AnswerBroken, fetch, visiting
from told_origin import ToldOrigin
from tunnel_site import Connector, Relay, Site, measured

from underpass.model.options import RelayOptions
from underpass.relay.server.serve import serve
from underpass.testing.origins import HttpOrigin

NAME = "tools"


@pytest.fixture
async def relay(site: Site) -> Relay:
    return await site.serve()


async def open_named(site: Site, relay: Relay, origin: str, *words: str) -> Connector:
    return await site.open(origin, "--name", NAME, *words, relay=relay.url, enrol=relay.token_file)


@pytest.mark.slow
async def test_a_killed_relay_comes_back_with_the_same_url_and_a_new_instance(
    site: Site, relay: Relay
) -> None:
    async with ToldOrigin() as origin:
        tunnel = await open_named(site, relay, origin.url)
        async with visiting(tunnel.port) as visitor:
            await visitor.ask("/sse", tunnel.credential)
            assert (await asyncio.wait_for(visitor.head(), 10)).status == 200
            stream = await origin.streams.get()
            await stream.say(5)
            await relay.kill()
            # no answer is possible, but none that looks complete either
            with pytest.raises(AnswerBroken):
                await asyncio.wait_for(visitor.body(), 10)
        heard = len(tunnel.lines)
        await tunnel.wait_event("link-lost", within=10)
        again = await site.serve(port=relay.port)
        began = time.monotonic()
        # asked at once, held until the connector is back: at the same address, with the same token
        head, body = await fetch(tunnel.port, "/again", tunnel.credential)
        measured("first answer after the relay's return, seconds", time.monotonic() - began)
        assert (head.status, body) == (200, b"ok")
        restored = await tunnel.wait_event("link-restored", after=heard)
        assert restored["tunnel"]["url"] == tunnel.url
        await tunnel.wait_event("live", after=heard)
        # the stream of before is over at the origin, and nothing was dispatched twice
        await asyncio.wait_for(stream.departed.wait(), 10)
        assert origin.targets.count("/sse") == 1
        assert origin.targets.count("/again") == 1
        assert again.errors.count("link attached") >= 1


@pytest.mark.slow
async def test_a_relay_alone_knows_its_tunnels_after_a_kill(site: Site, relay: Relay) -> None:
    async with ToldOrigin() as origin:
        tunnel = await open_named(site, relay, origin.url)
        tunnel.send(signal.SIGSTOP)
        await relay.kill()
        await site.serve(port=relay.port)
        head, _ = await fetch(tunnel.port, "/", tunnel.credential)
        assert (head.status, head.code) == (503, "connector-away")
        assert int(head.fields["retry-after"]) > 0
        tunnel.send(signal.SIGCONT)
        async with asyncio.timeout(20):
            while (await fetch(tunnel.port, "/", tunnel.credential))[0].status != 200:
                pass


async def test_streams_that_a_restarted_connector_left_behind_end_at_once(
    site: Site, relay: Relay
) -> None:
    async with ToldOrigin() as origin, HttpOrigin() as silent:
        first = await open_named(site, relay, silent.url)
        async with visiting(first.port) as waiting, visiting(first.port) as half_answered:
            await waiting.ask("/hang", first.credential)
            await half_answered.ask("/slow?parts=1000&interval=0.05", first.credential)
            assert (await asyncio.wait_for(half_answered.head(), 10)).status == 200
            await first.kill()
            second = await open_named(site, relay, origin.url)
            assert second.url == first.url
            async with asyncio.timeout(10):
                head = await waiting.head()
                assert head.status == 503
                assert int(head.fields["retry-after"]) > 0
                with pytest.raises(AnswerBroken):
                    await half_answered.body()


@pytest.mark.slow
async def test_the_lease_of_a_vanished_connector_ends_on_time(site: Site, relay: Relay) -> None:
    async with ToldOrigin() as origin:
        tunnel = await open_named(site, relay, origin.url, "--for", "4s")
        ends_at = tunnel.lines[0]["tunnel"]["lease"]["ends_at"]
        await tunnel.kill()
        held, _ = await fetch(tunnel.port, "/", tunnel.credential)
        assert (held.status, held.code) in ((503, "connector-away"), (503, "no-such-tunnel"))
        assert time.time() < ends_at + 5.5
        await asyncio.sleep(max(0.0, ends_at - time.time()))
        began = time.monotonic()
        head, _ = await fetch(tunnel.port, "/", tunnel.credential)
        assert (head.status, head.code) == (503, "no-such-tunnel")
        assert time.monotonic() - began < 2.0


@pytest.mark.slow
async def test_streams_are_cut_thirty_seconds_after_the_lease_of_a_vanished_connector(
    site: Site, tmp_path: Path
) -> None:
    ahead = 0.0

    def wall_clock() -> float:
        return time.time() + ahead

    state = tmp_path / "relay-here"
    options = RelayOptions(state_dir=state, listen=("127.0.0.1", 0), dev=True)
    relay = await serve(options, now=wall_clock)
    try:
        async with ToldOrigin() as origin:
            tunnel = await site.open(
                *(origin.url, "--name", NAME, "--for", "60s"),
                relay=relay.link_url,
                enrol=str(relay.enrol_token_file),
            )
            async with visiting(tunnel.port) as visitor:
                await visitor.ask("/sse", tunnel.credential)
                assert (await asyncio.wait_for(visitor.head(), 10)).status == 200
                stream = await origin.streams.get()
                tunnel.send(signal.SIGSTOP)
                ahead = 61.0
                head, _ = await fetch(tunnel.port, "/", tunnel.credential)
                assert (head.status, head.code) == (503, "no-such-tunnel")
                body = asyncio.create_task(visitor.body())
                # the clock is looked at each second: two looks later it still stands
                done, _ = await asyncio.wait({body}, timeout=2.5)
                assert not done
                ahead = 91.0
                with pytest.raises(AnswerBroken):
                    await asyncio.wait_for(body, 10)
                tunnel.send(signal.SIGCONT)
                await asyncio.wait_for(stream.departed.wait(), 20)
    finally:
        await relay.close()


@pytest.mark.slow
async def test_a_relay_told_to_stop_under_load_loses_no_request(site: Site, relay: Relay) -> None:
    answered, refused, lost = 0, 0, []
    busy = asyncio.Event()
    async with HttpOrigin() as origin:
        tunnel = await open_named(site, relay, origin.url)

        async def keep_asking(number: int) -> None:
            nonlocal answered, refused
            target = f"/slow?head=0.{number % 5}&parts=2&interval=0.1"
            while True:
                try:
                    async with visiting(tunnel.port) as visitor:
                        while True:
                            await visitor.ask(target, tunnel.credential)
                            head = await visitor.head()
                            body = await visitor.body()
                            if head.status != 200 or body != b"part 0\npart 1\n":
                                lost.append((head, body))
                            answered += 1
                            if answered == 200:
                                busy.set()
                            if head.fields.get("connection") == "close":
                                break
                except ConnectionRefusedError:
                    refused += 1
                    return
                except AnswerBroken as error:
                    lost.append(str(error))

        async with asyncio.TaskGroup() as group, asyncio.timeout(50):
            for number in range(50):
                group.create_task(keep_asking(number))
            await busy.wait()
            relay.send(signal.SIGTERM)
        assert await relay.wait_ended() == 0
        assert lost == []
        assert refused == 50
        assert [line["event"] for line in relay.lines] == ["ready", "draining"]
        measured("requests answered around a drain", answered)
        assert len(origin.requests) >= answered
