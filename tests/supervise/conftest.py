"""A supervisor with everything real but the wire: gatehouse, origin, public door, prover."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from underpass.drivers.base import LinkPhase, LinkView, Opened
from underpass.gatehouse.books import ExchangeRecord
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.gatehouse.ports import Carrier
from underpass.guard.gates import forge
from underpass.model.spec import TunnelSpec, parse_spec
from underpass.prove.door import Door, PublicAddress
from underpass.prove.http_probe import HttpProbe
from underpass.prove.probes import Identity, Probes
from underpass.supervise.parts import House, Parts
from underpass.supervise.supervisor import Supervisor

KEY = bytes(range(32))


def _load_edge() -> ModuleType:
    # Tests are imported by path, so a module of other tests has to be, too.
    name = "underpass_tests_edge"
    if name not in sys.modules:
        path = Path(__file__).parent.parent / "prove" / "edge.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


edge_module = _load_edge()


class LoopbackEngine:
    """An engine whose public side is one port of this process."""

    name = "loopback"

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._listeners: list[Callable[[LinkView], None]] = []
        self.edge = edge_module.Edge(None)
        self.refusals: list[Exception] = []
        """Raised by the next calls of ``open``, one each."""
        self.opened = 0
        self.closed = 0
        self.granted: float | None = None
        """The end the public side grants, instead of what is asked for."""

    async def open(self, carrier: Carrier, spec: TunnelSpec) -> Opened:
        self.opened += 1
        if self.refusals:
            raise self.refusals.pop(0)
        self.edge.carrier = carrier
        await self.edge.start()
        lease_end = self.granted or self._clock.unix() + spec.lease.seconds
        return Opened(self.edge.url, spec.name, lease_end)

    def observe(self, listener: Callable[[LinkView], None]) -> LinkView:
        self._listeners.append(listener)
        return LinkView(LinkPhase.DIALLING)

    def say(self, view: LinkView) -> None:
        for listener in self._listeners:
            listener(view)

    async def renew(self, lease_end: float) -> float:
        return self.granted or lease_end

    async def close(self) -> None:
        self.closed += 1
        await self.edge.stop()


class Kept:
    """One tunnel under a supervisor, and what was told about it."""

    def __init__(self, spec: TunnelSpec, clock: Any, **options: Any) -> None:
        self.clock = clock
        self.spec = spec
        self.engine = LoopbackEngine(clock)
        forged = forge(spec.gates, public=spec.public)
        token = forged.secrets.get("bearer")
        self.token = token.reveal() if token else None
        self._guard = forged.guard
        parts = Parts(self._make_house, self._make_probes, options.pop("command", ()))
        self.supervisor = Supervisor(
            spec, self.engine, parts, clock=clock, jitter=lambda: 0.0, **options
        )
        self.changes = self.supervisor.subscribe()

    def _make_house(self, on_exchange: Callable[[ExchangeRecord], None]) -> House:
        settings = GatehouseSettings(self.spec.origin, self.spec.kind, "tools", "one", KEY)
        return Gatehouse(settings, self._guard, on_exchange=on_exchange, wall_clock=self.clock.unix)

    def _make_probes(self, opened: Opened, house: House) -> Probes:
        return HttpProbe(
            Door(PublicAddress.parse(opened.public_url)),
            Identity("tools", "one", KEY),
            self.clock,
            stranger=None,
            gate_kinds=tuple(gate.kind for gate in self.spec.gates),
            seconds=4.0,
        )

    async def wait_event(self, event: str) -> dict[str, Any]:
        """Read changes until one is ``event``."""
        async with asyncio.timeout(5.0):
            async for change in self.changes:
                if change["event"] == event:
                    return dict(change)
        raise AssertionError(f"the changes ended before {event!r}")

    async def rest(self) -> list[str]:
        """The words of all changes that are still to come."""
        async with asyncio.timeout(5.0):
            return [str(change["event"]) async for change in self.changes]

    async def visit(self) -> int:
        status: int = await edge_module.ask(self.engine.edge.url, token=self.token)
        return status


Keep = Callable[..., Coroutine[Any, Any, Kept]]


async def answer_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An origin that answers every request with 200."""
    while not reader.at_eof():
        try:
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


@pytest.fixture
async def origin() -> AsyncIterator[Any]:
    """An origin that answers."""
    server = edge_module.Server(answer_hello)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def keep(origin: Any) -> AsyncIterator[Keep]:
    """Make tunnels before the origin, with more words of a spec; closed when the test ends."""
    async with AsyncExitStack() as stack:

        async def make(words: str = "", **options: Any) -> Kept:
            spec = parse_spec(f"http://127.0.0.1:{origin.port} --name tools {words}")
            kept = Kept(spec, options.pop("clock", None) or edge_module.SteppedClock(), **options)
            stack.push_async_callback(kept.supervisor.close)
            return kept

        yield make
