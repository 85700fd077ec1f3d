"""One tunnel over a true relay, links and all: each layer breaks, is named, and heals by itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.drivers.base import Opened
from underpass.drivers.relay import RelayEngine
from underpass.gatehouse.books import ExchangeRecord
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.guard.gates import forge
from underpass.model.lifecycle import TunnelState
from underpass.model.options import RelayAccess, RelayOptions
from underpass.model.spec import TunnelSpec, parse_spec
from underpass.model.verdict import Layer
from underpass.prove.clock import SystemClock
from underpass.prove.door import Door, PublicAddress
from underpass.prove.http_probe import HttpProbe
from underpass.prove.probes import Identity, Probes
from underpass.prove.strangers import foreign_address
from underpass.prove.tcp_doors import PublicPort
from underpass.prove.tcp_probe import TcpProbe
from underpass.relay.connector.address import parse_relay
from underpass.relay.server.key_text import key_text
from underpass.relay.server.serve import RunningRelay, serve
from underpass.supervise.parts import House, Parts
from underpass.supervise.supervisor import Supervisor

edge = sys.modules["underpass_tests_edge"]

KEY = bytes(range(32))


class Site:
    """A relay, an origin, and the tunnels between them."""

    def __init__(self, directory: Path, origin: Any) -> None:
        self.origin = origin
        self.key = Ed25519PrivateKey.generate()
        self.token: str | None = None
        self.engine: RelayEngine
        self._directory = directory
        self._port = 0
        self.relay: RunningRelay | None = None

    async def start_relay(self) -> None:
        keys = self._directory / "authorised-keys"
        keys.write_text(key_text(self.key.public_key().public_bytes_raw()) + "\n")
        options = RelayOptions(
            state_dir=self._directory / "relay",
            listen=("127.0.0.1", self._port),
            dev=True,
            authorised_keys=keys,
        )
        self.relay = await serve(options)
        self._port = int(self.relay.public_url.rsplit(":", 1)[1])

    async def stop_relay(self) -> None:
        if self.relay is not None:
            await self.relay.close()
            self.relay = None

    def supervise(self, words: str) -> Supervisor:
        spec = parse_spec(words)
        forged = forge(spec.gates, public=spec.public)
        token = forged.secrets.get("bearer")
        self.token = token.reveal() if token else None
        address = parse_relay(RelayAccess(url=f"http://127.0.0.1:{self._port}"))
        self.engine = RelayEngine(address, self.key, commitment=forged.guard.commitment())
        settings = GatehouseSettings(spec.origin, spec.kind, "tools", "one", KEY)

        def make_house(on_exchange: Callable[[ExchangeRecord], None]) -> House:
            return Gatehouse(settings, forged.guard, on_exchange=on_exchange)

        def make_probes(opened: Opened, house: House) -> Probes:
            assert isinstance(house, Gatehouse)
            return _probes(spec, opened, house)

        return Supervisor(spec, self.engine, Parts(make_house, make_probes))

    async def visit(self, supervisor: Supervisor) -> int:
        url = supervisor.status().url
        assert url is not None
        status: int = await edge.ask(url, token=self.token)
        return status


def _probes(spec: TunnelSpec, opened: Opened, house: Gatehouse) -> Probes:
    door, identity = Door(PublicAddress.parse(opened.public_url)), Identity("tools", "one", KEY)
    stranger = foreign_address(spec.cidrs) if spec.cidrs else None
    if opened.public_url.startswith("tcp:"):
        return TcpProbe(PublicPort(door), house, identity, SystemClock(), stranger=stranger)
    kinds = tuple(gate.kind for gate in spec.gates)
    return HttpProbe(door, identity, SystemClock(), stranger=stranger, gate_kinds=kinds)


async def wait_change(changes: Any, event: str, layer: str | None = None) -> dict[str, Any]:
    async with asyncio.timeout(20.0):
        async for change in changes:
            if change["event"] == event and layer in (None, change.get("layer")):
                return dict(change)
    raise AssertionError(f"the changes ended before {event!r}")


@pytest.fixture
async def site(tmp_path: Path, origin: Any) -> AsyncIterator[Site]:
    """A relay that runs."""
    it = Site(tmp_path, origin)
    await it.start_relay()
    yield it
    await it.stop_relay()


async def test_a_tunnel_is_proved_serves_and_leaves_nothing(site: Site) -> None:
    before = asyncio.all_tasks()
    supervisor = site.supervise(f"{site.origin.port} --name tools")
    verdict = await supervisor.open(10.0)
    assert verdict.ok
    assert await site.visit(supervisor) == 200
    url = supervisor.status().url
    await supervisor.close()
    assert await edge.ask(url, token=site.token) == 503
    assert asyncio.all_tasks() <= before


async def test_a_tcp_tunnel_with_an_ip_gate_is_proved_on_its_port(site: Site) -> None:
    words = f"tcp://127.0.0.1:{site.origin.port} --gate ip:127.0.0.0/8"
    supervisor = site.supervise(words)
    verdict = await supervisor.open(10.0)
    assert verdict.ok
    assert site.origin.connections == 1  # the first proof's; nothing since
    await supervisor.close()


async def test_a_relay_that_dies_is_named_and_its_return_is_seen(site: Site) -> None:
    supervisor = site.supervise(f"{site.origin.port} --name tools")
    changes = supervisor.subscribe()
    await supervisor.open(10.0)
    await wait_change(changes, "live")
    await site.stop_relay()
    await wait_change(changes, "link-lost")
    await wait_change(changes, "failing", "relay")
    await site.start_relay()
    await wait_change(changes, "link-restored")
    await wait_change(changes, "live")
    assert await site.visit(supervisor) == 200
    await supervisor.close()


async def test_a_refusing_origin_is_named_when_seen_and_heals(site: Site) -> None:
    supervisor = site.supervise(f"{site.origin.port} --name tools")
    changes = supervisor.subscribe()
    await supervisor.open(10.0)
    await wait_change(changes, "live")
    await site.origin.stop()
    assert await site.visit(supervisor) == 503
    verdict = supervisor.status().verdict
    assert verdict is not None
    assert verdict.layer is Layer.ORIGIN
    await site.origin.start()
    await wait_change(changes, "live")
    await supervisor.close()


async def test_the_older_of_two_instances_stands_down_and_the_newer_lives(site: Site) -> None:
    older = site.supervise(f"{site.origin.port} --name tools")
    await older.open(10.0)
    newer = site.supervise(f"{site.origin.port} --name tools")
    assert (await newer.open(10.0)).ok
    assert await asyncio.wait_for(older.wait_closed(), 20.0) == "superseded"
    assert newer.status().state is TunnelState.LIVE
    assert await site.visit(newer) == 200
    await newer.close()
