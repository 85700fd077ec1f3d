"""One bridge as an ASGI application: each request to the transport of its era."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from mcp.server.transport_security import RequestBodyLimitMiddleware
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from underpass.bridge.children import Children
from underpass.bridge.events import EventStreams
from underpass.bridge.sessions import Sessions
from underpass.bridge.settings import (
    ENDPOINT,
    EVENTS_ENDPOINT,
    HEALTH,
    MESSAGES_ENDPOINT,
    BridgeSettings,
)
from underpass.bridge.stateless import Stateless

MAX_BODY = 16 * 1024 * 1024
"""Four times the official SDK's default: tools take files."""


class Bridge:
    """Serves one stdio server. Made by ``serving``."""

    def __init__(self, settings: BridgeSettings, group: anyio.abc.TaskGroup) -> None:
        self.children = Children(settings, group)
        self._sessions = Sessions(settings, self.children, group)
        self._events = EventStreams(self.children, self._sessions)
        self._stateless = Stateless(settings, self.children, self._sessions, group)
        self.application = RequestBodyLimitMiddleware(self._handle, MAX_BODY)

    @property
    def under_way(self) -> int:
        """Requests without a session that have no answer yet."""
        return self._stateless.under_way

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == ENDPOINT:
            headers = dict(scope["headers"])
            version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
            is_older = not version or version in HANDSHAKE_PROTOCOL_VERSIONS
            era = self._sessions if is_older else self._stateless
            await era.handle(scope, receive, send)
        elif path == EVENTS_ENDPOINT:
            await self._events.open(scope, receive, send)
        elif path.startswith(MESSAGES_ENDPOINT):
            await self._events.post(scope, receive, send)
        elif path == HEALTH:
            status = 200 if await self.children.ready() else 503
            await Response(status_code=status)(scope, receive, send)
        else:
            await Response("there is nothing here\n", 404)(scope, receive, send)


@asynccontextmanager
async def serving(settings: BridgeSettings) -> AsyncIterator[Bridge]:
    """A bridge; every process it started has ended when the block is left."""
    async with anyio.create_task_group() as group:
        yield Bridge(settings, group)
        group.cancel_scope.cancel()
