from __future__ import annotations

import asyncio

import pytest

from underpass.testing.clock import FakeClock, SteppedLoop, run_stepped
from underpass.testing.origins import TcpEcho

pytestmark = pytest.mark.pure


def test_a_fake_clock_stands_still_until_advanced() -> None:
    clock = FakeClock(start=5.0, wall=100.0)
    assert (clock(), clock.now(), clock.wall()) == (5.0, 5.0, 100.0)
    assert clock.advance(2.5) == 7.5
    assert (clock(), clock.wall()) == (7.5, 102.5)
    assert repr(clock) == "FakeClock(now=7.5, wall=102.5)"


def test_a_sleeping_machine_moves_the_wall_clock_only() -> None:
    clock = FakeClock(start=5.0, wall=100.0)
    clock.sleep(3600)
    assert (clock(), clock.wall()) == (5.0, 3700.0)


def test_the_wall_clock_can_be_set_back_and_the_monotonic_one_cannot() -> None:
    clock = FakeClock()
    clock.set_wall(0.0)
    assert clock.wall() == 0.0
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)


def test_timers_run_in_order_each_at_its_own_time() -> None:
    async def main(loop: SteppedLoop) -> list[tuple[str, float]]:
        ran: list[tuple[str, float]] = []
        start = loop.time()
        for name, delay in (("late", 30.0), ("early", 10.0), ("after", 61.0)):
            loop.call_later(delay, lambda name=name: ran.append((name, loop.time() - start)))
        await loop.advance(60)
        return ran

    assert run_stepped(main) == [("early", 10.0), ("late", 30.0)]


def test_an_hour_of_sleep_passes_at_once_and_not_before() -> None:
    async def main(loop: SteppedLoop) -> None:
        sleeper = asyncio.create_task(asyncio.sleep(3600))
        await loop.advance(3599.9)
        assert not sleeper.done()
        await loop.advance(0.1)
        assert sleeper.done()

    run_stepped(main)


def test_a_timer_set_by_a_timer_runs_in_the_same_advance() -> None:
    async def main(loop: SteppedLoop) -> int:
        beats = 0

        async def heartbeat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(15)
                beats += 1

        task = asyncio.create_task(heartbeat())
        await loop.advance(150)
        task.cancel()
        return beats

    assert run_stepped(main) == 10


def test_timeouts_expire_by_stepping() -> None:
    async def main(loop: SteppedLoop) -> None:
        waiter = asyncio.create_task(asyncio.wait_for(asyncio.Event().wait(), 10))
        await loop.advance(10)
        with pytest.raises(TimeoutError):
            await waiter

    run_stepped(main)


def test_sockets_work_while_time_stands_still() -> None:
    async def main(loop: SteppedLoop) -> None:
        before = loop.time()
        async with TcpEcho() as echo:
            reader, writer = await asyncio.open_connection(echo.host, echo.port)
            writer.write(b"now")
            assert await reader.readexactly(3) == b"now"
            writer.close()
        assert loop.time() == before

    run_stepped(main)
