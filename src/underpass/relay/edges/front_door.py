"""The front door: every socket on which somebody may knock, and who is then called.

One port takes everything public. With a certificate, a connection's ClientHello is looked at before
anybody answers it: its server name finds tunnels whose TLS the connector ends, its ALPN list tells
links and reach connections from visitors. Without one (development, loopback) the first eight bytes
decide. PROXY headers are believed, and then required, from the configured networks alone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

from underpass.model.loopback import is_loopback
from underpass.relay.edges.acceptor import Acceptor
from underpass.relay.edges.addresses import SourceCap, is_within, parse_networks, plain_address
from underpass.relay.edges.arrival import Arrival
from underpass.relay.edges.byte_edge import ByteEdge
from underpass.relay.edges.certificates import Certificate
from underpass.relay.edges.client_hello import ClientHello
from underpass.relay.edges.first_bytes import FirstBytes
from underpass.relay.edges.http_edge import HttpEdge
from underpass.relay.edges.limits import EdgeLimits
from underpass.relay.edges.own_host import WebSocketDoors
from underpass.relay.edges.peek import Peek
from underpass.relay.edges.ports import Directory, LinkAcceptor, Peer
from underpass.relay.edges.redirect import RedirectEdge
from underpass.relay.edges.sockets import prepare_listener
from underpass.relay.edges.sweeper import Sweeper
from underpass.relay.edges.tls_shell import TlsRoom, TlsShell
from underpass.relay.protocol.frames import ALPN_LINK, ALPN_REACH

_LOOPBACK = ("127.0.0.0/8", "::1/128")
"""Not capped: a front proxy on this machine brings everybody, and whoever else is here could do
worse than connect."""
_LINK = ALPN_LINK.encode()
_REACH = ALPN_REACH.encode()


class FrontDoor:
    """All public listeners of one relay. Belongs to one event loop; ``close`` ends it.

    Listening sockets are handed over bound; the door owns them from then on.
    """

    def __init__(
        self,
        directory: Directory,
        links: LinkAcceptor,
        *,
        loop: asyncio.AbstractEventLoop,
        limits: EdgeLimits | None = None,
        certificate: Certificate | None = None,
        proxy_from: tuple[str, ...] = (),
        https_port: int = 443,
    ) -> None:
        """``proxy_from`` are CIDRs; raises ``ValueError`` when one is not. ``https_port`` is where
        port 80 redirects to."""
        parse_networks(proxy_from)
        self.limits = limits or EdgeLimits()
        self.sources = SourceCap(
            self.limits.connections_per_source, exempt=(*_LOOPBACK, *proxy_from)
        )
        self.sweeper = Sweeper(loop, self.limits.sweep_seconds)
        self.certificate = certificate
        """Set anew to reload: connections that are up keep the old one."""
        doors = WebSocketDoors(directory, link=self.link_came, reach=self.reach_came)
        self.http = HttpEdge(
            directory, loop=loop, limits=self.limits, sources=self.sources, own_host=doors
        )
        self.bytes = ByteEdge(directory, loop=loop, limits=self.limits, sources=self.sources)
        self._redirect = RedirectEdge(
            directory, loop=loop, limits=self.limits, sources=self.sources, https_port=https_port
        )
        self._tls = TlsRoom(self.sweeper, timeout=self.limits.handshake_seconds)
        self._directory = directory
        self._links = links
        self._loop = loop
        self._proxy_from = proxy_from
        self._servers: dict[int, asyncio.Server | Acceptor] = {}
        self._peeks: set[Peek] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- listening ----------------------------------------------------------------------------

    async def open_public(self, listener: socket.socket) -> int:
        """Serve everything on ``listener``; answers its port."""
        if self.certificate is None and not self._proxy_from:
            return await self._serve(listener, partial(FirstBytes, self))
        return self._accept(listener, self._admit_public)

    async def open_redirect(self, listener: socket.socket) -> int:
        """Send plain GET and HEAD requests to HTTPS."""
        return await self._serve(listener, self._redirect.connection)

    async def open_loopback(self, listener: socket.socket) -> int:
        """Serve the one HTTP tunnel that owns this loopback port."""
        port = listener.getsockname()[1]
        return await self._serve(listener, partial(self.http.connection, None, port))

    async def open_tcp(self, listener: socket.socket) -> int:
        """Serve the one tcp tunnel that owns this port."""
        port = listener.getsockname()[1]
        if not self._proxy_from:
            return await self._serve(listener, partial(self.bytes.tcp, port))
        return self._accept(listener, partial(self._admit_tcp, port))

    def close_port(self, port: int) -> None:
        """Listen there no more; connections that are up stay. Idempotent."""
        server = self._servers.pop(port, None)
        if server is not None:
            server.close()

    async def _serve(
        self, listener: socket.socket, factory: Callable[[], asyncio.BaseProtocol]
    ) -> int:
        prepare_listener(listener)
        port: int = listener.getsockname()[1]
        self._servers[port] = await self._loop.create_server(factory, sock=listener, backlog=1024)
        return port

    def _accept(self, listener: socket.socket, admit: Callable[[socket.socket, Any], None]) -> int:
        prepare_listener(listener)
        listener.listen(1024)
        port: int = listener.getsockname()[1]
        turn = self.limits.accepts_per_turn
        self._servers[port] = Acceptor(self._loop, listener, admit, a_turn=turn)
        return port

    # -- connections we accept ourselves ------------------------------------------------------

    def _admit_public(self, sock: socket.socket, address: Any) -> None:
        self._peek(sock, address, wants_hello=self.certificate is not None, done=self._known)

    def _admit_tcp(self, port: int, sock: socket.socket, address: Any) -> None:
        self._peek(sock, address, wants_hello=False, done=partial(self._tcp_known, port))

    def _peek(
        self,
        sock: socket.socket,
        address: Any,
        *,
        wants_hello: bool,
        done: Callable[[Peek, Peer, ClientHello | None], None],
    ) -> None:
        source = plain_address(address[0])
        if not self.sources.take(source):
            sock.close()
            return
        peek = Peek(
            self._loop,
            sock,
            (source, address[1]),
            wants_proxy=is_within(source, self._proxy_from),
            wants_hello=wants_hello,
            deadline=self._loop.time() + self.limits.head_seconds,
            done=done,
            refused=self._refused,
        )
        self._peeks.add(peek)
        self.sweeper.add(peek)
        peek.start()

    def _refused(self, peek: Peek) -> None:
        self._forget(peek)
        self.sources.give(peek.source)
        peek.sock.close()

    def _forget(self, peek: Peek) -> None:
        self._peeks.discard(peek)
        self.sweeper.discard(peek)

    def _arrive(self, peek: Peek, peer: Peer) -> Arrival | None:
        """The facts of the connection, counted against the visitor instead of its proxy."""
        self._forget(peek)
        self.sources.give(peek.source)
        address = plain_address(peer[0])
        if not self.sources.take(address):
            peek.sock.close()
            return None
        near = is_loopback(plain_address(peek.sock.getsockname()[0]))
        on_loopback = near and peek.source == address and is_loopback(address)
        return Arrival((address, peer[1]), counted=address, on_loopback=on_loopback)

    def _tcp_known(self, port: int, peek: Peek, peer: Peer, hello: ClientHello | None) -> None:
        """It is known who comes to a tcp port."""
        arrival = self._arrive(peek, peer)
        if arrival is not None:
            self._connect(peek.sock, partial(self.bytes.tcp, port, arrival))

    def _known(self, peek: Peek, peer: Peer, hello: ClientHello | None) -> None:
        """It is known what a connection to the public port wants."""
        arrival = self._arrive(peek, peer)
        if arrival is None:
            return
        certificate = self.certificate
        if hello is None or certificate is None:
            self._connect(peek.sock, partial(FirstBytes, self, arrival))
            return
        exposure = self._directory.find(hello.server_name) if hello.server_name else None
        if exposure is not None and exposure.tls == "passthrough":
            self._connect(peek.sock, partial(self.bytes.passthrough, exposure, arrival))
            return
        secure = replace(arrival, server_name=hello.server_name, certificate=certificate.leaf)
        above: Callable[[], asyncio.BaseProtocol]
        if _LINK in hello.protocols:
            above, context = partial(_LinkGreeter, self, secure), certificate.links
        elif _REACH in hello.protocols:
            above, context = partial(self.bytes.reach, secure), certificate.reach
        else:
            above, context = partial(self.http.connection, secure), certificate.visitors
        failed = partial(self.sources.give, secure.counted)
        self._connect(peek.sock, partial(TlsShell, self._tls, context, above, failed, self._loop))

    def _connect(self, sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        task = self._loop.create_task(self._finish(sock, factory), name="edge-connect")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(
        self, sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        await self._loop.connect_accepted_socket(factory, sock)

    # -- where connections go -----------------------------------------------------------------

    def http_came(self, transport: asyncio.Transport, arrival: Arrival, data: bytes) -> None:
        """See ``PlainDoors``."""
        connection = self.http.connection(arrival)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.receive(data)

    def link_came(self, transport: asyncio.Transport, arrival: Arrival, data: bytes) -> None:
        """See ``PlainDoors``. Links have limits of their own."""
        self.sources.give(arrival.counted)
        self._links.accept_link(transport, data, arrival.certificate)

    def reach_came(self, transport: asyncio.Transport, arrival: Arrival, data: bytes) -> None:
        """See ``PlainDoors``."""
        visitor = self.bytes.reach(arrival)
        transport.set_protocol(visitor)
        visitor.connection_made(transport)
        if data:
            visitor.data_received(data)

    # -- ends ---------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take nobody new; end idle connections now and busy ones after their answer."""
        for port in tuple(self._servers):
            self.close_port(port)
        self.http.drain()
        for member in self.sweeper:
            if isinstance(member, FirstBytes):
                member.close()

    @property
    def busy(self) -> int:
        """HTTP connections in the middle of something."""
        return self.http.busy

    def close(self) -> None:
        """End everything now."""
        for port in tuple(self._servers):
            self.close_port(port)
        for peek in tuple(self._peeks):
            peek.cancel()
            peek.sock.close()
        self._peeks.clear()
        for task in tuple(self._tasks):
            task.cancel()
        for member in self.sweeper:
            if isinstance(member, FirstBytes | TlsShell):
                member.close()
        self.sweeper.close()
        self.http.close()
        self.bytes.close()
        self._redirect.close()


class _LinkGreeter(asyncio.Protocol):
    """Hands a link's TLS transport on as soon as the handshake is done."""

    def __init__(self, door: FrontDoor, arrival: Arrival) -> None:
        self._door = door
        self._arrival = arrival

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._door.link_came(cast(asyncio.Transport, transport), self._arrival, b"")
