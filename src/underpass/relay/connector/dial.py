"""One connection to the relay, whatever stands between: addresses, TLS, proxies, WebSocket.

A dialler remembers the last address that worked and uses it while DNS is down. Where raw TLS is
not let through (the ALPN answer is missing, or the connection dies in the handshake) it falls back
to a WebSocket on the relay's own host and remembers that too.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import RelayCertificateWrong, RelayUnreachable
from underpass.model.loopback import is_loopback
from underpass.relay.connector.address import RelayAddress
from underpass.relay.links.websocket import MAX_MESSAGE, WebSocketShell

P = TypeVar("P", bound=asyncio.Protocol)
SocketAddress = tuple[int, tuple[object, ...]]

CONNECT_TIMEOUT: Final = 8.0
"""Seconds for one whole dial; a dead path must not hold the next try for longer."""
STAGGER: Final = 0.25
"""Seconds before the next address is tried beside the last (RFC 8305, section 5)."""
RESOLVE_TIMEOUT: Final = 3.0
"""Seconds for DNS, when an address that worked is known."""
PROXY_HEAD_LIMIT: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Doorway:
    """Which door of the relay is meant: its magic word, its ALPN name, its WebSocket path."""

    magic: bytes
    alpn: str
    path: str


class Dialler:
    """Makes connections to one relay. One at a time or several beside each other."""

    def __init__(self, address: RelayAddress, doorway: Doorway) -> None:
        self.address = address
        self._doorway = doorway
        self._good: SocketAddress | None = None
        self._websocket = False
        self._tls: ssl.SSLContext | None = None

    async def dial(self, factory: Callable[[], P]) -> tuple[P, bytes]:
        """Connect; the protocol made by ``factory`` is on its transport when this returns.

        Returns it with the SHA-256 of the relay's leaf certificate (empty on a plain link).
        Raises ``RelayUnreachable`` or ``RelayCertificateWrong``.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await self._dial(factory)
        except TimeoutError:
            raise self._unreachable("no answer in time") from None
        except ssl.SSLCertVerificationError as error:
            raise self._distrusted(error.verify_message) from None
        except socket.gaierror:
            raise self._unreachable("its name cannot be resolved") from None
        except ssl.SSLError as error:
            why = "it does not speak TLS there" if error.reason else "the TLS handshake failed"
            raise self._unreachable(why) from None
        except OSError as error:
            raise self._unreachable(error.strerror or str(error) or "no connection") from None

    async def _dial(self, factory: Callable[[], P]) -> tuple[P, bytes]:
        if not self.address.secure:
            return await self._plain(factory), b""
        if self._websocket:
            return await self._over_websocket(factory)
        try:
            return await self._raw_tls(factory)
        except (ssl.SSLCertVerificationError, UnderpassError):
            raise
        except (ssl.SSLError, ConnectionError) as blocked:
            if isinstance(blocked, ConnectionRefusedError):
                raise
            try:
                made = await self._over_websocket(factory)
            except (OSError, UnderpassError):
                raise blocked from None
            self._websocket = True
            return made

    # -- three kinds of connection ------------------------------------------------------------

    async def _plain(self, factory: Callable[[], P]) -> P:
        sock = await self._connect()
        loop = asyncio.get_running_loop()
        try:
            if not is_loopback(sock.getpeername()[0]):
                raise self._unreachable("plain links are only for loopback")
            transport, protocol = await loop.create_connection(factory, sock=sock)
        except BaseException:
            sock.close()
            raise
        transport.write(self._doorway.magic)
        return protocol

    async def _raw_tls(self, factory: Callable[[], P]) -> tuple[P, bytes]:
        transport, protocol = await self._secure(factory, (self._doorway.alpn,))
        chosen = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if chosen != self._doorway.alpn:
            transport.abort()
            raise ConnectionResetError(f"the other end does not speak {self._doorway.alpn}")
        return protocol, self._checked(transport)

    async def _over_websocket(self, factory: Callable[[], P]) -> tuple[P, bytes]:
        address = self.address
        host = f"[{address.host}]" if ":" in address.host else address.host
        ws = ClientProtocol(
            parse_uri(f"wss://{host}:{address.port}{self._doorway.path}"), max_size=MAX_MESSAGE
        )
        ws.send_request(ws.connect())
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        inner = factory()
        transport, _ = await self._secure(lambda: WebSocketShell(ws, inner, opened), ("http/1.1",))
        try:
            certificate = self._checked(transport)
            await opened
        except BaseException:
            transport.abort()
            raise
        return inner, certificate

    async def _secure(
        self, factory: Callable[[], P], alpn: tuple[str, ...]
    ) -> tuple[asyncio.Transport, P]:
        sock = await self._connect()
        try:
            return await asyncio.get_running_loop().create_connection(
                factory,
                sock=sock,
                ssl=self._context(alpn),
                server_hostname=self.address.host,
            )
        except BaseException:
            sock.close()
            raise

    # -- trust --------------------------------------------------------------------------------

    def _context(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        if self._tls is None:
            try:
                ca = self.address.ca
                self._tls = ssl.create_default_context(cafile=None if ca is None else str(ca))
            except (OSError, ssl.SSLError):
                raise self._distrusted("the file of --relay-ca cannot be read") from None
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
            if self.address.fingerprint is not None and self.address.ca is None:
                # the pin names the one certificate: no authority is asked
                self._tls.check_hostname = False
                self._tls.verify_mode = ssl.CERT_NONE
        self._tls.set_alpn_protocols(list(alpn))
        return self._tls

    def _checked(self, transport: asyncio.Transport) -> bytes:
        """The hash of the certificate shown; raises if it is not the pinned one."""
        shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        found = hashlib.sha256(shown).digest()
        if self.address.fingerprint not in (None, found):
            transport.abort()
            raise self._distrusted("its certificate is not the pinned one")
        return found

    def _distrusted(self, why: str) -> RelayCertificateWrong:
        return RelayCertificateWrong(relay=str(self.address), why=why)

    def _unreachable(self, why: str) -> RelayUnreachable:
        return RelayUnreachable(relay=str(self.address), why=why)

    # -- sockets ------------------------------------------------------------------------------

    async def _connect(self) -> socket.socket:
        proxy = proxy_for(self.address.host) if self.address.secure else None
        if proxy is not None:
            return await self._through_proxy(*proxy)
        addresses = await self._resolve()
        sock, good = await connect_first(addresses)
        self._good = good
        return sock

    async def _resolve(self) -> list[SocketAddress]:
        known = self._good
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT if known else None):
                found = await _lookup(self.address.host, self.address.port)
        except (OSError, TimeoutError):
            if known is None:
                raise
            return [known]
        if known is not None and known in found:
            found.remove(known)
            found.insert(0, known)
        return found

    async def _through_proxy(self, host: str, port: int) -> socket.socket:
        """CONNECT through an HTTP proxy (RFC 9110, section 9.3.6)."""
        sock, _ = await connect_first(await _lookup(host, port))
        loop = asyncio.get_running_loop()
        try:
            name = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
            target = f"{name}:{self.address.port}"
            ask = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
            await loop.sock_sendall(sock, ask.encode("ascii"))
            head = b""
            while b"\r\n\r\n" not in head and len(head) < PROXY_HEAD_LIMIT:
                # byte by byte: what follows the head belongs to TLS
                byte = await loop.sock_recv(sock, 1)
                if not byte:
                    break
                head += byte
            status = head.split(b" ", 2)[1:2]
            if status != [b"200"]:
                raise ConnectionRefusedError(f"the proxy {host}:{port} does not let it through")
        except BaseException:
            sock.close()
            raise
        return sock


