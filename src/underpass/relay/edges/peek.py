"""Looking at a connection's first bytes without taking them from its socket.

asyncio cannot start TLS on bytes that were already read, so who a TLS visitor wants is found out
with MSG_PEEK. SO_RCVLOWAT keeps the kernel from waking us before the next needed byte is there, so
a ClientHello that drips in costs a wake-up a segment and nothing in between. A PROXY header, which
stands before it, is taken off byte-exactly.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from underpass.model.errors import PeerFault
from underpass.relay.edges.client_hello import ClientHello, parse_client_hello
from underpass.relay.edges.ports import Peer
from underpass.relay.edges.proxy_protocol import V2_MAX, ProxyHeader, parse_proxy_header
from underpass.relay.edges.sockets import Departure, departure_of

_PEEK_LIMIT: Final = 16 * 1024
_RETRY: Final = 0.02


class Peek:
    """One accepted socket until it is known what comes over it.

    ``done(peek, peer, hello)`` is called once with what was found (``hello`` None where no TLS was
    asked for), or ``refused(peek)`` when it cannot be told or the visitor left. From then on, and
    after ``cancel``, the socket is the caller's to close.
    """

    __slots__ = (
        "_deadline",
        "_done",
        "_loop",
        "_lowat",
        "_peer",
        "_refused",
        "_retry",
        "_seen",
        "_wants_hello",
        "_wants_proxy",
        "sock",
        "source",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        peer: Peer,
        *,
        wants_proxy: bool,
        wants_hello: bool,
        deadline: float,
        done: Callable[[Peek, Peer, ClientHello | None], None],
        refused: Callable[[Peek], None],
    ) -> None:
        self.sock = sock
        self.source = peer[0]
        """The address that the socket itself names."""
        self._loop = loop
        self._peer = peer
        self._wants_proxy = wants_proxy
        self._wants_hello = wants_hello
        self._deadline = deadline
        self._done = done
        self._refused = refused
        self._seen = 0
        self._lowat = 1
        self._retry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at once, then whenever more has come. Where nothing is to be seen, nothing is
        waited for: in many protocols the server speaks first."""
        if not (self._wants_proxy or self._wants_hello):
            self._done(self, self._peer, None)
            return
        self._loop.add_reader(self.sock.fileno(), self._look)
        self._look()

    def cancel(self) -> None:
        """Look no more. The socket stays open."""
        self._loop.remove_reader(self.sock.fileno())
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def tick(self, now: float) -> None:
        """Refuse when the time is over."""
        if now >= self._deadline:
            self._give_up()

    def _look(self) -> None:
        try:
            while not self._is_settled():
                pass
        except (PeerFault, OSError):
            self._give_up()

    def _is_settled(self) -> bool:
        """Look once. False: a PROXY header was taken off, look at what stands behind it."""
        try:
            data = self.sock.recv(_PEEK_LIMIT, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._wait_for(1)
            return True
        if len(data) <= self._seen:
            if not data or departure_of(self.sock.fileno()) != Departure.STAYS:
                raise ConnectionAbortedError
            self._pause()
            return True
        if self._wants_proxy:
            header = parse_proxy_header(data[:V2_MAX])
            if isinstance(header, ProxyHeader):
                self.sock.recv(header.size)  # whole and unread: we have just seen it
                self._peer = header.source or self._peer
                self._wants_proxy = False
                self._seen = 0
                if self._wants_hello:
                    return False
                self._finish(None)
                return True
            needed = header
        else:
            hello = parse_client_hello(data)
            if isinstance(hello, ClientHello):
                self._finish(hello)
                return True
            needed = hello
        self._seen = len(data)
        self._wait_for(needed)
        return True

    def _pause(self) -> None:
        """Woken too early: when memory for TCP runs short, the kernel no longer waits for
        SO_RCVLOWAT. Look again after a while, instead of at every turn of the loop."""
        self._loop.remove_reader(self.sock.fileno())
        self._retry = self._loop.call_later(_RETRY, self._resume)

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self.sock.fileno(), self._look)

    def _finish(self, hello: ClientHello | None) -> None:
        self._wait_for(1)
        self.cancel()
        self._done(self, self._peer, hello)

    def _wait_for(self, count: int) -> None:
        if count != self._lowat:
            self._lowat = count
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def _give_up(self) -> None:
        self.cancel()
        self._refused(self)
