"""What is measured of one peer at a time: start-up, memory of what is idle, recovery."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench.peers import Peer, Tunnel
from bench.steady import Scale
from bench.visitor import Door, connect, is_served
from bench.weather import Weather

SETTLE = 0.5
"""Seconds for freed and lazily used memory to settle before it is counted."""

NAMES = {
    "start-up": ("ms", "less"),
    "memory of an idle connection, server": ("KiB", "less"),
    "memory of an idle connection, client": ("KiB", "less"),
    "memory of an idle tunnel, server": ("KiB", "less"),
    "memory of a client with one tunnel": ("MiB", "less"),
    "recovery after a reset link": ("ms", "less"),
    "recovery after a black hole": ("ms", "less"),
    "recovery after the server was killed": ("ms", "less"),
}

Measured = tuple[str, float | None, str]
"""Workload, value, and why there is none."""


def measure(peer: Peer, scale: Scale) -> Iterator[Measured]:
    """Starts the peer, measures all of `NAMES` that apply to it, ends it."""
    kind = "tcp" if "tcp" in peer.carries else "http"
    with ExitStack() as stack:
        stack.callback(peer.stop)
        peer.start_server()
        if peer.link_address[1] == 0:
            return
        start = time.perf_counter()
        tunnel = peer.open(kind)
        stack.callback(tunnel.stop)
        yield "start-up", (time.perf_counter() - start) * 1000, ""
        yield from _memory_of_connections(peer, tunnel, kind, scale)
        yield from _memory_of_tunnels(peer, tunnel, kind, scale)
    with ExitStack() as stack:
        weather = stack.enter_context(Weather())
        stack.callback(peer.stop)
        peer.start_server()
        yield from _recovery(peer, kind, weather, scale)


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
        yield "memory of a client with one tunnel", tunnel.client.memory() / (1 << 20), ""


def _recovery(peer: Peer, kind: str, weather: Weather, scale: Scale) -> Iterator[Measured]:
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
