from __future__ import annotations

import asyncio

import pytest

from underpass.drivers.base import LinkPhase, LinkView
from underpass.drivers.errors import EngineAway, EngineRefused
from underpass.drivers.keeper import Tell
from underpass.drivers.observations import Carrying, Faltering, Refusal
from underpass.drivers.wireguard.errors import InterfaceRefused
from underpass.drivers.wireguard.run import KernelRun

PATIENCE = 5.0


class Attendant:
    """Looks after an interface as the test tells it to."""

    def __init__(self) -> None:
        self.said: list[LinkView] = []
        self.begun = asyncio.Event()
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.run = KernelRun("wireguard", "http://10.77.0.2:80", self.attend, self.said.append)

    async def attend(self, tell: Tell) -> None:
        self.tell = tell
        self.begun.set()
        await self.end


async def started() -> tuple[Attendant, asyncio.Task[str]]:
    attendant = Attendant()
    starting = asyncio.create_task(attendant.run.start())
    async with asyncio.timeout(PATIENCE):
        await attendant.begun.wait()
    return attendant, starting


async def test_it_carries_when_that_is_told_and_follows_what_is_told_later() -> None:
    attendant, starting = await started()
    attendant.tell(Faltering("stale"))  # nothing was there to be lost
    attendant.tell(Carrying())
    assert await starting == "http://10.77.0.2:80"
    attendant.tell(Carrying())
    attendant.tell(Faltering("stale", "relay: silent"))
    attendant.tell(Carrying())
    assert [view.phase for view in attendant.said] == [
        LinkPhase.ATTACHED,
        LinkPhase.LOST,
        LinkPhase.ATTACHED,
    ]
    assert attendant.said[1].code == "stale"
    await attendant.run.close()
    await attendant.run.close()
    assert attendant.end.cancelled()


@pytest.mark.parametrize(("fatal", "kind"), [(True, EngineRefused), (False, EngineAway)])
async def test_a_refusal_ends_the_opening(
    fatal: bool, kind: type[EngineRefused | EngineAway]
) -> None:
    attendant, starting = await started()
    attendant.tell(Refusal("wrong-key", "relay: no", "compare keys", fatal))
    with pytest.raises(kind, match="relay: no") as caught:
        await starting
    assert caught.value.hint == "compare keys"
    await attendant.run.close()


async def test_an_interface_that_is_refused_later_ends_the_tunnel() -> None:
    attendant, starting = await started()
    attendant.tell(Carrying())
    await starting
    attendant.end.set_exception(InterfaceRefused("upw-x", "it was removed"))
    async with asyncio.timeout(PATIENCE):
        while len(attendant.said) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert attendant.said[1].phase is LinkPhase.ENDED
    assert attendant.said[1].code == "interface-refused"
    await attendant.run.close()


async def test_looking_after_it_that_breaks_is_no_silence(caplog: pytest.LogCaptureFixture) -> None:
    attendant, starting = await started()
    attendant.end.set_exception(ZeroDivisionError())
    with pytest.raises(EngineAway, match="ZeroDivisionError"):
        await starting
    assert "broke" in caplog.text
    await attendant.run.close()
