from __future__ import annotations

import asyncio

import pytest

from underpass.relay.server.turns import Turns


async def test_turns_of_one_name_follow_each_other() -> None:
    turns, seen = Turns(), []

    async def work(number: int) -> None:
        async with turns.turn("tools"):
            seen.append(("in", number))
            await asyncio.sleep(0)
            seen.append(("out", number))

    await asyncio.gather(*(work(number) for number in range(3)))
    assert seen == [(what, number) for number in range(3) for what in ("in", "out")]
    assert len(turns) == 0


async def test_turns_of_different_names_do_not_wait() -> None:
    turns = Turns()
    async with turns.turn("a"), turns.turn("b"):
        assert len(turns) == 2
    assert len(turns) == 0


async def test_a_cancelled_wait_leaves_nothing() -> None:
    turns = Turns()
    async with turns.turn("a"):
        waiting = asyncio.ensure_future(turns.turn("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert len(turns) == 0


async def test_an_error_gives_the_turn_up() -> None:
    turns = Turns()
    with pytest.raises(LookupError):
        async with turns.turn("a"):
            raise LookupError
    async with turns.turn("a"):
        pass
    assert len(turns) == 0
