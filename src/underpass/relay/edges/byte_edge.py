"""What all byte connections of one relay share, and the simplest of them: tcp ports, and TLS that
the connector ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from underpass.relay.edges.addresses import SourceCap
from underpass.relay.edges.arrival import Arrival
from underpass.relay.edges.byte_visitor import ByteVisitor
from underpass.relay.edges.limits import EdgeLimits
from underpass.relay.edges.ports import Directory, Exposure
from underpass.relay.edges.reach_visitor import ReachVisitor
from underpass.relay.edges.sweeper import Sweeper


class ByteEdge:
    """Makes byte connections, and ends them. Belongs to one event loop."""

    def __init__(
        self,
        directory: Directory,
        *,
        loop: asyncio.AbstractEventLoop,
        limits: EdgeLimits | None = None,
        sources: SourceCap | None = None,
    ) -> None:
        self.directory = directory
        self.loop = loop
        self.limits = limits or EdgeLimits()
        self.sources = SourceCap(self.limits.connections_per_source) if sources is None else sources
        self.sweeper = Sweeper(loop, self.limits.sweep_seconds)
        """Only those whose reading is paused, or who have not said what they want."""
        self.visitors: set[ByteVisitor] = set()
        """Everybody who is connected."""
        self.buffer = memoryview(bytearray(self.limits.byte_read_size))
        """One buffer for all reads: filled and emptied within one call back."""
        self._tasks: set[asyncio.Task[None]] = set()

    def tcp(self, port: int, arrival: Arrival | None = None) -> ByteVisitor:
        """A protocol for one visitor of a tunnel's public tcp port."""
        return TcpVisitor(self, arrival, port)

    def passthrough(self, exposure: Exposure, arrival: Arrival) -> ByteVisitor:
        """A protocol for one visitor whose TLS the connector ends."""
        return TlsVisitor(self, arrival, exposure)

    def reach(self, arrival: Arrival) -> ReachVisitor:
        """A protocol for one reach connection, on any transport."""
        return ReachVisitor(self, arrival)

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` until it ends or the edge closes."""
        task = self.loop.create_task(work, name="edge-hold")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """End everything now."""
        for task in tuple(self._tasks):
            task.cancel()
        for visitor in tuple(self.visitors):
            if visitor.transport is not None:
                visitor.transport.abort()
        self.sweeper.close()


class TcpVisitor(ByteVisitor):
    """A visitor of a tunnel's public tcp port."""

    __slots__ = ("_port",)

    def __init__(self, edge: ByteEdge, arrival: Arrival | None, port: int) -> None:
        super().__init__(edge, arrival, "tcp")
        self._port = port

    def begin(self) -> None:
        """The port says which tunnel."""
        exposure = self.edge.directory.find_port(self._port)
        if exposure is not None and (exposure.kind != "tcp" or exposure.exposure != "open"):
            exposure = None
        self.open(exposure)


class TlsVisitor(ByteVisitor):
    """A visitor whose TLS the connector ends: from the ClientHello on, bytes are bytes."""

    __slots__ = ("_target",)

    def __init__(self, edge: ByteEdge, arrival: Arrival, exposure: Exposure) -> None:
        super().__init__(edge, arrival, "tls")
        self._target = exposure

    def begin(self) -> None:
        """The server name has said which tunnel."""
        self.open(self._target)
