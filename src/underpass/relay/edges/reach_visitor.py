"""A reach connection: a gated byte tunnel for somebody who brings the token along.

The token is not judged here: it goes to the gatehouse with the stream, which answers a wrong one
with a break. Names that cannot be reached, for whatever reason, all get the same answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from underpass.http.answers import answer
from underpass.relay.edges.arrival import Arrival
from underpass.relay.edges.byte_visitor import ByteVisitor, Write
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.frames import ALONE
from underpass.relay.protocol.reach import (
    FIN_FRAME,
    Broken,
    Ended,
    ReachAnswer,
    ReachChannel,
    ReachHello,
    data_header,
    greeting,
    reset,
)
from underpass.relay.protocol.records import VERSION

if TYPE_CHECKING:
    from underpass.relay.edges.byte_edge import ByteEdge


class ReachVisitor(ByteVisitor):
    """See the module."""

    __slots__ = ("_answered", "_channel", "_deadline")

    speaks = True

    def __init__(self, edge: ByteEdge, arrival: Arrival) -> None:
        super().__init__(edge, arrival, "reach")
        self._channel = ReachChannel()
        self._answered = False
        self._deadline = 0.0

    def begin(self) -> None:
        """It says itself what it wants, within the time a head may take."""
        self._deadline = self.edge.loop.time() + self.edge.limits.head_seconds
        self.edge.sweeper.add(self)

    def take(self, data: bytes) -> None:
        """See ``ByteVisitor``."""
        try:
            events = self._channel.receive_data(data)
        except ProtocolViolation:
            self._abort()
            return
        for event in events:
            if isinstance(event, ReachHello):
                self._hello(event)
            elif isinstance(event, Ended):
                self.forward_end()
            elif isinstance(event, Broken | ReachAnswer):
                self._abort()
            else:
                self.forward(bytes(event))

    def _hello(self, hello: ReachHello) -> None:
        self._deadline = 0.0
        self.edge.sweeper.discard(self)
        if hello.version != VERSION:
            self.refuse("version-unsupported")
            return
        self.token = hello.token
        exposure = self.edge.directory.find_name(hello.name)
        self.open(exposure if exposure is not None and exposure.kind == "tcp" else None)

    def tick(self, now: float) -> None:
        """See ``ByteVisitor``; also when nothing has been said in time."""
        if self._deadline and now >= self._deadline:
            self._abort()
        elif not self._deadline:
            super().tick(now)

    def eof_received(self) -> bool:
        """The connection itself has no half-close: without a FIN frame this is a departure."""
        return False

    def opened(self) -> None:
        """See ``ByteVisitor``."""
        assert self.transport is not None
        self._answered = True
        self.token = ""
        self.transport.write(greeting(ReachAnswer(ok=True)))

    def writer(self) -> Write:
        """See ``ByteVisitor``."""
        return self._put

    def _put(self, data: bytes | memoryview) -> None:
        assert self.transport is not None
        view = memoryview(data)
        for at in range(0, len(data), ALONE):
            part = view[at : at + ALONE]
            self.transport.writelines([data_header(len(part)), part])

    def put_end(self) -> None:
        """See ``ByteVisitor``."""
        assert self.transport is not None
        self.transport.write(FIN_FRAME)

    def put_break(self, code: str) -> None:
        """See ``ByteVisitor``."""
        assert self.transport is not None
        if self._answered:
            self.transport.write(reset(code))
        else:
            refusal = ReachAnswer(ok=False, code=code, message=answer(code).sentence)
            self.transport.write(greeting(refusal))
        self.transport.close()

    def _abort(self) -> None:
        self.leave("visitor-left")
        if self.transport is not None:
            self.transport.abort()
