"""Port 80: sends browsers to HTTPS, and does nothing else.

Only GET and HEAD are redirected: the body or the credentials of another request have already
crossed the wire in the clear, and a client that is quietly sent on would never learn it.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from underpass.http.answers import Answer, answer, answer_malformed
from underpass.http.head import Limits
from underpass.http.messages import Malformed, RequestHead, ResponseHead
from underpass.http.reader import RequestReader
from underpass.http.writer import response_bytes
from underpass.relay.edges.addresses import SourceCap
from underpass.relay.edges.arrival import Arrival, arrive
from underpass.relay.edges.http_edge import host_name
from underpass.relay.edges.limits import EdgeLimits
from underpass.relay.edges.own_answers import answer_bytes
from underpass.relay.edges.ports import Directory
from underpass.relay.edges.sweeper import Sweeper

_ONE_REQUEST: Final = Limits(pipeline=1)
_PLAIN_REFUSED: Final = Answer(403, "https-required", "use https:// for this", closes=True)


class Redirect(asyncio.Protocol):
    """One connection to port 80: one request, one answer, the end."""

    __slots__ = ("_arrival", "_deadline", "_edge", "_reader", "_transport")

    def __init__(self, edge: RedirectEdge) -> None:
        self._edge = edge
        self._arrival: Arrival | None = None
        self._reader: RequestReader | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast(asyncio.Transport, transport)
        self._arrival = arrive(transport, self._edge.sources)
        if self._arrival is None:
            self._transport.abort()
            return
        self._deadline = self._edge.loop.time() + self._edge.limits.head_seconds
        self._edge.sweeper.add(self)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._reader is None:
            self._reader = RequestReader(_ONE_REQUEST)
        events = self._reader.receive_data(data)
        if not events:
            return
        first = events[0]
        if isinstance(first, RequestHead):
            self._say(self._edge.answer(first))
        elif isinstance(first, Malformed):
            self._say(answer_bytes(answer_malformed(first)))

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._edge.sweeper.discard(self)
        if self._arrival is not None:
            self._edge.sources.give(self._arrival.counted)
        self._transport = None

    def tick(self, now: float) -> None:
        """Called about once a second."""
        if now >= self._deadline:
            self.close()

    def close(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _say(self, raw: bytes) -> None:
        assert self._transport is not None
        self._transport.write(raw)
        self._transport.close()


class RedirectEdge:
    """What all connections to port 80 share."""

    def __init__(
        self,
        directory: Directory,
        *,
        loop: asyncio.AbstractEventLoop,
        limits: EdgeLimits,
        sources: SourceCap,
        https_port: int = 443,
    ) -> None:
        self.loop = loop
        self.limits = limits
        self.sources = sources
        self.sweeper = Sweeper(loop, limits.sweep_seconds)
        self._directory = directory
        self._port = b"" if https_port == 443 else b":%d" % https_port

    def connection(self) -> Redirect:
        """A protocol for one connection."""
        return Redirect(self)

    def answer(self, head: RequestHead) -> bytes:
        """The whole answer to one request. Only hosts that are served here are redirected to."""
        name = host_name(head.host.decode("ascii").lower())
        if head.method not in (b"GET", b"HEAD") or head.body:
            return answer_bytes(_PLAIN_REFUSED, method=head.method, http10=head.http10)
        if name != self._directory.relay_host and self._directory.find(name) is None:
            return answer_bytes(answer("no-such-tunnel"), method=head.method, http10=head.http10)
        where = b"https://" + name.encode("ascii") + self._port + head.target
        moved = ResponseHead(308, b"Permanent Redirect", [(b"Location", where)], 0)
        return response_bytes(moved, method=head.method, http10=head.http10, keep_alive=False)

    def close(self) -> None:
        """End everything now."""
        for member in self.sweeper:
            if isinstance(member, Redirect):
                member.close()
        self.sweeper.close()
