"""``/healthz`` and ``/metrics``, on a listener of their own: no visitor's request ends here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from underpass.http.head import Limits
from underpass.http.messages import Malformed, RequestHead, ResponseHead
from underpass.http.reader import RequestReader
from underpass.http.writer import response_bytes

PATIENCE: Final = 10.0
"""Seconds for a whole request."""

_ONE_REQUEST: Final = Limits(pipeline=1)
_TEXT: Final = b"text/plain; charset=utf-8"


class HealthDoor:
    """Makes its connections. ``is_healthy`` is False while the relay drains: a load balancer then
    sends visitors elsewhere."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        is_healthy: Callable[[], bool],
        metrics: Callable[[], bytes],
    ) -> None:
        self.loop = loop
        self._is_healthy = is_healthy
        self._metrics = metrics

    def connection(self) -> HealthConnection:
        """A protocol for one connection."""
        return HealthConnection(self)

    def answer(self, head: RequestHead) -> bytes:
        """The whole answer to one request."""
        path = head.target.partition(b"?")[0]
        if head.method not in (b"GET", b"HEAD") or head.body:
            return _answer(405, b"Method Not Allowed", b"only GET and HEAD\n", head)
        if path == b"/healthz":
            if self._is_healthy():
                return _answer(200, b"OK", b"ok\n", head)
            return _answer(503, b"Service Unavailable", b"draining\n", head)
        if path == b"/metrics":
            kind = b"text/plain; version=0.0.4; charset=utf-8"
            return _answer(200, b"OK", self._metrics(), head, kind)
        return _answer(404, b"Not Found", b"there are /healthz and /metrics here\n", head)


class HealthConnection(asyncio.Protocol):
    """One request, one answer, the end."""

    def __init__(self, door: HealthDoor) -> None:
        self._door = door
        self._reader = RequestReader(_ONE_REQUEST)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast(asyncio.Transport, transport)
        self._timer = self._door.loop.call_later(PATIENCE, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        if self._transport is None or self._transport.is_closing():
            return
        for event in self._reader.receive_data(data)[:1]:
            if isinstance(event, RequestHead):
                self._transport.write(self._door.answer(event))
            elif isinstance(event, Malformed):
                head = RequestHead(b"GET", b"/", b"", [])
                self._transport.write(_answer(event.status, b"Bad Request", b"\n", head))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None


def _answer(
    status: int, reason: bytes, body: bytes, head: RequestHead, kind: bytes = _TEXT
) -> bytes:
    fields = [(b"Content-Type", kind), (b"Cache-Control", b"no-store")]
    said = ResponseHead(status, reason, fields, len(body))
    raw = response_bytes(said, method=head.method, http10=head.http10, keep_alive=False)
    return raw if head.method == b"HEAD" else raw + body
