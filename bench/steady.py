"""What is measured while all peers are up: throughput, round trips, connections, first bytes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bench import loads
from bench.peers import Peer, Tunnel, Workplace
from bench.visitor import Door, first_byte
from bench.weather import Weather

ONE_WAY = 0.040
"""Seconds of delay on each leg and in each direction for the time to first byte."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    bulk: int = 1 << 30
    seconds: float = 2.0
    first_bytes: int = 5
    idle_connections: int = 500
    idle_tunnels: int = 5
    black_hole: float = 5.0
    narrow_seconds: float = 15.0
    bulk_streams: int = 64
    slow_readers: int = 1000
    recovery_limit: float = 30.0


QUICK = Scale(
    bulk=16 << 20,
    seconds=0.2,
    first_bytes=1,
    idle_connections=10,
    idle_tunnels=1,
    black_hole=0.3,
    narrow_seconds=1.0,
    bulk_streams=4,
    slow_readers=20,
    recovery_limit=5.0,
)


@dataclass(slots=True)
class Steady:
    """A peer that is up, with what its measurements need; tunnels are opened when first used."""

    peer: Peer
    workplace: Workplace
    weather: Weather
    _tunnels: dict[str, Tunnel] = field(default_factory=dict)
    _far_door: Door | None = None

    def door(self, kind: str) -> Door:
        """Where visitors of the tunnel to the `tcp` or `http` origin go in."""
        if kind not in self._tunnels:
            self._tunnels[kind] = self.peer.open(kind)
        return self._tunnels[kind].door

    def far_door(self) -> Door:
        """The door of a tunnel with `ONE_WAY` of delay on the link and before the visitor."""
        if self._far_door is None:
            if self._is_direct:
                near = self.door("http")
                link = self.weather.proxy((near.host, near.port))
                near = near.at(link.host, link.port)
            else:
                link = self.weather.proxy(self.peer.link_address, self.peer.proxied_link())
                self._tunnels["far"] = self.peer.open("http", (link.host, link.port))
                near = self._tunnels["far"].door
            visitor = self.weather.proxy((near.host, near.port))
            for proxy in (link, visitor):
                self.weather.change(partial(proxy.set_latency, ONE_WAY))
            self._far_door = near.at(visitor.host, visitor.port)
        return self._far_door

    @property
    def _is_direct(self) -> bool:
        return self.peer.link_address[1] == 0

    def stop(self) -> None:
        for tunnel in self._tunnels.values():
            tunnel.stop()
        self.peer.stop()


@dataclass(frozen=True, slots=True)
class Workload:
    """One number that is measured of each peer in each round."""

    name: str
    unit: str
    better: str
    """`more` or `less`."""
    kind: str
    """What a peer must carry: `tcp` or `http`."""
    measure: Callable[[Steady, Scale], float]


def _requests(clients: int) -> Callable[[Steady, Scale], float]:
    def measure(steady: Steady, scale: Scale) -> float:
        place = steady.workplace
        door = steady.door("http")
        return loads.requests(door, clients, max(1.0, scale.seconds), place.folder, place.hosts)

    return measure


def _first_byte(is_kept: bool) -> Callable[[Steady, Scale], float]:
    def measure(steady: Steady, scale: Scale) -> float:
        door = steady.far_door()
        taken = [first_byte(door)[is_kept] for _ in range(scale.first_bytes)]
        return statistics.median(taken) * 1000

    return measure


WORKLOADS = (
    Workload(
        "bulk to the origin",
        "GB/s",
        "more",
        "tcp",
        lambda steady, scale: loads.bulk_up(steady.door("tcp"), scale.bulk),
    ),
    Workload(
        "bulk to the visitor",
        "GB/s",
        "more",
        "tcp",
        lambda steady, scale: loads.bulk_down(steady.door("tcp"), scale.bulk),
    ),
    Workload(
        "round trips of 64 bytes",
        "1/s",
        "more",
        "tcp",
        lambda steady, scale: loads.round_trips(steady.door("tcp"), scale.seconds),
    ),
    Workload(
        "new connections",
        "1/s",
        "more",
        "tcp",
        lambda steady, scale: loads.connections(steady.door("tcp"), scale.seconds),
    ),
    Workload("HTTP requests, 1 client", "1/s", "more", "http", _requests(1)),
    Workload("HTTP requests, 16 clients", "1/s", "more", "http", _requests(16)),
    Workload("HTTP requests, 64 clients", "1/s", "more", "http", _requests(64)),
    Workload("first byte at 40 ms, new connection", "ms", "less", "http", _first_byte(False)),
    Workload("first byte at 40 ms, kept connection", "ms", "less", "http", _first_byte(True)),
)
