"""The relay's own host: links and reach connections over WebSocket, where raw TLS is blocked.

Never on tunnel hosts. A request that names an Origin comes from a browser's page, and no page has
business here, so it is refused whatever it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from websockets.http11 import Request
from websockets.server import ServerProtocol

from underpass.http.answers import answer
from underpass.http.messages import RequestHead, lookup
from underpass.http.writer import request_bytes
from underpass.relay.edges.arrival import Arrival
from underpass.relay.edges.http_edge import host_name
from underpass.relay.edges.ports import Directory
from underpass.relay.edges.visitor import VisitorConnection
from underpass.relay.links.websocket import LINK_PATH, MAX_MESSAGE, REACH_PATH, WebSocketShell

Taker = Callable[[asyncio.Transport, Arrival, bytes], None]


class WebSocketDoors:
    """Takes upgrades on the relay's own host over; everything else there is no tunnel."""

    def __init__(self, directory: Directory, *, link: Taker, reach: Taker) -> None:
        """``link`` and ``reach`` get a transport that hides the WebSocket."""
        self._directory = directory
        self._takers: Final = {LINK_PATH.encode(): link, REACH_PATH.encode(): reach}

    def upgrade(self, connection: VisitorConnection, head: RequestHead) -> bool:
        """See ``OwnHost``."""
        taker = self._takers.get(head.target)
        arrival = connection.arrival
        name = host_name(head.host.decode("ascii").lower())
        if (
            taker is None
            or arrival is None
            or connection.port
            or name != self._directory.relay_host
            or head.upgrade.lower() != b"websocket"
            or not (arrival.secure or arrival.on_loopback)
        ):
            return False
        if lookup(head.headers, b"origin") is not None:
            connection.last_words(answer("gate-refused"))
            return True
        ws = ServerProtocol(max_size=MAX_MESSAGE)
        ws.receive_data(request_bytes(head))
        requests = [event for event in ws.events_received() if isinstance(event, Request)]
        if not requests:
            connection.last_words(answer("request-malformed"))
            return True
        ws.send_response(ws.accept(requests[0]))
        transport, rest = connection.hand_over()
        shell = WebSocketShell(ws, _HandOver(taker, arrival))
        transport.set_protocol(shell)
        shell.connection_made(transport)
        if rest and not transport.is_closing():
            shell.data_received(rest)
        return True


class _HandOver(asyncio.Protocol):
    """Passes the transport that hides the WebSocket on as soon as it is there."""

    def __init__(self, taker: Taker, arrival: Arrival) -> None:
        self._taker = taker
        self._arrival = arrival

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._taker(cast(asyncio.Transport, transport), self._arrival, b"")
