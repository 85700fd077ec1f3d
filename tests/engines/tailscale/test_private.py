"""A tunnel with a tailscaled of its own, in userspace and without root."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from unittest import SkipTest
from urllib.parse import urlsplit

import pytest
from tests.edges.headscale import OPEN_POLICY
from tests.edges.tailscale import QUIET
from tests.engines.tailscale.tailnet import CUTS, Tailnet, TailnetBench

from underpass.drivers.tailscale import session
from underpass.testing.driver_bench import PATIENCE, DriverBench, Options
from underpass.testing.driver_suite import DriverSuite, bearer, change, refusal, url_of
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin

pytestmark = [pytest.mark.xdist_group("tailscale"), pytest.mark.timeout(120)]

WRONG = "UNDERPASS_TEST_WRONG_KEY"
ONLY_THE_TUNNEL = {
    "acls": [{"action": "accept", "proto": "tcp", "src": ["*"], "dst": ["*:80"]}],
}


class PrivateBench(TailnetBench):
    variant = "private daemon"
    program = "tailscaled"
    quota_words = frozenset({"credential-refused"})

    def variables(self) -> dict[str, str]:
        return {
            **QUIET,
            "SSL_CERT_FILE": str(self.tailnet.headscale.ca),
            WRONG: f"hskey-auth-{'x' * 12}-{'y' * 64}",
        }

    async def start(self) -> None:
        await super().start()
        self.key = self.home / "key"
        self.key.write_text(self.tailnet.key)
        self.key.chmod(0o600)

    def options(self) -> Options:
        return {
            "daemon": "private",
            "auth-key-file": str(self.key),
            "login-server": self.tailnet.headscale.url,
            "witness": str(self.tailnet.beta.socket),
            "inbound": "policy",
        }

    def secrets(self) -> dict[str, str]:
        return {"the key to join": self.tailnet.key}

    def wrong_credential(self) -> Options:
        options = {**self.options(), "auth-key-env": WRONG}
        del options["auth-key-file"]
        return options

    @asynccontextmanager
    async def used_up(self) -> AsyncIterator[Options]:
        self.key.write_text(await self.tailnet.headscale.key(reusable=False))
        spender = await self.tailnet.join("spender", self.key.read_text())
        spender.stop()
        yield self.options()

    def far_end(self) -> list[int]:
        return [self.tailnet.beta.pid]

    async def cut(self) -> None:
        self.tailnet.beta.stop()

    async def mend(self) -> None:
        await self.tailnet.beta.start()

    def hostile_options(self, text: str) -> list[Options]:
        keys = (
            *("share", "port", "https", "daemon", "door", "witness", "auth-key-file"),
            *("auth-key-env", "login-server", "hostname", "tags", "state", "inbound"),
        )
        return [{**self.options(), key: text} for key in keys]


class TestPrivate(DriverSuite):
    async def test_tcp_goes_both_ways_and_its_end_is_passed_on(self, bench: DriverBench) -> None:
        raise SkipTest(CUTS)


@pytest.fixture
async def bench(tailnet: Tailnet, tmp_path: Path, runtime: Path) -> AsyncIterator[PrivateBench]:
    async with PrivateBench(tmp_path, runtime, tailnet) as bench:
        yield bench


async def test_a_tailnet_that_lets_in_more_than_the_tunnel_is_refused(
    bench: PrivateBench,
) -> None:
    options = {**bench.options(), "inbound": "closed"}
    error = await refusal(bench, options)
    assert error.code == "engine-refused"
    assert getattr(error, "reason", "") == "inbound-open"
    assert "tcp:80" in str(error.hint)


async def test_a_tailnet_that_lets_in_the_tunnel_alone_is_taken(
    tailnet: Tailnet, bench: PrivateBench
) -> None:
    await tailnet.headscale.set_policy(ONLY_THE_TUNNEL)
    try:
        async with HttpOrigin() as origin, HttpOrigin() as other:
            tunnel = await bench.open(f"{origin.port}", {**bench.options(), "inbound": "closed"})
            assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200
            # The control: without rules, every service on loopback is open to the tailnet.
            host = urlsplit(url_of(tunnel)).hostname
            beside = f"http://{host}:{other.port}/"
            assert not await reaches(bench, beside)
            await tailnet.headscale.set_policy(OPEN_POLICY)
            async with asyncio.timeout(PATIENCE):
                while True:
                    if await reaches(bench, beside):
                        break
                    await asyncio.sleep(0.2)  # the rules come to the nodes when they come
    finally:
        await tailnet.headscale.set_policy(OPEN_POLICY)


async def test_rules_that_let_in_more_later_end_the_tunnel_behind_a_shield(
    tailnet: Tailnet, bench: PrivateBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RULES_SECONDS", 0.2)
    await tailnet.headscale.set_policy(ONLY_THE_TUNNEL)
    try:
        async with HttpOrigin() as origin, HttpOrigin() as other:
            tunnel = await bench.open(f"{origin.port}", {**bench.options(), "inbound": "closed"})
            changes = tunnel.events()
            await tailnet.headscale.set_policy(OPEN_POLICY)
            failing = await change(changes, lambda it: it["tunnel"]["state"] == "failing")
            assert failing["reason"] == "inbound-open"
            host = urlsplit(url_of(tunnel)).hostname
            assert not await reaches(bench, f"http://{host}:{other.port}/")
    finally:
        await tailnet.headscale.set_policy(OPEN_POLICY)


async def reaches(bench: DriverBench, url: str) -> bool:
    """Whether somebody answers there within a second."""
    with suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(1.0):
            return (await ask(bench, url)).status == 200
    return False


async def test_a_node_leaves_the_tailnet_with_its_tunnel(
    tailnet: Tailnet, bench: PrivateBench
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port} --name leaver")
        assert urlsplit(url_of(tunnel)).hostname == "leaver.tail.test"
        assert (await tailnet.headscale.nodes())["leaver"]["online"]
        await tunnel.close()
    # headscale ends the key of a node that logs out; one that is merely gone keeps it.
    left = (await tailnet.headscale.nodes())["leaver"]
    assert left["expiry"]["seconds"] <= time.time()


async def test_a_kept_node_comes_back_under_its_name_without_a_key(
    tailnet: Tailnet, bench: PrivateBench
) -> None:
    options = {**bench.options(), "state": str(bench.home / "kept"), "hostname": "keeper"}
    (bench.home / "kept").mkdir()
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}", options)
        first = url_of(tunnel)
        await tunnel.close()
        del options["auth-key-file"]
        tunnel = await bench.open(f"{origin.port}", options)
        assert url_of(tunnel) == first == "http://keeper.tail.test"


async def test_a_missing_key_is_told_with_where_to_sign_in(bench: PrivateBench) -> None:
    options = bench.options()
    del options["auth-key-file"]
    error = await refusal(bench, {**options, "auth-key-env": "UNDERPASS_TEST_UNSET"})
    assert error.code == "engine-refused"
    assert getattr(error, "reason", "") == "login-needed"
