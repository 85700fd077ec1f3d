from __future__ import annotations

import asyncio
import inspect

import pytest

from underpass.cli import running


async def work() -> int:
    await asyncio.sleep(0)
    return 7


def test_the_exit_code_is_the_work_s():
    assert running.run(work()) == 7


def test_an_interrupt_before_it_begins_leaves_no_work_that_was_never_awaited(monkeypatch):
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_calm_collector", interrupt)
    unbegun = work()
    with pytest.raises(KeyboardInterrupt):
        running.run(unbegun)
    assert inspect.getcoroutinestate(unbegun) == inspect.CORO_CLOSED
