"""HTTP+SSE, the oldest transport (2024-11-05): one process for each event stream.

The transport is the official SDK's. The stream is the session: with one ends the other.
"""

from __future__ import annotations

from mcp.server.sse import SseServerTransport
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from underpass.bridge.answers import answer_ended, answer_full
from underpass.bridge.child import ServerEnded
from underpass.bridge.children import Children
from underpass.bridge.owners import with_user
from underpass.bridge.pump import Pump
from underpass.bridge.sessions import Sessions
from underpass.bridge.settings import MESSAGES_ENDPOINT


class EventStreams:
    """The event streams of one bridge."""

    def __init__(self, children: Children, sessions: Sessions) -> None:
        self._children = children
        self._sessions = sessions
        self._transport = SseServerTransport(MESSAGES_ENDPOINT)

    async def open(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a GET that asks for a stream."""
        if scope["method"] != "GET":
            await Response(status_code=405, headers={"Allow": "GET"})(scope, receive, send)
            return
        if not self._sessions.make_room():
            await answer_full(scope, receive, send)
            return
        try:
            async with (
                self._children.one() as child,
                self._transport.connect_sse(with_user(scope), receive, send) as (read, write),
                read,
                write,
            ):
                await Pump(read, write, child).run()
        except ServerEnded:
            await answer_ended(scope, receive, send)

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one message for a stream."""
        await self._transport.handle_post_message(with_user(scope), receive, send)
