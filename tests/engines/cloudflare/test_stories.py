"""What befalls Cloudflare's tunnels alone, through the whole product and the real cloudflared."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import pytest
from tests.edges.cloudflare import Tunnel
from tests.edges.cloudflare_control import Denied
from tests.edges.cloudflare_link import StreamCut
from tests.engines.cloudflare.bench import (
    CloudflareBench,
    CredentialsBench,
    QuickBench,
    access_tcp,
)

from underpass.drivers.base import Counts
from underpass.drivers.errors import EngineAway, EngineRefused
from underpass.drivers.foreign_engine import ForeignEngine
from underpass.model.errors import UnderpassError
from underpass.model.errors_run import ProofFailed
from underpass.testing.driver_suite import bearer, change, refusal, url_of
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import TcpEcho

# Byte streams


async def test_byte_streams_come_by_cloudflared_access(named: CloudflareBench) -> None:
    await echo(named)


async def test_byte_streams_come_by_a_quick_tunnel_too(quick: QuickBench) -> None:
    await echo(quick)


async def echo(bench: CloudflareBench) -> None:
    """Two megabytes there and back, by the real visitor's program."""
    async with TcpEcho() as origin:
        tunnel = await bench.open(f"tcp://127.0.0.1:{origin.port} --public --for 30m")
        assert tunnel.verdict.ok
        assert url_of(tunnel).startswith("tcp://")
        data, back = os.urandom(2_000_000), b""
        async with access_tcp(bench, url_of(tunnel)) as port, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            while len(back) < len(data):
                back += await reader.read(1 << 16)
            writer.close()
        assert back == data


# Names


