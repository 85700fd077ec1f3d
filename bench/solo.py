"""What is measured of one peer at a time: start-up, memory of what is idle, recovery."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from bench import loads
from bench.crowd import Crowd
from bench.origins import BULK_SIZE
from bench.peers import Peer, Tunnel, Workplace
from bench.processes import NotReady
from bench.steady import Scale
from bench.visitor import TIMEOUT, Door, connect, is_served, small_requests
from bench.weather import Weather

SETTLE = 0.5
"""Seconds for freed and lazily used memory to settle before it is counted."""

MEGABIT = 125_000
"""Bytes a second of 1 Mbit/s."""

Measured = tuple[str, float | None, str]
"""Workload, value, and why there is none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Workloads that are measured together, on a peer of their own."""

    names: tuple[str, ...]
    unit: str
    measure: Callable[[Peer, Weather, Scale], Iterator[Measured]]


def measure(kind: type[Peer], group: Group, workplace: Workplace, scale: Scale) -> list[Measured]:
    """Starts a peer, measures one group, ends the peer. What failed has a reason for a value."""
    measured: list[Measured] = []
    try:
        with ExitStack() as stack:
            peer = kind(workplace)
            weather = stack.enter_context(Weather())
            stack.callback(peer.stop)
            peer.start_server()
            if peer.link_address[1] == 0:
                return []
            measured.extend(group.measure(peer, weather, scale))
    except (NotReady, OSError) as error:
        done = {name for name, _, _ in measured}
        measured.extend((name, None, str(error)) for name in group.names if name not in done)
    return measured


def _kind_of(peer: Peer) -> str:
    return "tcp" if "tcp" in peer.carries else "http"


def _start_up(peer: Peer, weather: Weather, scale: Scale) -> Iterator[Measured]:
    start = time.perf_counter()
    tunnel = peer.open(_kind_of(peer))
    yield "start-up", (time.perf_counter() - start) * 1000, ""
    tunnel.stop()


def _memory_of_idle(peer: Peer, weather: Weather, scale: Scale) -> Iterator[Measured]:
    kind = _kind_of(peer)
    tunnel = peer.open(kind)
    try:
        yield from _memory_of_connections(peer, tunnel, kind, scale)
        yield from _memory_of_tunnels(peer, tunnel, kind, scale)
    finally:
        tunnel.stop()


def _memory_of_connections(
    peer: Peer, tunnel: Tunnel, kind: str, scale: Scale
) -> Iterator[Measured]:
    assert peer.server is not None
    assert tunnel.client is not None
    with ExitStack() as visitors:
        # The first ones make room that later ones use.
        for _ in range(20):
            visitors.enter_context(_idle_visitor(tunnel.door, kind))
        time.sleep(SETTLE)
        before = peer.server.memory(), tunnel.client.memory()
        for _ in range(scale.idle_connections):
            visitors.enter_context(_idle_visitor(tunnel.door, kind))
        time.sleep(SETTLE)
        after = peer.server.memory(), tunnel.client.memory()
    for side, more in zip(("server", "client"), _growth(before, after), strict=True):
        name = f"memory of an idle connection, {side}"
        yield name, more / scale.idle_connections / 1024, ""


def _memory_of_tunnels(peer: Peer, tunnel: Tunnel, kind: str, scale: Scale) -> Iterator[Measured]:
    assert peer.server is not None
    assert tunnel.client is not None
    with ExitStack() as more:
        time.sleep(SETTLE)
        before = peer.server.memory()
        for _ in range(scale.idle_tunnels):
            more.callback(peer.open(kind).stop)
        time.sleep(SETTLE)
        growth = max(0, peer.server.memory() - before)
        yield "memory of an idle tunnel, server", growth / scale.idle_tunnels / 1024, ""
        yield "memory of an idle tunnel, client", tunnel.client.memory() / 1024, ""


def _memory_of_bodies(peer: Peer, weather: Weather, scale: Scale) -> Iterator[Measured]:
    """What bodies add while they are under way. The kernel's buffers belong to no process."""
    assert peer.server is not None
    tunnel = peer.open("http")
    assert tunnel.client is not None
    programs = peer.server, tunnel.client
    try:
        time.sleep(SETTLE)
        before = [program.memory() for program in programs]
        with Crowd(tunnel.door, 1, is_reading=True) as reader:
            peak = list(before)
            while reader.received < BULK_SIZE and reader.is_alive:
                peak = [max(now, p.memory()) for now, p in zip(peak, programs, strict=True)]
                time.sleep(0.02)
        yield from _added("1 GiB to a reader", before, peak)
        before = [program.memory() for program in programs]
        with Crowd(tunnel.door, scale.slow_readers, is_reading=False):
            time.sleep(4 * SETTLE)
            yield from _added("slow readers", before, [program.memory() for program in programs])
    finally:
        tunnel.stop()


def _added(what: str, before: list[int], after: list[int]) -> Iterator[Measured]:
    for side, old, new in zip(("server", "client"), before, after, strict=True):
        yield f"memory added by {what}, {side}", max(0, new - old) / (1 << 20), ""


