"""Many connectors at once, and one name that changes hands a thousand times."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.relay.links.link import Link
from underpass.relay.links.runner import LaneRunner
from underpass.relay.protocol.lane import Lane
from underpass.relay.server.acceptor import Introduction
from underpass.relay.server.farewell import Farewell
from underpass.relay.server.registry import KeyLimits, KeyRecord
from underpass.relay.server.session import Session

WITHIN = 30.0
WATCHED = (Link, LaneRunner, Lane, Session, Farewell, Introduction, asyncio.Task)


def things() -> Counter[str]:
    """What lives in this process, as far as the relay makes it."""
    gc.collect()
    found = Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, WATCHED))
    found["descriptors"] = len(os.listdir("/proc/self/fd"))
    return found


def grown(before: Counter[str]) -> list[str]:
    """Of what there is more than ``before``, but for what one more test task needs."""
    now = things()
    return [what for what in now if now[what] > before[what] + 3]


async def until(condition: Any) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_two_hundred_connectors_come_back_at_once(rig: Any, process: Any) -> None:
    await rig.registry.put_key(KeyRecord(process.public, limits=KeyLimits(names=300)))
    await rig.keys.load()
    herd = [type(process)(rig, process.key, f"name-{number}") for number in range(200)]
    async with asyncio.timeout(WITHIN):
        welcomes = await asyncio.gather(*(each.welcome() for each in herd))
    assert {welcome.epoch for welcome in welcomes} == {1}
    assert len(rig.tunnels) == 200
    assert all(tunnel.lane_nowait() for tunnel in rig.tunnels)
    for each in herd:
        each.close()


async def test_of_many_keys_at_once_one_gets_the_name(rig: Any, process: Any) -> None:
    rivals = [type(process)(rig, Ed25519PrivateKey.generate()) for _ in range(20)]
    for rival in rivals:
        await rig.registry.put_key(KeyRecord(rival.public))
    await rig.keys.load()
    answers = await asyncio.gather(*(rival.say() for rival in rivals))
    codes = Counter(getattr(answer, "code", "welcome") for answer in answers)
    assert codes == {"welcome": 1, "name-taken": 19}
    for rival in rivals:
        rival.close()


async def test_many_instances_at_once_get_epochs_of_their_own(rig: Any, process: Any) -> None:
    rivals = [process.restarted() for _ in range(10)]
    answers = await asyncio.gather(*(rival.say() for rival in rivals))
    epochs = [answer.epoch for answer in answers if not hasattr(answer, "code")]
    assert len(epochs) == len(set(epochs))
    record = await rig.stored()
    assert record.epoch == max(epochs)
    winner = next(rival for rival in rivals if rival.instance == record.instance)
    assert rig.tunnel().instance == winner.instance
    for rival in rivals:
        rival.close()


@pytest.mark.slow
async def test_a_thousand_takeovers_leave_nothing_behind(rig: Any, process: Any) -> None:
    await process.welcome()
    before: Counter[str] = Counter()
    for number in range(1000):
        process.cut()
        await until(lambda: not rig.tunnel().links)
        process = process.restarted()
        await process.welcome()
        if number == 50:
            await until(lambda: rig.tunnel().unsettled == 0)
            before = things()
    await until(lambda: rig.tunnel().unsettled == 0)
    after = things()
    grown = {what: after[what] - before[what] for what in after if after[what] > before[what] + 3}
    assert grown == {}
    assert (await rig.stored()).epoch == 1001
    process.close()


async def test_frozen_ghosts_are_let_go_within_seconds(rig: Any, process: Any) -> None:
    await process.welcome()
    ghosts = []
    before = things()
    for _ in range(5):
        ghosts.append(process)
        process.last.link.transport.pause_reading()
        process = process.restarted()
        await process.welcome()
    await until(lambda: rig.tunnel().unsettled == 0)
    assert len(rig.tunnel().takeovers) == 0
    assert len(rig.tunnel().links) == 1
    for ghost in ghosts:
        ghost.runner().link.transport.abort()
    ghosts.clear()
    # A released link is aborted a second later, if its path was dead.
    await until(lambda: grown(before) == [])
    process.close()
