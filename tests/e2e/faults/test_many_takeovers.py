"""A thousand ghosts, each replaced by the next: nothing of them stays."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from raw_visitor import fetch
from told_origin import ToldOrigin
from tunnel_site import MIB, measured

from underpass.drivers.relay import LINKS
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.guard.gates import forge
from underpass.model.options import RelayAccess, RelayLimits, RelayOptions
from underpass.model.spec import parse_spec
from underpass.relay.connector.address import parse_relay
from underpass.relay.connector.connector import Connector
from underpass.relay.connector.dial import Dialler
from underpass.relay.links.link import Link
from underpass.relay.links.runner import LaneRunner
from underpass.relay.protocol.records import Terms
from underpass.relay.server.key_text import key_text
from underpass.relay.server.serve import RunningRelay, serve
from underpass.relay.server.session import Session

NAMES = 50
ROUNDS = 12
WARM = 8
"""Rounds until caches, pools and the allocator have what they keep."""
MOST_MEMORY = 10 * MIB
"""Both ends are in this process, hundreds of ghosts at a time: twice what one may grow by."""
COUNTED = (Session, LaneRunner, Link, Connector)


@pytest.fixture
async def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
async def relay(tmp_path: Path, key: Ed25519PrivateKey) -> AsyncIterator[RunningRelay]:
    keys = tmp_path / "authorised-keys"
    keys.write_text(key_text(key.public_key().public_bytes_raw()) + "\n")
    running = await serve(
        RelayOptions(
            state_dir=tmp_path / "relay",
            listen=("127.0.0.1", 0),
            dev=True,
            authorised_keys=keys,
            limits=RelayLimits(names=NAMES, ports=NAMES),
        )
    )
    yield running
    await running.close()


async def freeze(connector: Connector) -> None:
    """What the relay sees of a stopped process: connections that stand and say nothing."""
    tasks, connector._tasks = connector._tasks, []
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for slot in connector._slots:
        if slot.runner.link is not None and slot.runner.link.transport is not None:
            slot.runner.link.transport.pause_reading()


def bury(connector: Connector) -> None:
    """The stopped process is gone, too."""
    connector._ended = True
    connector._drop_lanes("crashed")


def remaining() -> dict[str, int]:
    """What this process holds of takeovers, and of anything else that could leak."""
    gc.collect()
    things = gc.get_objects()
    held = {kind.__name__: sum(type(each) is kind for each in things) for kind in COUNTED}
    return held | {
        "descriptors": psutil.Process().num_fds(),
        "tasks": len(asyncio.all_tasks()),
    }


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_thousand_takeovers_from_ghosts_leak_nothing(
    relay: RunningRelay, key: Ed25519PrivateKey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "underpass")  # pytest keeps every record
    async with ToldOrigin() as origin:
        spec = parse_spec(f"{origin.url} --public --for 30m")
        guard = forge(spec.gates, public=True).guard
        settings = GatehouseSettings(spec.origin, spec.kind, "tools", "one", bytes(32))
        house = Gatehouse(settings, guard)
        address = parse_relay(RelayAccess(url=relay.link_url))
        terms = Terms(kind="http", lease_end=time.time() + 1800, gates=guard.commitment())
        live: dict[str, Connector] = {}
        taken = buried = 0
        loop = asyncio.get_running_loop()
        longest = 0.0

        async def open_one(name: str) -> None:
            connector = Connector(
                dialler=Dialler(address, LINKS), key=key, carrier=house, terms=terms, name=name
            )
            await connector.open()
            live[name] = connector

        async def take_over(name: str) -> None:
            nonlocal longest, taken
            ghost = live.pop(name)
            await freeze(ghost)
            start = time.monotonic()
            await open_one(name)
            longest = max(longest, time.monotonic() - start)
            taken += 1
            # a ghost has a second to show that it lives; it is not to hang up before
            loop.call_later(1.5, bury_one, ghost)

        def bury_one(ghost: Connector) -> None:
            nonlocal buried
            bury(ghost)
            buried += 1

        async def take_turns(name: str, rounds: int) -> None:
            for _ in range(rounds):
                await take_over(name)

        async def all_buried() -> None:
            async with asyncio.timeout(30):
                while buried < taken or remaining()["Connector"] > NAMES:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
                while relay.statistics().links != 2 * NAMES:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

        names = [f"tools-{number}" for number in range(NAMES)]
        try:
            await asyncio.gather(*map(open_one, names))
            await asyncio.gather(*(take_turns(name, WARM) for name in names))
            await all_buried()
            before, memory = remaining(), psutil.Process().memory_info().rss
            began = time.monotonic()
            await asyncio.gather(*(take_turns(name, ROUNDS) for name in names))
            measured("takeovers a second", NAMES * ROUNDS / (time.monotonic() - began))
            measured("longest takeover, seconds", longest)
            await all_buried()
            after, grown = remaining(), psutil.Process().memory_info().rss - memory
            measured("MiB grown", grown / MIB)
            assert {name for name in after if after[name] > before[name]} == set(), (before, after)
            assert after["Session"] == NAMES
            assert grown <= MOST_MEMORY, grown / MIB
            for name, connector in live.items():
                assert connector.epoch == 1 + WARM + ROUNDS
                assert connector.welcome is not None
                door = int(connector.welcome.public_url.rsplit(":", 1)[1])
                assert (await fetch(door, f"/{name}", {}))[0].status == 200
            assert sorted(origin.targets) == sorted(f"/{name}" for name in names)
        finally:
            await asyncio.gather(*(connector.close() for connector in live.values()))
            house.close()
