"""Each layer of a tcp tunnel is broken in turn; the probe must name it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from underpass.drivers.base import ByteWire
from underpass.gatehouse.ports import Peer, Visitor
from underpass.guard.secrets import Secret
from underpass.model.errors_relay import RelayCertificateWrong, RelayUnreachable
from underpass.model.verdict import Layer, LayerStatus
from underpass.prove import findings
from underpass.prove.clock import SystemClock
from underpass.prove.door import Door, PublicAddress
from underpass.prove.tcp_doors import PublicPort, ReachDoor
from underpass.prove.tcp_probe import TcpProbe
from underpass.prove.verdicts import Outcome
from underpass.relay.connector.reach_connection import ReachRefused

PASSED, FAILED, SKIPPED = LayerStatus.PASSED, LayerStatus.FAILED, LayerStatus.SKIPPED


def statuses(outcome: Outcome) -> dict[Layer, LayerStatus]:
    return {layer: result.status for layer, result in outcome.layers.items()}


def fault(outcome: Outcome) -> tuple[Layer | None, str]:
    layer = outcome.failed
    return layer, "" if layer is None else outcome.layers[layer].code


class Database:
    """An origin that speaks first, and remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ready\n")
        while data := await reader.read(4096):
            self.heard.append(data)


def through_port(tunnel: Any, *, stranger: str | None = None, seconds: float = 3.0) -> TcpProbe:
    door = PublicPort(Door(PublicAddress(False, "127.0.0.1", tunnel.edge.port)))
    return TcpProbe(
        door,
        tunnel.gatehouse,
        tunnel.identity,
        SystemClock(),
        stranger=stranger,
        seconds=seconds,
    )


async def open_port(open_tunnel: Any, database: Database, *gates: str) -> Any:
    return await open_tunnel(*gates, scheme="tcp", handler=database.serve)


async def test_a_periodic_probe_ends_at_the_gatehouse(open_tunnel: Any) -> None:
    database = Database()
    tunnel = await open_port(open_tunnel, database)
    outcome = await through_port(tunnel).live(reach_origin=False)
    assert statuses(outcome) == {
        Layer.NAME: PASSED,
        Layer.TLS: SKIPPED,
        Layer.RELAY: PASSED,
        Layer.LINK: PASSED,
        Layer.GATEHOUSE: PASSED,
    }
    assert tunnel.origin.connections == 0


async def test_the_first_probe_goes_on_to_the_origin(open_tunnel: Any) -> None:
    database = Database()
    tunnel = await open_port(open_tunnel, database)
    outcome = await through_port(tunnel).live()
    assert statuses(outcome)[Layer.ORIGIN] is PASSED
    assert database.heard == []


async def test_a_refusing_origin_fails_the_origin(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database())
    await tunnel.origin.stop()
    outcome = await through_port(tunnel).live()
    assert fault(outcome) == (Layer.ORIGIN, "origin-away")


async def test_an_ip_gate_is_proved_with_a_foreign_address(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database(), "ip:127.0.0.0/8")
    outcome = await through_port(tunnel, stranger="192.0.2.1").closed()
    assert statuses(outcome)[Layer.GATE] is PASSED
    assert tunnel.origin.connections == 0


async def test_an_ip_gate_that_admits_the_stranger_is_open(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database(), "ip:127.0.0.0/8,192.0.2.0/24")
    outcome = await through_port(tunnel, stranger="192.0.2.1").closed()
    assert fault(outcome) == (Layer.GATE, findings.GATE_OPEN)


async def test_a_guard_without_the_gate_it_should_have_proves_nothing(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database())
    outcome = await through_port(tunnel, stranger="192.0.2.1").closed()
    assert fault(outcome) == (Layer.GATE, findings.GATE_UNPROVEN)


async def test_a_gate_without_any_stranger_is_no_gate(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database(), "ip:127.0.0.0/8")
    outcome = await through_port(tunnel).closed()
    assert fault(outcome) == (Layer.GATE, findings.GATE_ADMITS_EVERYBODY)


async def test_a_port_that_refuses_connections_fails_the_relay(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database())
    await tunnel.edge.stop()
    outcome = await through_port(tunnel).live()
    assert fault(outcome) == (Layer.RELAY, findings.CONNECTION_REFUSED)


async def test_a_stream_that_is_cut_fails_the_link(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database())
    tunnel.edge.cuts = True
    outcome = await through_port(tunnel).live()
    assert fault(outcome) == (Layer.LINK, findings.ANSWER_CUT)


async def test_another_server_on_the_port_fails_the_gatehouse(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database())
    tunnel.edge.echoes = True
    outcome = await through_port(tunnel).live()
    assert fault(outcome) == (Layer.GATEHOUSE, findings.PROOF_FORGED)


