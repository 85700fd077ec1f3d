"""Messages between one client and one process, either way, unread but for who answers whom.

Whatever a client or a server says passes, known method or not. Kept are the ids of requests under
way, so that each is answered with its own id when the process ends, and so that what a server says
during a call reaches the stream of that call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import (
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from underpass.bridge.child import Child, ServerEnded

ENDED: Final = -32000
# What JSON-RPC leaves to servers; MCP's SDKs read it as "connection closed".

_ABOUT_NO_CALL: Final = (
    "notifications/resources/",
    "notifications/tools/",
    "notifications/prompts/",
)
"""Changes that belong to the session's own stream, not to a call's."""


class Reads(Protocol):
    """Where the client's messages come from."""

    async def receive(self) -> SessionMessage | Exception:
        """The next one."""


class Writes(Protocol):
    """Where messages to the client go."""

    async def send(self, item: SessionMessage) -> None:
        """Send one."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A client's request under way."""

    token: object
    """Its progress token, or None."""
    give_up: Callable[[], Awaitable[None]] | None
    """Ends its stream without an answer."""


class Pump:
    """Joins one client to one process."""

    def __init__(self, read: Reads, write: Writes, child: Child) -> None:
        self._read = read
        self._write = write
        self._child = child
        self._calls: dict[RequestId, _Call] = {}

    async def run(self) -> None:
        """Until either side ends. When the process ends first, every call under way is answered
        with an error before this returns."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._up, group.cancel_scope)
            try:
                while True:
                    message = await self._child.receive()
                    await self._write.send(SessionMessage(message, self._related(message)))
            except ServerEnded:
                await self._answer_all()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the client's side is gone
            group.cancel_scope.cancel()

    async def _up(self, scope: anyio.CancelScope) -> None:
        while True:
            try:
                received = await self._read.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                scope.cancel()
                return
            if not isinstance(received, SessionMessage):
                continue  # it was no JSON-RPC, and has been told so
            message = received.message
            if isinstance(message, JSONRPCRequest):
                self._begin(message, received.metadata)
            try:
                await self._child.send(message)
            except ServerEnded:
                return  # the other direction sees it too, and answers what was begun
            if isinstance(message, JSONRPCNotification):
                await self._cancelled(message)

    def _begin(self, request: JSONRPCRequest, metadata: object) -> None:
        meta = (request.params or {}).get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        give_up = getattr(metadata, "on_request_unanswered", None)
        self._calls[request.id] = _Call(token, give_up)

    async def _cancelled(self, message: JSONRPCNotification) -> None:
        if message.method != "notifications/cancelled":
            return
        call = self._calls.pop((message.params or {}).get("requestId", ""), None)
        if call is not None and call.give_up is not None:
            await call.give_up()

    def _related(self, message: JSONRPCMessage) -> ServerMessageMetadata | None:
        """Which call's stream ``message`` goes to; None: its own answer's, or the session's."""
        if isinstance(message, (JSONRPCResponse, JSONRPCError)):
            if message.id is not None:
                self._calls.pop(message.id, None)
            return None
        if not self._calls or message.method.startswith(_ABOUT_NO_CALL):
            return None
        return ServerMessageMetadata(related_request_id=self._call_of(message.params or {}))

    def _call_of(self, params: dict[str, Any]) -> RequestId:
        """By progress token; stdio says no more, so otherwise the newest call it is."""
        token = params.get("progressToken")
        if token is not None:
            for request_id, call in self._calls.items():
                if call.token == token:
                    return request_id
        return next(reversed(self._calls))

    async def _answer_all(self) -> None:
        calls, self._calls = self._calls, {}
        for request_id in calls:
            try:
                await self._write.send(SessionMessage(ended(request_id)))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return


def ended(request_id: RequestId | None) -> JSONRPCError:
    """The answer to a call whose process ended."""
    return JSONRPCError(
        jsonrpc="2.0",
        id=request_id,
        error=ErrorData(
            code=ENDED,
            message="the MCP server behind the tunnel ended",
            data={"code": "stdio-server-ended", "retryable": True},
        ),
    )
