"""The ports that tunnels own: one on loopback each for a development relay, one of the range for
an open tcp tunnel. A port stays bound while its connector is away."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterable
from typing import Protocol

from underpass.relay.protocol.records import Terms
from underpass.relay.server.addresses import LOOPBACK
from underpass.relay.server.errors import CannotListen, NoPublicPorts, PortsExhausted
from underpass.relay.server.sockets import bind


class Listeners(Protocol):
    """The part of the front door that opens single ports."""

    async def open_loopback(self, listener: socket.socket) -> int:
        """Serve the HTTP tunnel that owns the port."""

    async def open_tcp(self, listener: socket.socket) -> int:
        """Serve the tcp tunnel that owns the port."""

    def close_port(self, port: int) -> None:
        """Listen there no more."""


class TunnelDoors:
    """``Doors`` over a front door, which is given after construction: each needs the other."""

    front: Listeners

    def __init__(self, *, dev: bool, host: str, tcp_ports: range, shuffle: random.Random) -> None:
        self._dev = dev
        self._host = LOOPBACK if dev else host
        self._range = tcp_ports
        self._shuffle = shuffle
        self._open: dict[int, tuple[str, bool]] = {}
        """Port → name, and whether bytes or HTTP are served there."""

    def wants_port(self, terms: Terms) -> bool:
        """Whether a tunnel of these terms gets a port of its own here."""
        return terms.exposure == "open" if terms.kind == "tcp" else self._dev

    async def open(self, name: str, terms: Terms, port: int | None) -> int:
        """Listen for the tunnel; see ``Doors``."""
        is_tcp = terms.kind == "tcp"
        if is_tcp and not self._dev and not self._range:
            raise NoPublicPorts(name)
        if port is not None:
            if self._open.get(port) == (name, is_tcp):
                return port
            if port in self._open and self._open[port][0] == name:
                self.close(port)
        for candidate in self._candidates(port, from_range=is_tcp and bool(self._range)):
            if candidate in self._open:
                continue
            try:
                listener = await asyncio.to_thread(bind, self._host, candidate)
            except CannotListen:
                continue
            return await self._serve(name, listener, is_tcp=is_tcp)
        raise PortsExhausted(name, "all ports of the range are taken")

    def close(self, port: int) -> None:
        """Listen there no more. Idempotent."""
        if self._open.pop(port, None) is not None:
            self.front.close_port(port)

    def __len__(self) -> int:
        return len(self._open)

    async def _serve(self, name: str, listener: socket.socket, *, is_tcp: bool) -> int:
        opened = listener.getsockname()[1]
        self._open[opened] = (name, is_tcp)
        try:
            serve = self.front.open_tcp if is_tcp else self.front.open_loopback
            return await serve(listener)
        except BaseException:
            del self._open[opened]
            listener.close()
            raise

    def _candidates(self, own: int | None, *, from_range: bool) -> Iterable[int]:
        """The tunnel's own port first, then others."""
        if own is not None and (not from_range or own in self._range):
            yield own
        if not from_range:
            yield 0
            return
        # From a random place on, so that a freed port is not at once somebody else's.
        start = self._shuffle.randrange(len(self._range))
        yield from self._range[start:]
        yield from self._range[:start]
