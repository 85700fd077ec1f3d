"""One visitor's exchange with an application of our own: the gatehouse's ports and ASGI, joined.

What the visitor sends is held until the application takes it, and never more than ``MAX_BODY`` of
it; what the application says waits for the visitor's room.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from underpass.gatehouse.own_answers import OwnAnswer, own_answer, render_own
from underpass.gatehouse.ports import Peer, Visitor
from underpass.http.messages import NO_BODY, UNKNOWN_LENGTH, Headers, RequestHead, ResponseHead
from underpass.model.origin import Kind

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

MAX_BODY: Final = 64 * 1024
"""Bytes of a request's body: a form or a registration has one or two thousand."""

log = logging.getLogger(__name__)


class InnerExchange:
    """``ports.Exchange`` on one side, ASGI's ``receive`` and ``send`` on the other."""

    def __init__(self, visitor: Visitor, head: RequestHead, peer: Peer) -> None:
        self.task: asyncio.Task[None] | None = None
        self._visitor = visitor
        self._head = head
        self._peer = peer
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._request_over = head.body == NO_BODY
        self._is_told = False
        """The application has been told the end of the request."""
        self._started: ResponseHead | None = None
        self._is_head_sent = False
        self._is_over = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    # The application's side.

    async def run(self, app: AsgiApp, seconds: float) -> None:
        """Let ``app`` answer; whatever it does wrong ends in an answer or a break."""
        try:
            async with asyncio.timeout(seconds):
                await app(self._scope(), self._receive, self._send)
        except asyncio.CancelledError:
            self._end_broken("cancelled")
            raise
        except TimeoutError:
            log.warning("a page of our own took too long")
        except Exception:
            log.exception("a page of our own failed")
        if not self._is_over:
            self._end_broken("over-limit")

    async def _receive(self) -> Message:
        while not (self._is_over or self._parts or (self._request_over and not self._is_told)):
            self._news.clear()
            await self._news.wait()
        if self._is_over:
            return {"type": "http.disconnect"}
        part = self._parts.popleft() if self._parts else b""
        self._visitor.drained(len(part))
        more = bool(self._parts) or not self._request_over
        self._is_told = not more
        return {"type": "http.request", "body": part, "more_body": more}

    async def _send(self, message: Message) -> None:
        if self._is_over:
            return
        if message["type"] == "http.response.start":
            self._started = _response_head(message["status"], message.get("headers", ()))
            return
        visitor = self._visitor
        body = b"" if self._head.method == b"HEAD" else bytes(message.get("body", b""))
        more = bool(message.get("more_body", False))
        if self._started is not None:
            started, self._started = self._started, None
            self._is_head_sent = True
            if not more:
                visitor.send_head(started, body, end=True)
                self._finish()
                return
            visitor.send_head(started)
        if body:
            visitor.send_data(body)
        if not more:
            visitor.send_end()
            self._finish()
        while visitor.room <= 0 and not self._is_over:
            self._room.clear()
            await self._room.wait()

    def _scope(self) -> Message:
        path, _, query = self._head.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self._head.method.decode("ascii"),
            "scheme": "https" if self._peer.secure else "http",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [
                (b"host", self._head.host),
                *((name.lower(), value) for name, value in self._head.headers),
            ],
            "client": (self._peer.address, self._peer.port) if self._peer.address else None,
            "server": None,
        }

    # The visitor's side (ports.Exchange).

    def refuse(self, code: str) -> None:
        """Answer in the application's place."""
        self._answer(own_answer(code))

    def data_received(self, data: bytes | memoryview) -> None:
        part = bytes(data)
        if self._is_over:
            self._visitor.drained(len(part))
            return
        self._size += len(part)
        if self._size > MAX_BODY:
            self._cancel()
            if self._is_head_sent:
                self._end_broken("body-too-large")
            else:
                self._answer(own_answer("body-too-large"))
            return
        if part:
            self._parts.append(part)
            self._news.set()

    def trailers_received(self, trailers: Headers) -> None:
        """No page of ours has a use for them."""

    def end_received(self) -> None:
        self._request_over = True
        self._news.set()

    def visitor_left(self, code: str) -> None:
        self._leave(code)

    def answer_unwanted(self, code: str) -> None:
        self._leave(code)

    def resume_writing(self) -> None:
        self._room.set()

    # How it ends.

    def _answer(self, answer: OwnAnswer) -> None:
        if self._is_over:
            return
        head, body = render_own(answer, Kind.HTTP, self._head, None)
        self._is_over = True
        self._visitor.send_head(head, body, end=True)
        self._visitor.stop(answer.answer.code)

    def _end_broken(self, code: str) -> None:
        if self._is_over:
            return
        if not self._is_head_sent:
            self._answer(own_answer("over-limit"))
            return
        self._is_over = True
        self._visitor.abort(code)
        self._visitor.stop(code)

    def _leave(self, code: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._visitor.abort(code)
            self._visitor.stop(code)
        self._news.set()
        self._room.set()
        self._cancel()

    def _finish(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._news.set()
        if not self._request_over or self._parts:
            self._visitor.stop("answer-complete")

    def _cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


def _response_head(status: int, headers: Any) -> ResponseHead:
    """The application's head, framed as we frame heads."""
    kept: Headers = []
    length = UNKNOWN_LENGTH
    for name, value in headers:
        if _BREAKS.search(name + value):
            raise ValueError("a line break in a field of our own")
        if name.lower() == b"content-length":
            length = int(value)
        elif name.lower() not in (b"connection", b"transfer-encoding", b"date", b"server"):
            kept.append((bytes(name), bytes(value)))
    if status in (204, 304):
        length = NO_BODY
    return ResponseHead(status, _REASONS.get(status, b"Other"), kept, length)


_BREAKS: Final = re.compile(rb"[\r\n\0]")

_REASONS: Final = {
    200: b"OK",
    201: b"Created",
    204: b"No Content",
    302: b"Found",
    303: b"See Other",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    410: b"Gone",
    413: b"Content Too Large",
    429: b"Too Many Requests",
    503: b"Service Unavailable",
}
