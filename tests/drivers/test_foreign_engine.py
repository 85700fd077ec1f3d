"""A foreign program as an engine: started, read, restarted, ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from underpass.drivers.base import LinkPhase, LinkView
from underpass.drivers.errors import EngineAway, EngineKeepsEnding, EngineRefused
from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.observations import Observation, Refusal
from underpass.drivers.plans import Site
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.guard.gates import forge
from underpass.model.spec import TunnelSpec, parse_spec
from underpass.testing.loopback_engine import LoopbackDriver

Make = Callable[..., ForeignEngine]


class Views(list[LinkView]):
    """What an engine said of its link, and waiting for more."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def hear(self, view: LinkView) -> None:
        self.append(view)
        self._news.set()

    async def until(self, phase: LinkPhase, code: str = "") -> LinkView:
        async with asyncio.timeout(15.0):
            while True:
                for view in self:
                    if view.phase is phase and code in ("", view.code):
                        self.clear()
                        return view
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def house(spec: TunnelSpec) -> AsyncIterator[Gatehouse]:
    settings = GatehouseSettings(spec.origin, spec.kind, "tools", "one", bytes(32))
    house = Gatehouse(settings, forge(spec.gates, public=spec.public).guard)
    yield house
    house.close()


@pytest.fixture
def spec() -> TunnelSpec:
    return parse_spec("1")


@pytest.fixture
async def make(tmp_path: Path, spec: TunnelSpec) -> AsyncIterator[Make]:
    made: list[ForeignEngine] = []

    def make(**options: str) -> ForeignEngine:
        site = Site("tools", tmp_path, options=options, environment=os.environ)
        made.append(ForeignEngine(LoopbackDriver(), spec, site, jitter=lambda: 0.01))
        return made[-1]

    yield make
    for engine in made:
        await engine.close()


async def ask(url: str) -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(10.0):
        answer = await reader.read()
    writer.close()
    return answer


async def test_visitors_come_through_the_program_to_the_gatehouse(
    make: Make, house: Gatehouse, spec: TunnelSpec
) -> None:
    engine = make()
    opened = await engine.open(house, spec)
    assert opened.name == "tools"
    assert (await ask(opened.public_url)).startswith(b"HTTP/1.1 401 ")


async def test_a_killed_program_is_started_again_and_both_are_told(
    make: Make, house: Gatehouse, spec: TunnelSpec
) -> None:
    engine, views = make(), Views()
    engine.observe(views.hear)
    await engine.open(house, spec)
    assert engine.program is not None
    os.kill(engine.program.pid, signal.SIGKILL)
    lost = await views.until(LinkPhase.LOST)
    assert "exit code 137" in lost.detail
    back = await views.until(LinkPhase.ATTACHED)
    assert (await ask(back.public_url)).startswith(b"HTTP/1.1 401 ")


async def test_a_frozen_program_is_told_and_so_is_its_thaw(
    make: Make, house: Gatehouse, spec: TunnelSpec
) -> None:
    engine, views = make(), Views()
    engine.observe(views.hear)
    await engine.open(house, spec)
    assert engine.program is not None
    os.kill(engine.program.pid, signal.SIGSTOP)
    await views.until(LinkPhase.LOST, "engine-frozen")
    os.kill(engine.program.pid, signal.SIGCONT)
    await views.until(LinkPhase.ATTACHED)


async def test_a_frozen_program_ends_with_its_engine(
    make: Make, house: Gatehouse, spec: TunnelSpec
) -> None:
    engine = make()
    await engine.open(house, spec)
    assert engine.program is not None
    pid = engine.program.pid
    os.kill(pid, signal.SIGSTOP)
    await engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_exit_code_0_is_a_failure_and_opens_the_circuit(
    make: Make, house: Gatehouse, spec: TunnelSpec
) -> None:
    engine, views = make(habit="quits"), Views()
    engine.observe(views.hear)
    await engine.open(house, spec)
    ended = await views.until(LinkPhase.ENDED)
    assert isinstance(ended.error, EngineKeepsEnding)
    assert ended.error.message.startswith(
        "cannot keep loopback running: it ended 5 times in 60 s "
        "(it ended with exit code 0: carrying "
    )


async def test_a_wrong_credential_is_final(make: Make, house: Gatehouse, spec: TunnelSpec) -> None:
    with pytest.raises(EngineRefused, match="the credential is unknown"):
        await make(habit="refused").open(house, spec)


async def test_a_taken_port_may_be_free_later(
    make: Make, house: Gatehouse, spec: TunnelSpec, unused_tcp_port_factory: Any
) -> None:
    port = unused_tcp_port_factory()
    holder = await asyncio.start_server(lambda r, w: None, "127.0.0.1", port)
    engine = make(port=str(port))
    with pytest.raises(EngineAway, match=f"port {port} is taken"):
        await engine.open(house, spec)
    holder.close()
    await holder.wait_closed()
    assert (await engine.open(house, spec)).public_url == f"http://127.0.0.1:{port}"


async def test_garbage_before_its_words_is_read_over(
    make: Make, house: Gatehouse, spec: TunnelSpec
) -> None:
    opened = await make(habit="garbage").open(house, spec)
    assert (await ask(opened.public_url)).startswith(b"HTTP/1.1 401 ")


class Grumbler(LoopbackDriver):
    """Takes what comes before its words for a reason not to carry."""

    def read(self, line: str) -> Observation | None:
        return super().read(line) or Refusal("far-end-unreachable", "it does not answer yet")


async def test_what_was_said_before_it_carried_is_not_why_it_ends(
    spec: TunnelSpec, tmp_path: Path, house: Gatehouse
) -> None:
    site = Site("tools", tmp_path, options={"habit": "garbage"}, environment=os.environ)
    engine, views = ForeignEngine(Grumbler(), spec, site, jitter=lambda: 0.01), Views()
    engine.observe(views.hear)
    await engine.open(house, spec)
    assert engine.program is not None
    os.kill(engine.program.pid, signal.SIGKILL)
    lost = await views.until(LinkPhase.LOST)
    await engine.close()
    assert lost.code == "engine-ended"


async def test_nothing_is_left_after_close(
    make: Make, house: Gatehouse, spec: TunnelSpec, tmp_path: Path
) -> None:
    engine = make()
    opened = await engine.open(house, spec)
    assert engine.program is not None
    pid = engine.program.pid
    await engine.close()
    await engine.close()
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)
    with pytest.raises(OSError):
        await ask(opened.public_url)
    assert os.listdir(tmp_path) == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_program_that_lingers_after_its_refusal_is_ended(
    tmp_path: Path, spec: TunnelSpec, house: Gatehouse
) -> None:
    class Lingering(LoopbackDriver):
        def read(self, line: str) -> Observation | None:
            return Refusal("name-taken", "somebody else has it", lingers=True)

    engine = ForeignEngine(Lingering(), spec, Site("tools", tmp_path, environment=os.environ))
    with pytest.raises(EngineAway, match="somebody else has it"):
        async with asyncio.timeout(15.0):
            await engine.open(house, spec)
    assert engine.program is None
