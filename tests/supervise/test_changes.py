"""Telling those who watch."""

from __future__ import annotations

import asyncio

from underpass.supervise.changes import MOST_WAITING, Broadcast


async def test_every_watcher_hears_everything_from_when_it_subscribed() -> None:
    broadcast = Broadcast()
    early = broadcast.subscribe()
    broadcast.publish({"n": 1})
    late = broadcast.subscribe()
    broadcast.publish({"n": 2})
    broadcast.end()
    assert [change["n"] async for change in early] == [1, 2]
    assert [change["n"] async for change in late] == [2]


async def test_a_watcher_who_waits_is_woken() -> None:
    broadcast = Broadcast()
    watcher = broadcast.subscribe()
    waiting = asyncio.ensure_future(anext(watcher))
    await asyncio.sleep(0)
    broadcast.publish({"n": 1})
    assert await asyncio.wait_for(waiting, 5.0) == {"n": 1}


async def test_a_watcher_who_does_not_read_loses_the_oldest() -> None:
    broadcast = Broadcast()
    watcher = broadcast.subscribe()
    for number in range(MOST_WAITING + 5):
        broadcast.publish({"n": number})
    broadcast.end()
    heard = [change["n"] async for change in watcher]
    assert heard == list(range(5, MOST_WAITING + 5))


async def test_a_watcher_who_leaves_early_is_forgotten() -> None:
    broadcast = Broadcast()
    watcher = broadcast.subscribe()
    broadcast.publish({"n": 1})
    await watcher.aclose()
    await watcher.aclose()
    broadcast.publish({"n": 2})
    assert [change async for change in watcher] == []


async def test_whoever_comes_after_the_end_hears_that_it_is_over() -> None:
    broadcast = Broadcast()
    broadcast.end()
    assert [change async for change in broadcast.subscribe()] == []
