"""The whole prover before a true gatehouse: a layer breaks, the verdict names it, and recovers.

Time is stepped; connections are real.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from underpass.drivers.base import LinkPhase, LinkView
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.guard.gates import Guard
from underpass.model.origin import parse_origin
from underpass.model.verdict import Layer, LayerStatus, Verdict
from underpass.prove import findings
from underpass.prove.prover import Prover
from underpass.prove.schedule import CLOSED_INTERVAL, LIVE_INTERVAL, MIN_GAP, RETRIES, Schedule
from underpass.prove.verdicts import Evidence

edge = sys.modules["underpass_tests_edge"]

LOST = LinkView(LinkPhase.LOST, "link-lost")
ATTACHED = LinkView(LinkPhase.ATTACHED)


class Watched:
    """A tunnel, its prover, and every verdict it gave."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.verdicts: list[Verdict] = []
        self._news = asyncio.Event()
        self.tunnel: Any = None
        self.prover: Prover

    def judge(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self._news.set()

    @property
    def now(self) -> Verdict:
        return self.prover.verdict()

    async def wait_until(self, holds: Callable[[Verdict], bool]) -> Verdict:
        """Wait for a verdict, without moving time."""
        async with asyncio.timeout(5.0):
            while not (self.verdicts and holds(self.verdicts[-1])):
                self._news.clear()
                await self._news.wait()
        return self.verdicts[-1]

    async def wait_well(self) -> None:
        await self.wait_until(lambda verdict: verdict.ok)

    async def wait_fault(self, layer: Layer) -> str:
        verdict = await self.wait_until(lambda verdict: verdict.layer is layer)
        assert verdict.fault is not None
        return verdict.fault.code

    async def visit(self) -> int:
        status: int = await edge.ask(self.tunnel.edge.url, token=self.tunnel.token)
        return status


@pytest.fixture
async def watched(open_tunnel: Any) -> AsyncIterator[Watched]:
    """A bearer tunnel that has been proved."""
    clock = edge.SteppedClock()
    it = Watched(clock)
    it.tunnel = await open_tunnel(
        "bearer",
        wall_clock=clock.unix,
        on_exchange=lambda record: it.prover.exchange_ended(record),
    )
    schedule = Schedule(clock.now())
    evidence = Evidence(
        public=False,
        live_interval=schedule.live_interval,
        closed_interval=schedule.closed_interval,
    )
    probes = it.tunnel.probe(clock=clock, seconds=4.0)
    it.prover = Prover(probes, schedule, evidence, clock, on_verdict=it.judge)
    it.prover.start()
    await it.wait_well()
    yield it
    await it.prover.close()
    assert clock.timers == 0


async def test_a_tunnel_is_well_once_probed_and_found_closed(watched: Watched) -> None:
    assert watched.now.ok
    assert watched.now.layers[Layer.GATE].status is LayerStatus.PASSED
    assert not any(verdict.layer for verdict in watched.verdicts)


async def test_a_refusing_origin_is_named_when_a_visitor_meets_it_and_heals_by_itself(
    watched: Watched,
) -> None:
    await watched.tunnel.origin.stop()
    assert await watched.visit() == 503
    assert watched.now.layer is Layer.ORIGIN
    assert await watched.wait_fault(Layer.ORIGIN) == "origin-away"
    await watched.tunnel.origin.start()
    watched.clock.advance(MIN_GAP)
    watched.clock.advance(RETRIES[0])
    await watched.wait_well()


async def test_a_visitor_who_meets_the_origin_again_heals_it_at_once(watched: Watched) -> None:
    await watched.tunnel.origin.stop()
    await watched.visit()
    await watched.wait_fault(Layer.ORIGIN)
    await watched.tunnel.origin.start()
    assert await watched.visit() == 200
    await watched.wait_well()


async def test_a_silent_tunnel_whose_origin_is_gone_is_found_within_two_intervals(
    watched: Watched,
) -> None:
    await watched.tunnel.origin.stop()
    watched.clock.advance(LIVE_INTERVAL)
    assert await watched.wait_fault(Layer.ORIGIN) == "origin-away"


async def test_a_relay_that_is_gone_is_named_and_its_return_is_seen(watched: Watched) -> None:
    await watched.tunnel.edge.stop()
    watched.clock.advance(LIVE_INTERVAL)
    assert await watched.wait_fault(Layer.RELAY) == findings.CONNECTION_REFUSED
    await watched.tunnel.edge.start()
    watched.clock.advance(RETRIES[0])
    await watched.wait_well()


@pytest.mark.parametrize(
    ("code", "layer"),
    [("connector-away", Layer.LINK), ("no-such-tunnel", Layer.RELAY)],
)
async def test_what_the_relay_says_is_named_and_heals(
    watched: Watched, code: str, layer: Layer
) -> None:
    watched.tunnel.edge.says = code
    watched.clock.advance(LIVE_INTERVAL)
    assert await watched.wait_fault(layer) == code
    watched.tunnel.edge.says = None
    watched.clock.advance(RETRIES[0])
    await watched.wait_well()


async def test_a_gatehouse_in_its_place_is_named(watched: Watched) -> None:
    ours = watched.tunnel.edge.carrier
    watched.tunnel.edge.raw = (
        b"HTTP/1.1 200 OK\r\nUnderpass-Proof-Answer: v1.x\r\nContent-Length: 2\r\n\r\n{}"
    )
    watched.clock.advance(LIVE_INTERVAL)
    assert await watched.wait_fault(Layer.GATEHOUSE) == findings.PROOF_FORGED
    watched.tunnel.edge.raw, watched.tunnel.edge.carrier = None, ours
    watched.clock.advance(RETRIES[0])
    await watched.wait_well()


async def test_a_lost_link_is_named_at_once_and_a_regained_one_is_proved_at_once(
    watched: Watched,
) -> None:
    watched.prover.link_changed(LOST)
    assert watched.verdicts[-1].layer is Layer.LINK
    await watched.wait_fault(Layer.LINK)
    watched.clock.advance(1.0)
    watched.prover.link_changed(ATTACHED)
    assert not watched.now.ok
    watched.clock.advance(MIN_GAP)
    await watched.wait_well()


async def test_a_gate_that_stands_open_is_found_however_busy_the_tunnel_is(
    watched: Watched,
) -> None:
    where = parse_origin(f"http://127.0.0.1:{watched.tunnel.origin.port}")
    settings = GatehouseSettings(where, where.kind, "tools", "one", watched.tunnel.identity.key)
    careless = Gatehouse(
        settings,
        Guard([], public=True),
        wall_clock=watched.clock.unix,
        on_exchange=watched.prover.exchange_ended,
    )
    careful, watched.tunnel.edge.carrier = watched.tunnel.edge.carrier, careless
    for _ in range(int(CLOSED_INTERVAL / 10)):
        watched.clock.advance(10.0)
        assert await watched.visit() == 200
    assert await watched.wait_fault(Layer.GATE) == findings.GATE_OPEN
    watched.tunnel.edge.carrier = careful
    watched.clock.advance(RETRIES[0])
    await watched.wait_well()
    careless.close()


async def test_a_busy_tunnel_is_not_probed(watched: Watched) -> None:
    proofs = watched.tunnel.gatehouse.statistics().proofs
    for _ in range(5):
        watched.clock.advance(LIVE_INTERVAL - 5)
        assert await watched.visit() == 200
    assert watched.tunnel.gatehouse.statistics().proofs == proofs
    assert watched.now.ok


async def test_strangers_who_are_refused_prove_nothing(watched: Watched) -> None:
    proofs = watched.tunnel.gatehouse.statistics().proofs
    watched.clock.advance(LIVE_INTERVAL - 1)
    assert await edge.ask(watched.tunnel.edge.url) == 401
    watched.clock.advance(1.0)
    told = len(watched.verdicts)
    await watched.wait_until(lambda _: len(watched.verdicts) > told)
    assert watched.tunnel.gatehouse.statistics().proofs == proofs + 1


async def test_a_machine_that_slept_no_longer_believes_its_old_proof(watched: Watched) -> None:
    told = len(watched.verdicts)
    watched.clock.sleep(3600.0)
    assert not watched.now.ok
    watched.clock.advance(0.0)
    await watched.wait_until(lambda verdict: verdict.ok and len(watched.verdicts) > told)
    assert any(verdict.fault for verdict in watched.verdicts[told:])


async def test_a_proof_can_be_asked_for_now(watched: Watched) -> None:
    await watched.tunnel.edge.stop()
    verdict = await watched.prover.prove()
    assert verdict.layer is Layer.RELAY
    assert watched.verdicts[-1] is verdict


async def test_a_closed_prover_leaves_no_task_and_tells_nothing_more(watched: Watched) -> None:
    watched.tunnel.edge.is_silent = True
    watched.clock.advance(LIVE_INTERVAL)
    told = len(watched.verdicts)
    await watched.prover.close()
    await watched.prover.close()
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not any("proof" in name for name in names)
    watched.prover.link_changed(LOST)
    assert len(watched.verdicts) == told
