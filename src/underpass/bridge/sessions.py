"""Streamable HTTP with sessions (2025-03-26 to 2025-11-25): one process for each.

The transport is the official SDK's, session ids included. A session ends by DELETE, after idle
time, with its process, or when its place is needed and nobody uses it; its id is then unknown, and
404 tells the client to begin another.
"""

from __future__ import annotations

import time
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup, TaskStatus
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER, StreamableHTTPServerTransport
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from underpass.bridge.answers import answer_ended, answer_full, answer_unknown
from underpass.bridge.child import ServerEnded
from underpass.bridge.children import Children
from underpass.bridge.owners import visitor_of
from underpass.bridge.pump import Pump
from underpass.bridge.settings import BridgeSettings

FLUSH_SECONDS = 2.0
"""What answers to calls under way may take to leave when their process has ended."""


class _Session:
    def __init__(self, settings: BridgeSettings, owner: str) -> None:
        self.transport = StreamableHTTPServerTransport(
            mcp_session_id=uuid4().hex, idle_timeout=settings.idle_seconds
        )
        self.owner = owner
        """Whoever began it, as the gates knew; to everybody else it does not exist."""
        self.under_way = 0
        """Requests now served, the standing GET included."""
        self.posts = 0
        self.posts_done = anyio.Event()
        self.used_at = time.monotonic()

    @property
    def id(self) -> str:
        return self.transport.mcp_session_id or ""


class Sessions:
    """The sessions of one bridge."""

    def __init__(self, settings: BridgeSettings, children: Children, group: TaskGroup) -> None:
        self._settings = settings
        self._children = children
        self._group = group
        self._known: dict[str, _Session] = {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request to the endpoint."""
        request = Request(scope, receive)
        session_id = request.headers.get(MCP_SESSION_ID_HEADER)
        if session_id is not None:
            session = self._known.get(session_id)
            if session is None or session.owner != visitor_of(scope):
                await answer_unknown(scope, receive, send)
            else:
                await self._serve(session, scope, receive, send)
        elif request.method != "POST":
            # There is no stream without a session; a 404 would end some clients' attempts.
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
        elif not self.make_room():
            await answer_full(scope, receive, send)
        else:
            await self._open(scope, receive, send)

    def make_room(self) -> bool:
        """Whether another process may be started; the session unused for longest gives way."""
        if self._children.in_use < self._settings.max_sessions:
            return True
        unused = [session for session in self._known.values() if not session.under_way]
        if not unused:
            return False
        longest = min(unused, key=lambda session: session.used_at)
        del self._known[longest.id]
        if longest.transport.idle_scope is not None:
            longest.transport.idle_scope.cancel()
        return True

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = _Session(self._settings, visitor_of(scope))
        if not await self._group.start(self._run, session):
            await answer_ended(scope, receive, send)
            return
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._serve(session, scope, receive, note_status)
        finally:
            if not 200 <= status < 400:  # no session came of it
                self._known.pop(session.id, None)
                with anyio.CancelScope(shield=True):
                    await session.transport.terminate()

    async def _serve(self, session: _Session, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["method"] == "POST"
        session.under_way += 1
        session.posts += is_post
        try:
            await session.transport.handle_request(scope, receive, send)
        finally:
            session.under_way -= 1
            session.posts -= is_post
            session.used_at = time.monotonic()
            if not session.posts:
                session.posts_done.set()

    async def _run(self, session: _Session, *, task_status: TaskStatus[bool]) -> None:
        try:
            async with (
                self._children.one() as child,
                session.transport.connect() as (read, write),
            ):
                self._known[session.id] = session
                task_status.started(True)
                assert session.transport.idle_scope is not None
                try:
                    with session.transport.idle_scope:
                        await Pump(read, write, child).run()
                finally:
                    self._known.pop(session.id, None)
                    with anyio.CancelScope(shield=True):
                        await self._wind_down(session)
        except ServerEnded:
            task_status.started(False)

    async def _wind_down(self, session: _Session) -> None:
        with anyio.move_on_after(FLUSH_SECONDS):
            while session.posts:
                session.posts_done = anyio.Event()
                await session.posts_done.wait()
        if not session.transport.is_terminated:
            await session.transport.terminate()