def _beside_bulk(peer: Peer, weather: Weather, scale: Scale) -> Iterator[Measured]:
    """One visitor's small requests while others load bulk through the same narrow link."""
    link = weather.proxy(peer.link_address, peer.proxied_link())
    tunnel = peer.open("http", (link.host, link.port))
    weather.change(partial(link.limit_bandwidth, MEGABIT))
    try:
        with Crowd(tunnel.door, scale.bulk_streams, is_reading=True):
            taken = sorted(small_requests(tunnel.door, scale.narrow_seconds))
        worst = taken[min(len(taken) - 1, len(taken) * 99 // 100)]
        yield BESIDE_BULK, worst * 1000, ""
    except TimeoutError:
        yield BESIDE_BULK, None, f"none answered within {TIMEOUT:g} s"
    finally:
        tunnel.stop()


def _cpu_a_request(peer: Peer, weather: Weather, scale: Scale) -> Iterator[Measured]:
    """CPU of both our sides for one request. Unlike a rate, it says the same on a busy machine."""
    if "http" not in peer.carries:
        return
    assert peer.server is not None
    tunnel = peer.open("http")
    assert tunnel.client is not None
    place = peer.workplace
    try:
        for clients in CPU_CLIENTS:
            seconds = max(1.0, scale.seconds)
            before = peer.server.cpu() + tunnel.client.cpu()
            rate = loads.requests(tunnel.door, clients, seconds, place.folder, place.hosts)
            used = peer.server.cpu() + tunnel.client.cpu() - before
            yield f"CPU of a request, {clients} clients", used / (rate * seconds) * 1e6, ""
    finally:
        tunnel.stop()


def _recovery(peer: Peer, weather: Weather, scale: Scale) -> Iterator[Measured]:
    kind = _kind_of(peer)
    link = weather.proxy(peer.link_address, peer.proxied_link())
    tunnel = peer.open(kind, (link.host, link.port))

    def reset() -> None:
        weather.change(link.reset)

    def black_hole() -> None:
        weather.change(link.black_hole)
        time.sleep(scale.black_hole)
        weather.change(link.heal)

    def kill() -> None:
        peer.kill_server()
        peer.start_server()

    faults = {"a reset link": reset, "a black hole": black_hole, "the server was killed": kill}
    try:
        for name, fault in faults.items():
            if tunnel.client is None or not tunnel.client.is_running:
                tunnel = peer.open(kind, (link.host, link.port))
            fault()
            taken = _time_until_served(tunnel, kind, scale.recovery_limit)
            gone = tunnel.client is not None and not tunnel.client.is_running
            why = "its client ended" if gone else f"not within {scale.recovery_limit:g} s"
            yield f"recovery after {name}", taken, "" if taken is not None else why
            if taken is None:
                tunnel.stop()
    finally:
        tunnel.stop()


def _time_until_served(tunnel: Tunnel, kind: str, limit: float) -> float | None:
    """Milliseconds until a visitor gets through; None if none does."""
    start = time.perf_counter()
    while time.perf_counter() - start < limit:
        if is_served(tunnel.door, kind, timeout=0.5):
            return (time.perf_counter() - start) * 1000
        if tunnel.client is not None and not tunnel.client.is_running:
            return None
        time.sleep(0.01)
    return None


def _idle_visitor(door: Door, kind: str) -> socket.socket:
    connection = connect(door)
    if kind == "tcp":
        connection.sendall(b"I")
        answer = connection.recv(1)
    else:
        connection.sendall(door.request())
        answer = connection.recv(4096)
    if not answer:
        raise OSError("the origin was not reached")
    return connection


def _growth(before: tuple[int, int], after: tuple[int, int]) -> tuple[int, int]:
    return max(0, after[0] - before[0]), max(0, after[1] - before[1])


CPU_CLIENTS = (2, 16, 64)
BESIDE_BULK = "small requests beside bulk at 1 Mbit/s, p99"
GROUPS = (
    Group(("start-up",), "ms", _start_up),
    Group(
        (
            "memory of an idle connection, server",
            "memory of an idle connection, client",
            "memory of an idle tunnel, server",
            "memory of an idle tunnel, client",
        ),
        "KiB",
        _memory_of_idle,
    ),
    Group(
        (
            "memory added by 1 GiB to a reader, server",
            "memory added by 1 GiB to a reader, client",
            "memory added by slow readers, server",
            "memory added by slow readers, client",
        ),
        "MiB",
        _memory_of_bodies,
    ),
    Group((BESIDE_BULK,), "ms", _beside_bulk),
    Group(
        tuple(f"CPU of a request, {clients} clients" for clients in CPU_CLIENTS),
        "µs",
        _cpu_a_request,
    ),
    Group(
        (
            "recovery after a reset link",
            "recovery after a black hole",
            "recovery after the server was killed",
        ),
        "ms",
        _recovery,
    ),
)
