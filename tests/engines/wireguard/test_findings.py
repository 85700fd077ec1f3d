"""Each thing that can be the matter with a peer, brought about for real and told for what it is."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.edges.wireguard import WireGuardNet, device_pid, marks, wireguard_net

pytestmark = marks


@pytest.fixture
async def net(tmp_path: Path, runtime: Path) -> AsyncIterator[WireGuardNet]:
    async with wireguard_net(tmp_path, runtime) as made:
        made.write()
        made.make_keys()
        yield made


async def test_a_peer_that_has_not_called_is_waited_for_and_then_live(net: WireGuardNet) -> None:
    relay = await net.up("relay")
    await relay.peer("laptop", "waiting")
    await net.up("laptop")
    await relay.peer("laptop", "live")


async def test_nobody_at_the_endpoint_is_a_blocked_path(net: WireGuardNet) -> None:
    laptop = await net.up("laptop")
    await laptop.peer("relay", "shaking-hands")
    told = await laptop.peer("relay", "path-blocked")
    assert "nobody listens" in told["detail"]
    assert "port" in told["hint"]


async def test_a_far_host_that_does_not_answer_at_all_is_a_blocked_path(net: WireGuardNet) -> None:
    await net.up("relay")
    with net.router.drop(source="10.86.2.2"):
        laptop = await net.up("laptop")
        told = await laptop.peer("relay", "path-blocked")
        assert "does not answer at all" in told["detail"]
        assert "firewalls" in told["hint"]
    await laptop.peer("relay", "live")


async def test_a_key_that_the_far_end_does_not_know_is_told_at_both_ends(
    net: WireGuardNet,
) -> None:
    relay = await net.up("relay")
    topology, keyring = net.load()
    apart = net.home / "apart.keys"
    keyring.pack("laptop", apart)
    (apart / "laptop.key").unlink()
    type(keyring)(apart, topology).make(["laptop"])
    laptop = await net.up("laptop", keys=apart)
    await laptop.peer("relay", "wrong-key")
    # The far end hears somebody call whom it does not know, and may not know who it is.
    assert relay.lines[-1]["state"] in {"waiting", "wrong-key"}


async def test_a_far_key_that_we_have_wrong_is_told_as_such(net: WireGuardNet) -> None:
    topology, keyring = net.load()
    apart = net.home / "apart.keys"
    keyring.pack("laptop", apart)
    strange = net.home / "strange.keys"
    type(keyring)(strange, topology).make(["relay"])
    (apart / "relay.pub").write_bytes((strange / "relay.pub").read_bytes())
    await net.up("relay")
    laptop = await net.up("laptop", keys=apart)
    await laptop.peer("relay", "wrong-key")


async def test_a_wireguard_that_has_gone_is_stale_and_says_so_in_time(net: WireGuardNet) -> None:
    relay = await net.up("relay")
    laptop = await net.up("laptop")
    await laptop.peer("relay", "live")
    since, began = len(laptop.lines), time.monotonic()
    await relay.stop()
    told = await laptop.peer("relay", "stale", after=since)
    assert time.monotonic() - began < 10.0
    assert "its WireGuard has gone" in told["detail"]


async def test_a_frozen_far_end_is_stale_and_its_thaw_is_seen(net: WireGuardNet) -> None:
    relay = await net.up("relay")
    laptop = await net.up("laptop")
    await laptop.peer("relay", "live")
    since, frozen = len(laptop.lines), device_pid(relay)
    began = time.monotonic()
    os.kill(frozen, signal.SIGSTOP)
    try:
        told = await laptop.peer("relay", "stale", after=since)
        assert time.monotonic() - began < 10.0
        assert "its host answers" in told["detail"]
    finally:
        os.kill(frozen, signal.SIGCONT)
    await laptop.peer("relay", "live", after=len(laptop.lines))


async def test_a_path_that_dies_later_is_told_in_time_and_so_is_its_return(
    net: WireGuardNet,
) -> None:
    await net.up("relay")
    laptop = await net.up("laptop")
    await laptop.peer("relay", "live")
    since, began = len(laptop.lines), time.monotonic()
    with net.router.drop(source="10.86.2.2"):
        await laptop.peer("relay", "path-blocked", after=since)
        assert time.monotonic() - began < 10.0
    await laptop.peer("relay", "live", after=len(laptop.lines))


async def test_a_nat_that_forgets_is_survived_unnoticed(net: WireGuardNet) -> None:
    relay = await net.up("relay")
    laptop = await net.up("laptop")
    await laptop.peer("relay", "live")
    await relay.peer("laptop", "live")

    def port() -> str:
        words = ("wg", "show", relay.interface, "endpoints")
        return net.relay.run(*words).stdout.rpartition(":")[2]

    former, since = port(), len(laptop.lines)
    net.router.forget_connections()
    # The next packet comes from another port of the router, and the relay follows it.
    async with asyncio.timeout(20.0):
        while port() == former:  # noqa: ASYNC110  (a device tells nobody of its changes)
            await asyncio.sleep(0.1)
    assert laptop.lines[since:] == []


async def test_the_status_of_an_interface_tells_ages_counters_and_findings(
    net: WireGuardNet,
) -> None:
    relay = await net.up("relay")
    laptop = await net.up("laptop")
    await laptop.peer("relay", "live")
    await relay.peer("laptop", "live")
    words = (
        *(sys.executable, "-m", "underpass", "wg", "status", str(net.file)),
        *("--netns",),
    )

    async def status(host: str, *more: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(*words, net.namespace(host).name, "--interface", net.interface(host), host, *more),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(40.0):
            out, _ = await process.communicate()
        return process.returncode, out.decode()

    code, out = await status("laptop", "--json")
    (peer,) = json.loads(out)["peers"]
    assert (code, peer["host"], peer["state"]) == (0, "relay", "live")
    assert 0 <= peer["handshake_age"] < 30
    assert peer["received"] > 0
    assert peer["sent"] > 0
    code, out = await status("relay")
    assert code == 5
    assert re.search(r"^laptop +live +\d+ s ago +\d+ +\d+$", out, re.MULTILINE)
    assert re.search(r"^ci +waiting +never +0 +0$", out, re.MULTILINE)
    await relay.kill()
    # At once, while the last handshake is young: that it has not been refuted is no proof.
    code, out = await status("laptop", "--json")
    (peer,) = json.loads(out)["peers"]
    assert (code, peer["state"]) == (5, "stale")
    assert peer["hint"]
