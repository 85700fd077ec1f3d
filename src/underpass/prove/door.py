"""Coming to the public door as any visitor does: look the name up, connect, shake hands.

Nothing is taken from what we know better: no address from the connector, no connection that is
already open, no certificate believed because it is our own relay's. Each step answers for its
layer.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from underpass.model.verdict import Layer, LayerResult, LayerStatus
from underpass.prove import findings
from underpass.relay.connector.dial import connect_first

CONNECT_SECONDS: Final = 4.0
# 4 s: a lost SYN is sent again after 1 and 3 s.

MAX_PROXY_HEAD: Final = 16 * 1024

MAX_ADDRESSES: Final = 4
"""Addresses of one name that are tried."""

Layers = dict[Layer, LayerResult]
Address = tuple[socket.AddressFamily, str]


@dataclass(frozen=True, slots=True)
class Trust:
    """How the public certificate is recognised; without either, by the system's authorities."""

    ca: Path | None = None
    """PEM file of the only authorities that may have signed it."""
    fingerprint: bytes | None = None
    """SHA-256 of the only leaf certificate (DER) to accept. Without ``ca`` nothing else of it
    matters, neither authority nor dates."""


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """The parts of a public URL."""

    secure: bool
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> PublicAddress:
        """Take ``https://``, ``http://`` or ``tcp://`` apart. Raises ``ValueError``."""
        parts = urlsplit(url)
        default = {"https": 443, "http": 80}.get(parts.scheme, 0)
        port = parts.port or default
        if parts.hostname is None or not port:
            raise ValueError("a public URL names a host and a port")
        return cls(parts.scheme == "https", parts.hostname, port)

    @property
    def authority(self) -> str:
        """Host and port as a Host field says them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


@dataclass(slots=True)
class Visit:
    """A connection that stands inside the public door."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        """Leave at once."""
        self.writer.transport.abort()


class DoorShut(Exception):
    """A layer of the outer door failed. ``layers`` ends with it. Never leaves this package."""

    def __init__(self, layers: Layers, layer: Layer, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.layers = {**layers, layer: failure(code, detail)}


def failure(code: str, detail: str = "") -> LayerResult:
    """A failed layer in the words of the findings; ``detail`` says more than they do."""
    explained = findings.explain(code)
    words = f"{explained} ({detail})" if explained and detail else explained or detail
    return LayerResult(LayerStatus.FAILED, code, words)


def silence(passed: Layers) -> Layers:
    """The layer at fault when time ran out after ``passed``: the one that was waited for."""
    if Layer.NAME not in passed:
        return {Layer.NAME: failure(findings.NAME_LOOKUP_FAILED, "no answer in time")}
    if Layer.RELAY not in passed:
        return {Layer.RELAY: failure(findings.CONNECTION_TIMED_OUT)}
    return {Layer.LINK: failure(findings.NO_ANSWER)}


def passed(since: float) -> LayerResult:
    """A passed layer that took from ``since`` until now."""
    return LayerResult(LayerStatus.PASSED, ms=(time.perf_counter() - since) * 1000)


@dataclass(slots=True)
class Door:
    """The public door of one tunnel. Every ``enter`` comes from far outside again."""

    address: PublicAddress
    trust: Trust = field(default_factory=Trust)
    proxy: tuple[str, int] | None = None
    """HTTP proxy that must be asked for connections to the outside; only for ``https``."""
    dialler: Callable[[], Awaitable[socket.socket]] | None = None
    """Makes the connection at the far end of an engine whose public address means something only
    there (``DialsPublic``)."""
    _context: ssl.SSLContext | None = None

    async def enter(self, addresses: list[Address], layers: Layers) -> Visit:
        """Connect to what ``look_up`` found and shake hands. Raises ``DoorShut``.

        What is passed is written into ``layers`` as it is passed, so that a caller who gives up
        knows how far it came. Giving up (cancelling) leaves nothing open.
        """
        connection = await self._connect(addresses, layers)
        try:
            return await self._shake_hands(connection, layers)
        except BaseException:
            connection.close()
            raise

    async def look_up(self, layers: Layers) -> list[Address]:
        """Where the public name leads. Raises ``DoorShut``; writes into ``layers``."""
        since, host = time.perf_counter(), self.address.host
        if self.dialler is not None:
            layers[Layer.NAME] = LayerResult(LayerStatus.SKIPPED)
            return []
        if self.proxy is not None:
            host = self.proxy[0]
        if host == "localhost" or host.endswith(".localhost"):
            # RFC 6761: always loopback. Debian's getaddrinfo does not know it.
            layers[Layer.NAME] = passed(since)
            return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, self.address.port, type=socket.SOCK_STREAM
            )
        except socket.gaierror as error:
            unknown = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
            code = findings.NAME_NOT_FOUND if unknown else findings.NAME_LOOKUP_FAILED
            raise DoorShut(layers, Layer.NAME, code, host) from None
        except UnicodeError:
            raise DoorShut(layers, Layer.NAME, findings.NAME_NOT_FOUND, host) from None
        # Behind a proxy the name that was looked up is the proxy's; it looks up ours.
        layers[Layer.NAME] = LayerResult(LayerStatus.SKIPPED) if self.proxy else passed(since)
        six: list[Address] = [(family, str(at[0])) for family, *_, at in found if len(at) == 4]
        four: list[Address] = [(family, str(at[0])) for family, *_, at in found if len(at) == 2]
        # Families alternate, so that one that is broken costs a moment (RFC 8305, section 4).
        pairs = zip_longest(six, four)
        return [address for pair in pairs for address in pair if address][:MAX_ADDRESSES]

    async def _connect(self, addresses: list[Address], layers: Layers) -> socket.socket:
        """The relay answers for this step, although TLS is looked at before its answer."""
        since, port = time.perf_counter(), self.address.port
        if self.proxy is not None:
            port = self.proxy[1]
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if self.dialler is not None:
                    connection = await self.dialler()
                    layers[Layer.RELAY] = passed(since)
                    return connection
                connection, _ = await connect_first(
                    [(family, (host, port)) for family, host in addresses]
                )
        except OSError as error:
            raise DoorShut(layers, Layer.RELAY, *_connect_fault(error, port)) from None
        if self.proxy is not None:
            await self._ask_proxy(connection, layers)
        layers[Layer.RELAY] = passed(since)
        return connection

    async def _ask_proxy(self, connection: socket.socket, layers: Layers) -> None:
        """CONNECT through an HTTP proxy (RFC 9110, section 9.3.6)."""
        host, port = self.address.host, self.address.port
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        loop, head = asyncio.get_running_loop(), b""
        try:
            request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
            await loop.sock_sendall(connection, request.encode("ascii"))
            while not head.endswith(b"\r\n\r\n") and len(head) < MAX_PROXY_HEAD:
                # Byte by byte: what follows the head belongs to TLS.
                byte = await loop.sock_recv(connection, 1)
                if not byte:
                    break
                head += byte
        except BaseException as error:
            connection.close()
            if not isinstance(error, OSError):
                raise
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            connection.close()
            said = status[0].decode("ascii", "replace") if status else "nothing"
            raise DoorShut(layers, Layer.RELAY, findings.PROXY_REFUSED, f"it said {said}")

    async def _shake_hands(self, connection: socket.socket, layers: Layers) -> Visit:
        if not self.address.secure:
            reader, writer = await asyncio.open_connection(sock=connection)
            layers[Layer.TLS] = LayerResult(LayerStatus.SKIPPED)
            return Visit(reader, writer)
        since = time.perf_counter()
        # The relay has only taken a connection so far, which its kernel can do without it.
        relay = layers.pop(Layer.RELAY)
        try:
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=self._tls(), server_hostname=self.address.host
            )
        except ssl.SSLCertVerificationError as error:
            detail = str(error.verify_message)
            raise DoorShut(layers, Layer.TLS, _certificate_fault(error), detail) from None
        except ssl.SSLError as error:
            detail = str(error.reason or "").lower().replace("_", " ")
            raise DoorShut(layers, Layer.TLS, findings.TLS_FAILED, detail) from None
        except (OSError, EOFError):
            raise DoorShut(layers, Layer.TLS, findings.TLS_FAILED, "cut off") from None
        if self.trust.fingerprint is not None and not self._is_pinned(writer):
            writer.transport.abort()
            raise DoorShut(layers, Layer.TLS, findings.CERTIFICATE_NOT_PINNED)
        layers[Layer.TLS] = passed(since)
        layers[Layer.RELAY] = relay
        return Visit(reader, writer)

    def _is_pinned(self, writer: asyncio.StreamWriter) -> bool:
        tls = writer.get_extra_info("ssl_object")
        leaf = tls.getpeercert(binary_form=True) if tls else None
        return leaf is not None and hashlib.sha256(leaf).digest() == self.trust.fingerprint

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            context = ssl.create_default_context(
                cafile=None if self.trust.ca is None else str(self.trust.ca)
            )
            context.set_alpn_protocols(["http/1.1"])
            if self.trust.fingerprint is not None and self.trust.ca is None:
                # The pin names the one certificate, so no authority is asked. It is checked after
                # the handshake and before a byte of ours is sent.
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._context = context
        return self._context


def _connect_fault(error: OSError, port: int) -> tuple[str, str]:
    if isinstance(error, ConnectionRefusedError):
        return findings.CONNECTION_REFUSED, f"port {port}"
    if isinstance(error, TimeoutError):
        return findings.CONNECTION_TIMED_OUT, f"port {port}"
    return findings.RELAY_UNREACHABLE, (error.strerror or type(error).__name__).lower()


_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
# X509_V_ERR_… of OpenSSL's x509_vfy.h


def _certificate_fault(error: ssl.SSLCertVerificationError) -> str:
    return {
        _EXPIRED: findings.CERTIFICATE_EXPIRED,
        _NOT_YET_VALID: findings.CERTIFICATE_NOT_YET_VALID,
        _OTHER_NAME: findings.CERTIFICATE_FOR_ANOTHER_NAME,
        _OTHER_ADDRESS: findings.CERTIFICATE_FOR_ANOTHER_NAME,
    }.get(error.verify_code, findings.CERTIFICATE_UNTRUSTED)