async def connect_first(addresses: list[SocketAddress]) -> tuple[socket.socket, SocketAddress]:
    """A connected socket to the first address that answers; the others are let go.

    Addresses start ``STAGGER`` apart, the next at once when one fails. Raises the last
    ``OSError`` when none answers.
    """
    winner: list[tuple[socket.socket, SocketAddress]] = []
    last: list[OSError] = [OSError("no address")]

    async def attempt(address: SocketAddress, failed: asyncio.Event) -> None:
        sock = socket.socket(address[0], socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, address[1])
        except OSError as error:
            last[0] = error
            sock.close()
            failed.set()
            return
        except BaseException:
            sock.close()
            raise
        if winner:
            sock.close()
            return
        winner.append((sock, address))
        failed.set()

    tasks: list[asyncio.Task[None]] = []
    try:
        for address in addresses:
            failed = asyncio.Event()
            tasks.append(asyncio.create_task(attempt(address, failed), name=f"dial {address[1]}"))
            # not wait_for: on 3.11 it can swallow a cancellation
            with suppress(TimeoutError):
                async with asyncio.timeout(STAGGER):
                    await failed.wait()
            if winner:
                break
        while not winner and any(not task.done() for task in tasks):
            pending = [task for task in tasks if not task.done()]
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        await _cancel(tasks)
    except BaseException:
        await _cancel(tasks)
        for sock, _ in winner:
            sock.close()
        raise
    if not winner:
        raise last[0]
    return winner[0]


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _lookup(host: str, port: int) -> list[SocketAddress]:
    """Addresses with families alternating (RFC 8305, section 4)."""
    if host.endswith(".localhost"):
        host = "localhost"  # RFC 6761; getaddrinfo on stock Debian does not know it
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    six = [(family, addr) for family, _, _, _, addr in found if family == socket.AF_INET6]
    four = [(family, addr) for family, _, _, _, addr in found if family == socket.AF_INET]
    mixed: list[SocketAddress] = []
    while six or four:
        mixed.extend(queue.pop(0) for queue in (six, four) if queue)
    return mixed


def proxy_for(target: str) -> tuple[str, int] | None:
    """The proxy that HTTPS_PROXY and NO_PROXY name for the host ``target``."""
    value = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    exempt = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    if not value or is_loopback(target):
        return None
    for rule in (part.strip().lstrip(".").lower() for part in exempt.split(",")):
        if rule and (rule == "*" or target == rule or target.endswith("." + rule)):
            return None
    parts = urlsplit(value if "//" in value else f"//{value}")
    return (parts.hostname, parts.port or 80) if parts.hostname else None