async def test_the_gatehouse_of_another_instance_fails_the_gatehouse(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database())
    tunnel.instance = "two"
    outcome = await through_port(tunnel).live()
    assert fault(outcome) == (Layer.GATEHOUSE, findings.PROOF_FORGED)


# By reach


class Reaching:
    """An engine whose reach connections lead straight into a gatehouse."""

    def __init__(self, tunnel: Any) -> None:
        self.tunnel = tunnel
        self.fails: Exception | None = None
        self.is_deaf = False

    async def dial_reach(self, token: str) -> ByteWire:
        if self.fails is not None:
            raise self.fails
        wire = ReachWire()
        if not self.is_deaf:
            visitor: Visitor = wire
            wire.exchange = self.tunnel.gatehouse.open_reach(visitor, Peer("127.0.0.1"), token)
        return wire


class ReachWire:
    """Both ends of one reach connection."""

    room = 1 << 20

    def __init__(self) -> None:
        self.exchange: Any = None
        self._inbox: asyncio.Queue[bytes | str] = asyncio.Queue()

    async def send(self, data: bytes) -> None:
        if self.exchange is not None:
            self.exchange.data_received(data)

    async def receive(self) -> bytes:
        item = await self._inbox.get()
        if isinstance(item, str):
            raise ReachRefused(name="tools", why=item)
        return item

    async def close(self) -> None:
        if self.exchange is not None:
            self.exchange.visitor_left("visitor-left")

    def send_data(self, data: bytes) -> bool:
        self._inbox.put_nowait(data)
        return True

    def send_end(self) -> None:
        self._inbox.put_nowait(b"")

    def abort(self, code: str) -> None:
        self._inbox.put_nowait(code)

    def stop(self, code: str) -> None:
        """The stream is cut as a whole."""

    def drained(self, count: int) -> None:
        """Nothing holds back."""


def by_reach(tunnel: Any, engine: Reaching, *, token: str | None = None) -> TcpProbe:
    door = ReachDoor(engine, Secret(token or tunnel.token), secure=True)
    return TcpProbe(door, tunnel.gatehouse, tunnel.identity, SystemClock(), seconds=0.5)


async def test_a_gated_tunnel_is_proved_by_reach(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database(), "bearer")
    probe = by_reach(tunnel, Reaching(tunnel))
    outcome = await probe.live()
    assert outcome.failed is None
    assert set(outcome.layers) == set(Layer) - {Layer.GATE}
    assert statuses(await probe.closed()) == {
        Layer.NAME: PASSED,
        Layer.TLS: PASSED,
        Layer.RELAY: PASSED,
        Layer.GATE: PASSED,
    }


async def test_a_wrong_token_that_is_let_in_is_an_open_gate(open_tunnel: Any) -> None:
    database = Database()
    tunnel = await open_port(open_tunnel, database)
    outcome = await by_reach(tunnel, Reaching(tunnel), token="any").closed()
    assert fault(outcome) == (Layer.GATE, findings.GATE_OPEN)


async def test_a_token_of_ours_that_is_refused_fails_the_gatehouse(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database(), "bearer")
    outcome = await by_reach(tunnel, Reaching(tunnel), token="another").live()
    assert fault(outcome) == (Layer.GATEHOUSE, findings.PROOF_NOT_TAKEN)


async def test_a_reach_that_is_never_answered_fails_the_link(open_tunnel: Any) -> None:
    tunnel = await open_port(open_tunnel, Database(), "bearer")
    engine = Reaching(tunnel)
    engine.is_deaf = True
    outcome = await by_reach(tunnel, engine).live()
    assert fault(outcome) == (Layer.LINK, findings.NO_ANSWER)
    assert (await by_reach(tunnel, engine).closed()).failed is not None


@pytest.mark.parametrize(
    ("error", "layer", "code"),
    [
        (RelayUnreachable("relay", "refused"), Layer.RELAY, "relay-unreachable"),
        (ReachRefused("tools", "over-limit"), Layer.RELAY, "reach-refused"),
        (ReachRefused("tools", "connector-away"), Layer.LINK, "connector-away"),
        (RelayCertificateWrong("relay", "expired"), Layer.TLS, "relay-certificate-wrong"),
        (ConnectionResetError(104, "Connection reset by peer"), Layer.RELAY, "relay-unreachable"),
    ],
)
async def test_a_reach_that_cannot_be_dialled_fails_an_outer_layer(
    open_tunnel: Any, error: Exception, layer: Layer, code: str
) -> None:
    tunnel = await open_port(open_tunnel, Database(), "bearer")
    engine = Reaching(tunnel)
    engine.fails = error
    assert fault(await by_reach(tunnel, engine).live()) == (layer, code)
    assert fault(await by_reach(tunnel, engine).closed()) == (layer, code)
