"""Asking an origin the same from several standpoints: directly, and as visitors are delivered.

Nothing but GETs; every body is read to a bound and forgotten but for its digest. Visitors' answers
are those of one from elsewhere who has passed the gates: coming from this machine through the
public door, we would be stamped with an address of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from underpass.gatehouse.origin.source import OriginSource
from underpass.gatehouse.rewrite import base_path, origin_host
from underpass.http.messages import EndOfMessage, Headers, Malformed, RequestHead, ResponseHead
from underpass.http.reader import ResponseReader
from underpass.http.writer import request_bytes
from underpass.model.spec import TunnelSpec
from underpass.prove.trust import Asker, PathTrust, Seen, judge

ANSWER_SECONDS: Final = 5.0
READ_BYTES: Final = 64 * 1024
"""Of each body; an answer that goes on is left there."""

CLAIMS: Final[Headers] = [
    (b"X-Forwarded-For", b"127.0.0.1"),
    (b"X-Real-IP", b"127.0.0.1"),
    (b"Forwarded", b'for=127.0.0.1;host="localhost";proto=http'),
    (b"X-Forwarded-Host", b"localhost"),
    (b"X-Client-IP", b"127.0.0.1"),
    (b"True-Client-IP", b"127.0.0.1"),
    (b"CF-Connecting-IP", b"127.0.0.1"),
    (b"X-Remote-Addr", b"127.0.0.1"),
    (b"Referer", b"http://localhost/"),
]
"""Ways to say that one is local."""

_NO_ANSWER: Final = Seen(0)


class Deliver(Protocol):
    """Hands a request over as if a visitor from elsewhere had passed the gates."""

    async def __call__(self, head: RequestHead, *, seconds: float, limit: int) -> tuple[int, bytes]:
        """Status and beginning of the body; 0 for no answer."""


class TrustProbe:
    """Compares what visitors get with what the origin's own machine gets."""

    def __init__(self, spec: TunnelSpec, deliver: Deliver, authority: str) -> None:
        """``authority`` is what visitors say in Host."""
        self._spec = spec
        self._deliver = deliver
        self._authority = authority.encode("ascii")
        self._source = OriginSource(asyncio.get_running_loop().time)

    @property
    def stranger_address(self) -> str:
        """Where strangers and, with ``--peer machine``, visitors come from; "" for nowhere."""
        origin = self._spec.origin
        return "" if origin.is_unix else self._source.address_for(_loopback_of(origin.host))

    async def examine(self, paths: Sequence[str]) -> list[PathTrust]:
        """Every path, judged."""
        return [judge(path, await self._ask_all(path.encode("ascii"))) for path in paths]

    async def _ask_all(self, path: bytes) -> dict[Asker, Seen]:
        own = origin_host(self._spec.origin)
        public = self._authority
        return {
            Asker.LOCAL: await self._ask_origin(path, own, as_local=True),
            Asker.LOCAL_PEER: await self._ask_origin(path, public, as_local=True),
            Asker.LOCAL_HOST: await self._ask_origin(path, own, as_local=False),
            Asker.STRANGER: await self._ask_origin(path, public, as_local=False),
            Asker.VISITOR: await self._ask_as_visitor(path, []),
            Asker.CLAIMANT: await self._ask_as_visitor(path, CLAIMS),
        }

    async def _ask_origin(self, path: bytes, host: bytes, *, as_local: bool) -> Seen:
        origin = self._spec.origin
        path = base_path(origin, self._spec.kind) + path
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if origin.is_unix:
                    connection = await asyncio.open_unix_connection(origin.socket)
                else:
                    connection = await self._connect(origin.host, origin.port, as_local=as_local)
                return await _ask(*connection, RequestHead(b"GET", path, host, []))
        except (OSError, TimeoutError):
            return _NO_ANSWER

    async def _connect(
        self, name: str, port: int, *, as_local: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = _loopback_of(name)
        bound = None if as_local or not host else self._source.bound_socket(host)
        if bound is None:
            return await asyncio.open_connection(host or name, port)
        await asyncio.get_running_loop().sock_connect(bound, (host, port))
        return await asyncio.open_connection(sock=bound)

    async def _ask_as_visitor(self, path: bytes, claims: Headers) -> Seen:
        head = RequestHead(b"GET", path, self._authority, claims)
        status, body = await self._deliver(head, seconds=ANSWER_SECONDS, limit=READ_BYTES)
        return Seen(status, _digest(body))


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: RequestHead
) -> Seen:
    """Send one request, read its answer, leave."""
    try:
        writer.write(request_bytes(head))
        await writer.drain()
        parser, status, body = ResponseReader(head.method), 0, bytearray()
        while len(body) < READ_BYTES:
            data = await reader.read(READ_BYTES)
            for event in parser.receive_data(data) if data else parser.receive_eof():
                if isinstance(event, ResponseHead):
                    status = event.status
                elif isinstance(event, bytes):
                    body += event
                elif isinstance(event, EndOfMessage | Malformed):
                    data = b""
            if not data:
                break
        return Seen(status, _digest(bytes(body[:READ_BYTES])))
    finally:
        writer.transport.abort()


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def _loopback_of(name: str) -> str:
    """The loopback address that ``name`` is, or "" where it leads elsewhere."""
    if name.lower().rstrip(".") == "localhost" or name.lower().endswith(".localhost"):
        return "127.0.0.1"
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            packed = socket.inet_pton(family, name)
            is_loopback = (
                packed[:1] == b"\x7f" if len(packed) == 4 else packed == b"\0" * 15 + b"\1"
            )
            return name if is_loopback else ""
    return ""
