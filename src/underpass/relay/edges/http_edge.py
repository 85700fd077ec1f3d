"""The HTTP edge: what all visitors' HTTP connections of one relay share, and which tunnel a
request means.

The Host decides, once, and everything later uses that one decision. On a tunnel's own loopback
port the port decides, and Host must be one of the three names such a port has: a page elsewhere
that rebinds its DNS name to loopback is answered 421.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Protocol

from underpass.http.head import Limits
from underpass.http.messages import RequestHead, lookup
from underpass.relay.edges.addresses import SourceCap, is_within
from underpass.relay.edges.arrival import Arrival
from underpass.relay.edges.limits import EdgeLimits
from underpass.relay.edges.ports import Directory, EdgeEvent, Exposure
from underpass.relay.edges.sweeper import Sweeper
from underpass.relay.edges.visitor import VisitorConnection

_READER_LIMITS = Limits(pipeline=1)
"""Further requests stay bytes until their turn: at most one read's worth."""


class OwnHost(Protocol):
    """What the relay itself serves on its own host: WebSocket doors."""

    def upgrade(self, connection: VisitorConnection, head: RequestHead) -> bool:
        """Take the connection over if the request asks for a door there is. False: it does not;
        nothing was done."""


class HttpEdge:
    """Makes visitors' HTTP connections, and ends them. Belongs to one event loop."""

    def __init__(
        self,
        directory: Directory,
        *,
        loop: asyncio.AbstractEventLoop,
        limits: EdgeLimits | None = None,
        sources: SourceCap | None = None,
        own_host: OwnHost | None = None,
    ) -> None:
        self.directory = directory
        self.loop = loop
        self.limits = limits or EdgeLimits()
        self.sources = SourceCap(self.limits.connections_per_source) if sources is None else sources
        self.own_host = own_host
        self.sweeper = Sweeper(loop, self.limits.sweep_seconds)
        self.buffer = memoryview(bytearray(self.limits.read_size))
        """One buffer for all reads: filled and emptied within one call back."""
        self.reader_limits = _READER_LIMITS
        self.draining = False
        self._unflushed: list[VisitorConnection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def connection(self, arrival: Arrival | None = None, port: int = 0) -> VisitorConnection:
        """A protocol for one visitor. ``port``: that of a tunnel's own loopback port."""
        return VisitorConnection(self, arrival, port)

    # -- which tunnel -------------------------------------------------------------------------

    def find(self, connection: VisitorConnection, head: RequestHead) -> Exposure | str:
        """The tunnel that the request means, or the code of the answer."""
        host = head.host.decode("ascii").lower()
        if connection.port:
            exposure = self.directory.find_port(connection.port)
            if not _names_port(host, connection.port, exposure):
                return "host-misdirected"
        else:
            name = host_name(host)
            server_name = connection.arrival.server_name if connection.arrival else None
            if server_name is not None and server_name != name:
                return "host-misdirected"
            exposure = self.directory.find(name)
        if exposure is None or exposure.kind == "tcp" or exposure.tls == "passthrough":
            return "no-such-tunnel"
        if exposure.allow and not self._is_admitted(connection.arrival, head, exposure.allow):
            exposure.note(EdgeEvent.REFUSED)
            return "gate-refused"
        return exposure

    def _is_admitted(
        self, arrival: Arrival | None, head: RequestHead, allow: tuple[str, ...]
    ) -> bool:
        """The owner's proof may come from anywhere; a false one is an ordinary request to the
        gatehouse, whose own gate refuses the address."""
        if arrival is not None and is_within(arrival.peer[0], allow):
            return True
        return lookup(head.headers, b"underpass-proof") is not None

    # -- for connections ----------------------------------------------------------------------

    def flush_later(self, connection: VisitorConnection) -> None:
        """Flush ``connection`` at the end of this turn of the loop."""
        if not self._unflushed:
            self.loop.call_soon(self._flush)
        self._unflushed.append(connection)

    def _flush(self) -> None:
        unflushed, self._unflushed = self._unflushed, []
        for connection in unflushed:
            connection.flush()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` until it ends or the edge closes."""
        task = self.loop.create_task(work, name="edge-hold")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- ends ---------------------------------------------------------------------------------

    def drain(self) -> None:
        """Close idle connections now and busy ones after their answer."""
        self.draining = True
        for connection in self._connections():
            connection.close()

    @property
    def busy(self) -> int:
        """Connections in the middle of something."""
        return sum(1 for connection in self._connections() if connection.exchange is not None)

    def close(self) -> None:
        """End everything now."""
        for task in tuple(self._tasks):
            task.cancel()
        for connection in self._connections():
            if connection.transport is not None:
                connection.transport.abort()
        self.sweeper.close()

    def _connections(self) -> list[VisitorConnection]:
        return [member for member in self.sweeper if isinstance(member, VisitorConnection)]


def host_name(host: str) -> str:
    """A Host value (judged by the reader, lower-case) without its port or final dot."""
    if host.startswith("["):
        return host[1 : host.index("]")]
    return host.partition(":")[0].rstrip(".")


def _names_port(host: str, port: int, exposure: Exposure | None) -> bool:
    name, _, given = host.rpartition(":")
    if given != str(port):
        return False
    if name in ("127.0.0.1", "localhost"):
        return True
    return exposure is not None and name == f"{exposure.name}.localhost"