async def test_a_quick_tunnel_that_is_started_anew_tells_its_new_name(quick: QuickBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await quick.open(f"{origin.port}")
        old, changes = url_of(tunnel), tunnel.events()
        os.kill(quick.child(tunnel), signal.SIGKILL)
        await change(changes, lambda it: it["event"] == "live" and it["tunnel"]["url"] != old)
        assert (await ask(quick, url_of(tunnel), "/", bearer(tunnel))).status == 200


async def test_a_quick_tunnel_that_lost_its_link_keeps_its_name(quick: QuickBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await quick.open(f"{origin.port}")
        old, child, changes = url_of(tunnel), quick.child(tunnel), tunnel.events()
        quick.edge.kill()
        await change(changes, lambda it: it["tunnel"]["state"] == "failing")
        await change(changes, lambda it: it["event"] == "live")
        assert (url_of(tunnel), quick.child(tunnel)) == (old, child)


async def test_a_named_tunnel_that_lost_every_link_is_started_anew_at_once(
    named: CloudflareBench,
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await named.open(f"{origin.port}")
        await named.edge.wait_registered()
        old, child, changes = url_of(tunnel), named.child(tunnel), tunnel.events()
        named.edge.kill()
        await change(changes, lambda it: it["tunnel"]["state"] == "failing")
        await change(changes, lambda it: it["event"] == "live")
        assert url_of(tunnel) == old
        assert named.child(tunnel) != child


# Visitors' addresses


@pytest.mark.parametrize(("network", "status"), [("127.0.0.0/8", 200), ("203.0.113.0/24", 403)])
async def test_the_edge_is_believed_about_visitors_addresses(
    named: CloudflareBench, network: str, status: int
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await named.open(f"{origin.port} --gate ip:{network} --for 30m")
        lie = {"CF-Connecting-IP": "203.0.113.7", "CF-Warp-Tag-underpass": "x" * 64}
        assert (await ask(named, url_of(tunnel))).status == status
        # What is not the edge's own word makes nobody believed.
        assert (await ask(named, url_of(tunnel), "/", lie)).status == 403


async def test_nobody_else_on_this_machine_is_believed_about_addresses(
    named: CloudflareBench,
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await named.open(f"{origin.port} --gate ip:127.0.0.0/8 --for 30m")
        engine = tunnel.engine
        assert isinstance(engine, ForeignEngine)
        assert engine.plan is not None
        door = engine.plan.files[0].content.decode().partition("127.0.0.1:")[2].partition('"')[0]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(door))
        host = named.hostname
        lie = f"GET / HTTP/1.1\r\nHost: {host}\r\nCF-Connecting-IP: 127.0.0.1\r\n\r\n"
        writer.write(lie.encode())
        async with asyncio.timeout(10):
            assert b" 403 " in await reader.readline()
        writer.close()


# Configurations that lead elsewhere

ELSEWHERE = {"ingress": [{"service": "http://127.0.0.1:1"}]}


async def test_a_tunnel_that_leads_past_the_gates_is_not_opened(named: CloudflareBench) -> None:
    named.tunnel.remote = ELSEWHERE
    error = await refusal(named, named.options())
    assert isinstance(error, EngineRefused)
    assert error.reason == "configuration-foreign"
    assert "http://127.0.0.1:1" in error.message
    assert error.hint is not None
    assert "api-token-file" in error.hint
    await named.edge.wait_registered(0)


async def test_a_tunnel_that_is_led_past_the_gates_is_closed(named: CloudflareBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await named.open(f"{origin.port}")
        with suppress(StreamCut):  # it is ended before it has answered, or after
            await named.edge.push(named.tunnel, ELSEWHERE)
        with pytest.raises(EngineRefused, match="past our gates"):
            async with asyncio.timeout(20):
                await tunnel.wait_closed()
        await named.edge.wait_registered(0)


# What the edge says no to


async def test_a_tunnel_that_was_deleted_is_told_as_such(named: CloudflareBench) -> None:
    del named.edge.tunnels[named.tunnel.identity]
    error = await refusal(named, named.options())
    assert isinstance(error, EngineRefused)
    assert error.reason == "tunnel-missing"
    assert "cloudflared tunnel token" in str(error.hint)


async def test_a_registration_that_the_edge_puts_off_is_told_in_its_words(
    named: CloudflareBench,
) -> None:
    named.edge.denied = Denied("Rate limited by the account", retry_seconds=1.0, should_retry=True)
    error = await refusal(named, named.options(), timeout=12.0)
    assert isinstance(error, EngineAway)
    assert error.reason == "registration-refused"
    assert "Rate limited by the account" in error.message
    assert error.retryable


async def test_an_edge_that_does_not_answer_is_told_as_such(named: CloudflareBench) -> None:
    await named.edge.stop()
    error = await refusal(named, named.options(), timeout=26.0)
    assert isinstance(error, EngineAway)
    assert error.reason == "far-end-unreachable"
    assert "7844" in str(error.hint)


async def test_a_token_that_is_none_is_told_as_such(named: CloudflareBench) -> None:
    (named.home / "tunnel.token").write_text("nonsense")
    error = await refusal(named, named.options())
    assert isinstance(error, EngineRefused)
    assert error.reason == "credential-refused"


async def test_a_token_file_that_is_missing_is_told_as_such(named: CloudflareBench) -> None:
    (named.home / "tunnel.token").unlink()
    error = await refusal(named, named.options())
    assert isinstance(error, EngineRefused)
    assert error.reason == "credential-missing"


async def test_a_credentials_file_that_is_missing_is_told_as_such(own: CredentialsBench) -> None:
    (own.home / f"{own.tunnel.identity}.json").unlink()
    error = await refusal(own, own.options())
    assert isinstance(error, EngineRefused)
    assert error.reason == "credential-missing"


@pytest.mark.parametrize("status", [500, 200])
async def test_a_quick_service_that_answers_nonsense_is_told_as_such(
    quick: QuickBench, status: int
) -> None:
    quick.edge.quick_answer = (status, b"<html>sorry</html>")
    error = await refusal(quick, quick.options())
    assert isinstance(error, EngineRefused)
    assert error.reason == "quick-refused"


# What visitors are told


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (429, "error code: 1015", "status 429: Cloudflare: it limits how often this address"),
        (530, "error code: 1033", "status 530: Cloudflare: the name leads to a tunnel that no"),
        (524, "524", "status 524"),
    ],
)
async def test_pages_of_the_edge_are_no_proof_and_are_explained(
    named: CloudflareBench, status: int, text: str, told: str
) -> None:
    named.edge.door.weather.answer = (status, text)
    error: UnderpassError = await refusal(named, named.options(), timeout=6.0)
    assert isinstance(error, ProofFailed)
    assert error.layer == "relay"
    assert told in error.message


async def test_a_public_side_that_limits_visitors_shows_in_the_status(
    named: CloudflareBench,
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await named.open(f"{origin.port}")
        named.edge.door.weather.answer = (429, "error code: 1015")
        verdict = await tunnel.control.prove()
        assert not verdict.ok
        assert verdict.layer == "relay"
        named.edge.door.weather.answer = None
        assert (await tunnel.control.prove()).ok


async def test_its_own_numbers_can_be_asked_for(named: CloudflareBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await named.open(f"{origin.port}")
        engine = tunnel.engine
        assert isinstance(engine, Counts)
        before = await engine.counters()
        await ask(named, url_of(tunnel), "/", bearer(tunnel))
        assert (await engine.counters()).requests >= before.requests + 1
        await tunnel.close()
        with pytest.raises(EngineAway):
            await engine.counters()


async def test_two_tunnels_of_one_machine_do_not_meet(named: CloudflareBench) -> None:
    other: Tunnel = named.edge.add("other")
    path = named.home / "other.token"
    path.write_text(other.token())
    path.chmod(0o600)
    options = {
        **named.options(),
        "token-file": str(path),
        "hostname": f"{other.hostname}:{named.edge.door.port}",
    }
    async with HttpOrigin() as first, HttpOrigin() as second:
        one = await named.open(f"{first.port}")
        two = await named.open(f"{second.port}", options)
        assert (await ask(named, url_of(one), "/one", bearer(one))).status == 200
        assert (await ask(named, url_of(two), "/two", bearer(two))).status == 200
        assert (await ask(named, url_of(two), "/", bearer(one))).status == 401
        assert "/two" not in [each.target for each in first.requests]
