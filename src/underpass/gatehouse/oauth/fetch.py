"""Fetching small JSON documents from addresses that strangers may name.

An address is looked up once, every address it leads to is judged, and the connection is made to one
of exactly those: no second look-up can lead elsewhere. No redirect is followed, nothing is kept
from one fetch to the next, and size and time are bounded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore2

from underpass.gatehouse.oauth.names import LookUpFailed, look_up_name
from underpass.guard.oauth.redirects import is_host
from underpass.guard.oauth.registration import MAX_DOCUMENT_BYTES
from underpass.model.loopback import is_loopback

SECONDS: Final = 5.0

LookUp = Callable[[str, int], Awaitable[list[str]]]
"""From host and port to addresses."""


class FetchRefused(Exception):
    """The document is not fetched, or is none."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Fetcher:
    """Fetches JSON over https; with ``loopback`` also over http from this machine (development)."""

    def __init__(
        self,
        *,
        loopback: bool = False,
        private: bool = False,
        tls: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
        limit: int = MAX_DOCUMENT_BYTES,
        look_up: LookUp | None = None,
    ) -> None:
        """``private``: the address was named by the owner, and may be in a private network.
        ``look_up`` takes the place of the system's resolver."""
        self._look_up = look_up or look_up_name
        self.loopback = loopback
        """Whether this machine itself may be asked."""
        self._private = private
        self._seconds = seconds
        self._limit = limit
        self._tls = tls

    async def get(self, url: str) -> Any:
        """The JSON value at ``url``. Raises ``FetchRefused``."""
        return await self._fetch("GET", url, None, {})

    async def post(self, url: str, form: bytes, headers: Mapping[str, str]) -> Any:
        """The JSON value that ``url`` answers to ``form``. Raises ``FetchRefused``."""
        typed = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return await self._fetch("POST", url, form, typed)

    def check(self, url: str) -> None:
        """Raise ``FetchRefused`` for an address that is never fetched."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise FetchRefused("it is no address") from None
        is_plain = parts.scheme == "http" and self.loopback and is_loopback(host or "")
        if not host or port == 0 or not (parts.scheme == "https" or is_plain):
            raise FetchRefused("it is no https address")
        if "@" in parts.netloc or parts.fragment or "\\" in url or not url.isprintable():
            raise FetchRefused("it names a user or a fragment")
        if not url.isascii() or len(url) > 1024 or " " in url:
            raise FetchRefused("it is too long or not ASCII")
        if not is_host(parts.netloc):
            raise FetchRefused("its host is no host name")

    async def _fetch(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        self.check(url)
        backend = _JudgedBackend(self._find)
        try:
            async with (
                asyncio.timeout(self._seconds),
                httpcore2.AsyncConnectionPool(
                    ssl_context=self._tls or ssl.create_default_context(),
                    network_backend=backend,
                    max_keepalive_connections=0,
                ) as pool,
                pool.stream(
                    method,
                    url,
                    headers=[
                        ("Host", urlsplit(url).netloc),
                        ("Accept", "application/json"),
                        ("Accept-Encoding", "identity"),
                        ("User-Agent", "underpass"),
                        *headers.items(),
                    ],
                    content=body,
                ) as answer,
            ):
                content = bytearray()
                async for part in answer.aiter_stream():
                    content += part
                    if len(content) > self._limit:
                        raise FetchRefused("what is there is too long")
                if answer.status != 200:
                    raise FetchRefused(f"it answers with status {answer.status}")
                return json.loads(bytes(content))
        except TimeoutError:
            raise FetchRefused("it takes too long") from None
        except (ValueError, RecursionError):
            raise FetchRefused("what is there is no JSON") from None
        except (OSError, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise FetchRefused(f"it cannot be reached ({type(error).__name__})") from None

    async def _find(self, host: str, port: int) -> list[str]:
        try:
            found = await self._look_up(host, port)
        except LookUpFailed:
            raise FetchRefused("its name is not known") from None
        if not found or not all(self._may_dial(each) for each in found):
            # All of them: a name with one good and one bad address is somebody's trick.
            raise FetchRefused("its name leads to an address that is not public")
        return found

    def _may_dial(self, text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            elif address.sixtofour is not None:
                return False
        if any(address in network for network in _NOT_PUBLIC):
            return False
        if address.is_loopback:
            return self.loopback
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            return False  # cloud metadata among them, whoever asks
        return address.is_global or (self._private and address.is_private)


class _JudgedBackend(httpcore2.AsyncNetworkBackend):
    """Dials only what was looked up and judged just now."""

    def __init__(self, find: LookUp) -> None:
        self._find = find
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._find(host, port)
        return await self._inner.connect_tcp(
            addresses[0], port, timeout, local_address, socket_options
        )

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Any = None
    ) -> httpcore2.AsyncNetworkStream:
        raise FetchRefused("it is no https address")


_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("192.0.0.0/24", "192.88.99.0/24", "::/96", "64:ff9b::/96", "64:ff9b:1::/48"),
        *("2001::/23", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)
"""What ``is_global`` of some Python versions takes for public (CVE-2024-4032), and the ways of
writing an IPv4 address as an IPv6 one."""
