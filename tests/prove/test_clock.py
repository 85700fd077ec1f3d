"""The machine's own clock."""

from __future__ import annotations

import asyncio
import time

from underpass.prove.clock import SystemClock


async def test_a_timer_calls_when_its_time_has_come() -> None:
    clock, called = SystemClock(), asyncio.Event()
    when = clock.now() + 0.02
    clock.call_at(when, called.set)
    await asyncio.wait_for(called.wait(), 5.0)
    # uvloop counts in whole milliseconds.
    assert clock.now() >= when - 0.002


async def test_a_time_that_has_passed_is_now_and_a_cancelled_call_never_comes() -> None:
    clock, called, never = SystemClock(), asyncio.Event(), asyncio.Event()
    clock.call_at(clock.now() - 100.0, never.set).cancel()
    clock.call_at(clock.now() - 100.0, called.set)
    await asyncio.wait_for(called.wait(), 5.0)
    assert not never.is_set()


def test_unix_time_is_that_of_the_machine() -> None:
    assert abs(SystemClock().unix() - time.time()) < 5.0
