"""Streamable HTTP without sessions (2026-07-28 and later): every request stands alone.

All of them share one process, since the handles that such a server gives out live in its memory.
Here a visitor that hangs up has cancelled; the process is told.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from underpass.bridge.answers import answer_full, respond
from underpass.bridge.child import Child, ServerEnded
from underpass.bridge.children import Children
from underpass.bridge.correlation import Correlation
from underpass.bridge.judgement import judge
from underpass.bridge.pump import ended
from underpass.bridge.sessions import Sessions
from underpass.bridge.settings import BridgeSettings

COMMIT_SECONDS: Final = 15.0
"""After so long without a word the answer begins as an event stream, below every idle limit."""
CANCEL_SECONDS: Final = 30.0
"""How long a process that reads nothing is waited for, to tell it that a visitor has left."""
QUEUED: Final = 256
"""Messages that may wait for one slow visitor; at one more its answer is broken off, since all the
others wait for the same process."""

_EVENTS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]

_Outlet = MemoryObjectSendStream[JSONRPCMessage]


class Stateless:
    """The requests without sessions of one bridge."""

    def __init__(
        self, settings: BridgeSettings, children: Children, sessions: Sessions, group: TaskGroup
    ) -> None:
        self._settings = settings
        self._children = children
        self._sessions = sessions
        self._group = group
        self._calls: Correlation[_Outlet] = Correlation()
        self._child: Child | None = None
        self._starting = anyio.Lock()
        self._quiet = anyio.Event()

    @property
    def under_way(self) -> int:
        """Requests that have no answer yet."""
        return len(self._calls)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request to the endpoint."""
        request = Request(scope, receive)
        if request.method != "POST":
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
            return
        asked = judge(await request.body(), request)
        if isinstance(asked, Response):
            await asked(scope, receive, send)
        elif self._child is None and not self._sessions.make_room():
            await answer_full(scope, receive, send)
        else:
            await self._call(asked, scope, receive, send)

    async def _call(
        self, asked: JSONRPCRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        outlet, inlet = anyio.create_memory_object_stream[JSONRPCMessage](QUEUED)
        told: Child | None = None
        with outlet, inlet:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch_departure, receive, group.cancel_scope)
                try:
                    child = await self._shared()
                    await child.send(self._calls.outgoing(asked, outlet))
                    told = child
                except ServerEnded:
                    self._calls.forget(outlet)
                    await respond(503, ended(asked.id), retry=True)(scope, receive, send)
                else:
                    with suppress(anyio.EndOfStream):  # too slow: what is left unsent shows it
                        await _stream(inlet, send)
                group.cancel_scope.cancel()
            number = self._calls.forget(outlet)
            if number is not None:
                await self._cancel(told, number)

    async def _cancel(self, child: Child | None, number: object) -> None:
        """The visitor left before its answer; ``child`` has its request, if any has."""
        params = {"requestId": number, "reason": "the client closed the connection"}
        told = JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params=params)
        if child is not None:
            with suppress(ServerEnded), anyio.move_on_after(CANCEL_SECONDS):
                await child.send(told)
        self._note_quiet()

    async def _shared(self) -> Child:
        async with self._starting:
            if self._child is None or self._child.is_over:
                child: Child | None = await self._group.start(self._keep)
                if child is None:
                    raise ServerEnded
                return child
            return self._child

    async def _keep(self, *, task_status: TaskStatus[Child | None]) -> None:
        """Own the shared process until it ends, or nobody has used it for long."""
        try:
            async with self._children.one(untouched=True) as child:
                self._child = child
                task_status.started(child)
                try:
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._end_when_idle, group.cancel_scope)
                        await self._deliver(child)
                        group.cancel_scope.cancel()
                finally:
                    if self._child is child:
                        self._child = None
        except ServerEnded:
            task_status.started(None)

    async def _deliver(self, child: Child) -> None:
        while True:
            try:
                message = await child.receive()
            except ServerEnded:
                break
            if isinstance(message, JSONRPCRequest):
                continue  # a server of this era asks nothing on its own
            meant = self._calls.incoming(message)
            if meant is not None:
                owner, told, _ = meant
                _hand_over(owner, told)
            self._note_quiet()
        for owner, request_id in self._calls.take_all():
            _hand_over(owner, ended(request_id))

    def _note_quiet(self) -> None:
        if not len(self._calls):
            self._quiet.set()

    async def _end_when_idle(self, scope: anyio.CancelScope) -> None:
        while True:
            self._quiet = anyio.Event()
            with anyio.move_on_after(self._settings.idle_seconds) as waiting:
                await self._quiet.wait()
            if waiting.cancelled_caught and not len(self._calls):
                scope.cancel()
                return


def _hand_over(owner: _Outlet, message: JSONRPCMessage) -> None:
    try:
        owner.send_nowait(message)
    except anyio.WouldBlock:
        owner.close()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # it has left


async def _watch_departure(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _stream(inlet: MemoryObjectReceiveStream[JSONRPCMessage], send: Send) -> None:
    """One answer: JSON when it comes first, else an event stream that it ends."""
    first: JSONRPCMessage | None = None
    with anyio.move_on_after(COMMIT_SECONDS):
        first = await inlet.receive()
    if first is not None and not isinstance(first, JSONRPCNotification):
        status = 200
        if isinstance(first, JSONRPCError):
            is_gone = (first.error.data or {}) == ended(None).error.data
            status = 503 if is_gone else ERROR_CODE_HTTP_STATUS.get(first.error.code, 200)
        body = respond(status, first, retry=status == 503)
        await body({"type": "http"}, _never, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
    message: JSONRPCMessage | None = first
    while True:
        text = b":\r\n\r\n" if message is None else _event(message)
        is_last = message is not None and not isinstance(message, JSONRPCNotification)
        await send({"type": "http.response.body", "body": text, "more_body": not is_last})
        if is_last:
            return
        message = await inlet.receive()


def _event(message: JSONRPCMessage) -> bytes:
    data = message.model_dump_json(by_alias=True, exclude_unset=True)
    return f"event: message\r\ndata: {data}\r\n\r\n".encode()


async def _never() -> Any:
    await anyio.sleep_forever()
