from __future__ import annotations

import random
import socket

import pytest

from underpass.relay.protocol.records import Terms
from underpass.relay.server.errors import NoPublicPorts, PortsExhausted
from underpass.relay.server.tunnel_doors import TunnelDoors
from underpass.testing.ports import free_ports as find_ports

HTTP = Terms(kind="http", lease_end=1.0)
TCP = Terms(kind="tcp", exposure="open", lease_end=1.0)
GATED = Terms(kind="tcp", lease_end=1.0)


class Front:
    """Keeps the sockets that a front door would serve."""

    def __init__(self) -> None:
        self.open: dict[int, tuple[str, socket.socket]] = {}

    async def open_loopback(self, listener: socket.socket) -> int:
        return self._keep("http", listener)

    async def open_tcp(self, listener: socket.socket) -> int:
        return self._keep("tcp", listener)

    def _keep(self, kind: str, listener: socket.socket) -> int:
        port: int = listener.getsockname()[1]
        self.open[port] = (kind, listener)
        return port

    def close_port(self, port: int) -> None:
        _, listener = self.open.pop(port)
        listener.close()


@pytest.fixture
def front() -> Front:
    return Front()


def doors(front: Front, *, dev: bool = True, ports: range = range(0)) -> TunnelDoors:
    made = TunnelDoors(dev=dev, host="127.0.0.1", tcp_ports=ports, shuffle=random.Random(1))
    made.front = front
    return made


@pytest.fixture
def free_ports() -> range:
    """Three ports that were free a moment ago."""
    return find_ports(3)


def test_on_a_development_relay_every_http_tunnel_wants_a_port(front: Front) -> None:
    assert doors(front).wants_port(HTTP)
    assert doors(front).wants_port(TCP)
    assert not doors(front).wants_port(GATED)


def test_on_a_public_relay_open_tcp_tunnels_alone_want_one(front: Front) -> None:
    public = doors(front, dev=False)
    assert not public.wants_port(HTTP)
    assert public.wants_port(TCP)
    assert not public.wants_port(GATED)


async def test_a_port_that_is_free_is_opened_again(front: Front) -> None:
    ours = doors(front)
    port = await ours.open("tools", HTTP, None)
    ours.close(port)
    assert await ours.open("tools", HTTP, port) == port
    ours.close(port)


async def test_opening_twice_opens_once(front: Front) -> None:
    ours = doors(front)
    port = await ours.open("tools", HTTP, None)
    assert await ours.open("tools", HTTP, port) == port
    assert len(front.open) == len(ours) == 1
    ours.close(port)


async def test_a_port_that_somebody_took_is_replaced(front: Front) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        taken = held.getsockname()[1]
        ours = doors(front)
        port = await ours.open("tools", HTTP, taken)
        assert port != taken
        ours.close(port)


async def test_a_tunnel_that_changed_its_kind_is_served_anew(front: Front) -> None:
    ours = doors(front)
    port = await ours.open("tools", HTTP, None)
    port = await ours.open("tools", TCP, port)
    assert front.open[port][0] == "tcp"
    assert len(front.open) == 1
    ours.close(port)


async def test_tcp_ports_come_from_the_range(front: Front, free_ports: range) -> None:
    ours = doors(front, dev=False, ports=free_ports)
    given = {await ours.open(f"t{number}", TCP, None) for number in range(3)}
    assert given == set(free_ports)
    with pytest.raises(PortsExhausted):
        await ours.open("late", TCP, None)
    for port in given:
        ours.close(port)


async def test_without_a_range_there_are_no_tcp_ports(front: Front) -> None:
    with pytest.raises(NoPublicPorts):
        await doors(front, dev=False).open("tools", TCP, None)


async def test_closing_twice_is_allowed(front: Front) -> None:
    ours = doors(front)
    port = await ours.open("tools", HTTP, None)
    ours.close(port)
    ours.close(port)
    assert len(ours) == 0
