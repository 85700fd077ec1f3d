"""From an origin as written to a connection: addresses, their order, and what failure means.

The address comes from the tunnel's spec and from nothing a visitor sent. ``localhost`` and names
below it are known here, since the system's resolver often does not know the latter; other names are
asked for anew each ``NAME_SECONDS`` and their last good addresses are used while DNS is down.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from underpass.gatehouse.books import Books
from underpass.gatehouse.hangup import HangupWatch
from underpass.gatehouse.origin.connection import OriginConnection, OriginUser, ReadBuffer
from underpass.gatehouse.origin.source import OriginSource
from underpass.model.origin import Origin

CONNECT_SECONDS: Final = 10.0
# A service on the same machine or network answers in milliseconds; a SYN into nothing never does.

NAME_SECONDS: Final = 10.0
MAX_CONNECTIONS: Final = 4096
# Far above what one key's streams need (1,000), far below the usual limit of descriptors (20,000).

AWAY: Final = "origin-away"
FORBIDDEN: Final = "own-control-port"
OVER_LIMIT: Final = "over-limit"


class _Forbidden(OSError):
    """Every address of the origin is one that must not be dialled."""


class OriginDialler:
    """Makes connections to one origin. Every dial is a task that ``close`` ends.

    ``permit`` is asked for each address and port after resolution, for a Unix socket with its path
    and 0: our own control ports are no origin, under whatever name (DNS may say anything).
    ``source`` says from where an origin on loopback shall see us come.
    """

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        books: Books,
        watch: HangupWatch,
        permit: Callable[[str, int], bool] | None = None,
        source: OriginSource | None = None,
    ) -> None:
        self._origin = origin
        self._loop = loop
        self._books = books
        self._watch = watch
        self._permit = permit
        self._source = source
        self._buffer = ReadBuffer()
        self._dials: set[asyncio.Task[None]] = set()
        self._connections: set[OriginConnection] = set()
        self._gone: asyncio.Future[None] | None = None
        self._hosts: tuple[str, ...] = _known_addresses(origin.host)
        self._fixed = bool(self._hosts)
        self._ask = loop.getaddrinfo
        self._resolved_at = -NAME_SECONDS

    def dial(self, user: OriginUser) -> asyncio.Task[None]:
        """Connect for ``user``, who hears ``origin_ready`` or ``origin_refused``."""
        task = self._loop.create_task(self._dial(user), name="underpass: dial origin")
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)
        return task

    def close(self) -> None:
        """End every dial and every connection; exchanges hear ``origin_lost`` no more."""
        for task in self._dials:
            task.cancel()
        for connection in list(self._connections):
            if connection.user is None:
                connection.close()
            else:
                connection.abort()

    async def wait_closed(self) -> None:
        """Wait until the dials and connections that ``close`` ended are gone."""
        await asyncio.gather(*self._dials, return_exceptions=True)
        while self._connections:
            self._gone = self._loop.create_future()
            await self._gone

    def connection_opened(self, connection: OriginConnection) -> None:
        """A dial has succeeded (``ConnectionKeeper``)."""
        self._connections.add(connection)

    def connection_closed(self, connection: OriginConnection) -> None:
        """A connection is gone (``ConnectionKeeper``)."""
        self._connections.discard(connection)
        if not self._connections and self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    async def _dial(self, user: OriginUser) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            user.origin_refused(OVER_LIMIT)
            return

        made: list[OriginConnection] = []

        def make_connection() -> OriginConnection:
            made.append(OriginConnection(self._buffer, self._books, self._watch, self, user))
            return made[-1]

        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connect(make_connection)
        except _Forbidden:
            user.origin_refused(FORBIDDEN)
        except (OSError, TimeoutError):
            _give_up(made)
            user.origin_refused(AWAY)
        except asyncio.CancelledError:
            _give_up(made)
            raise

    async def _connect(self, make_connection: Callable[[], OriginConnection]) -> None:
        loop, origin = self._loop, self._origin
        if origin.is_unix:
            if not self._is_permitted(origin.socket, 0):
                raise _Forbidden
            await loop.create_unix_connection(make_connection, origin.socket)
            return
        hosts = self._hosts
        if not self._fixed and loop.time() - self._resolved_at >= NAME_SECONDS:
            hosts = await self._resolve()
        failure: OSError = _Forbidden()
        for host in hosts:
            if not self._is_permitted(host, origin.port):
                continue
            try:
                await self._connect_to(host, make_connection)
            except OSError as error:
                failure = error
                continue
            if host != hosts[0]:  # begin with what worked
                self._hosts = (host, *(other for other in hosts if other != host))
            return
        raise failure

    async def _connect_to(self, host: str, make_connection: Callable[[], OriginConnection]) -> None:
        loop, port = self._loop, self._origin.port
        bound = None if self._source is None else self._source.bound_socket(host)
        if bound is None:
            await loop.create_connection(make_connection, host, port)
            return
        try:
            await loop.sock_connect(bound, (host, port))
        except BaseException:
            bound.close()
            raise
        transport = None
        try:
            transport, _ = await loop.create_connection(make_connection, sock=bound)
        finally:
            is_over = transport is None or transport.is_closing()
            if is_over and not isinstance(loop, asyncio.BaseEventLoop):
                # uvloop lets go of the socket object only if it was still open in the end;
                # libuv closes the descriptor either way.
                bound.detach()

    def _is_permitted(self, address: str, port: int) -> bool:
        return self._permit is None or self._permit(address, port)

    async def _resolve(self) -> tuple[str, ...]:
        try:
            found = await self._ask(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
        except OSError:
            if not self._hosts:
                raise
            return self._hosts
        hosts = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
        last = self._hosts[:1]
        self._hosts = (
            (*last, *(host for host in hosts if host not in last))
            if (last and last[0] in hosts)
            else hosts
        )
        self._resolved_at = self._loop.time()
        return self._hosts


def _give_up(made: list[OriginConnection]) -> None:
    for each in made:
        each.dial_failed()


def _known_addresses(host: str) -> tuple[str, ...]:
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return ("127.0.0.1", "::1")  # RFC 6761 6.3
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        return ()
