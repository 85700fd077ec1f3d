"""The public side of the edge: HTTPS for visitors of names, as Cloudflare's own behaves.

It makes new heads, tells the visitor's address in ``CF-Connecting-IP``, and says in its own pages
when there is no tunnel (530, error 1033), no answer in time (524) or too much of something.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tests.edges.cloudflare_link import (
    ANSWER_FIELDS,
    UPGRADE,
    Fields,
    Link,
    LinkStream,
    StreamCut,
    read_fields,
)

HOP: Final = frozenset(
    ("connection", "upgrade", "keep-alive", "transfer-encoding", "te", "proxy-connection", "host")
)
CLAIMS: Final = frozenset(
    ("cf-connecting-ip", "cf-ray", "cf-visitor", "x-forwarded-for", "x-forwarded-proto")
)
"""What visitors say of themselves in the edge's own fields is replaced."""

Find = Callable[[str], Link | None]


@dataclass(slots=True)
class Weather:
    """What the public side does to visitors; tests change it."""

    answer: tuple[int, str] | None = None
    """Every visitor gets this page: a status and an error's number."""
    first_byte_seconds: float = 100.0
    """After so long without a head: 524."""
    largest_body: int = 100 << 20
    """More is refused with 413."""
    access: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """Names behind Access, each with the service tokens that pass it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A visitor's request head."""

    method: str
    target: str
    fields: Fields

    def get(self, name: str) -> str:
        """The field's last value in lower case; "" without."""
        return next((v.lower() for key, v in reversed(self.fields) if key == name), "")

    @property
    def is_websocket(self) -> bool:
        return self.get("upgrade") == "websocket"


class PublicDoor:
    """Serves visitors over TLS. ``start`` and ``stop`` as often as wanted: the port stays."""

    def __init__(self, context: ssl.SSLContext, find: Find) -> None:
        self.port = 0
        self.weather = Weather()
        self.visits = 0
        """Heads of visitors so far."""
        self._context = context
        self._find = find
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take visitors."""
        self._server = await asyncio.start_server(
            self._visit, "127.0.0.1", self.port, ssl=self._context, limit=1 << 18
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everybody off. Idempotent."""
        if self._server is not None:
            self._server.close()
        for visit in list(self._visits):
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            writer.transport.abort()
        except StreamCut:
            writer.transport.abort()  # the head is out: what follows must not look complete
        finally:
            self._visits.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = read_head(await reader.readuntil(b"\r\n\r\n"))
        self.visits += 1
        host = asked.get("host").partition(":")[0]
        size = int(asked.get("content-length") or 0)
        if self.weather.answer is not None:
            await say(writer, *self.weather.answer)
            return
        shown = asked.get("cf-access-client-id"), asked.get("cf-access-client-secret")
        if host in self.weather.access and shown not in self.weather.access[host]:
            await send_to_login(writer, host)
            return
        if size > self.weather.largest_body:
            await say(writer, 413, "413")
            return
        link = self._find(host)
        if link is None:
            await say(writer, 530, "error code: 1033")
            return
        address = writer.get_extra_info("peername")[0]
        try:
            stream = link.open(head_for(asked, address), end=has_no_body(asked))
        except StreamCut:
            await say(writer, 502, "error code: 502")
            return
        up = asyncio.create_task(self._send_up(asked, reader, stream), name="edge: visitor's body")
        try:
            await self._send_down(asked, stream, writer)
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            stream.reset()

    async def _send_up(
        self, asked: Asked, reader: asyncio.StreamReader, stream: LinkStream
    ) -> None:
        with suppress(StreamCut, OSError, EOFError):
            if asked.is_websocket:
                while data := await reader.read(1 << 16):
                    await stream.send(data)
                stream.reset()
                return
            if not has_no_body(asked):
                async for part in body_of(asked, reader):
                    await stream.send(part)
                stream.send_end()
            # Whoever says more, or leaves, before the answer is whole has left.
            await reader.read(1)
        stream.reset()

    async def _send_down(
        self, asked: Asked, stream: LinkStream, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(self.weather.first_byte_seconds):
                status, internal = await stream.head
        except TimeoutError:
            await say(writer, 524, "error code: 524")
            return
        except StreamCut:
            await say(writer, 502, "error code: 502")
            return
        told = dict(internal)
        fields = read_fields(told.get(ANSWER_FIELDS, ""))
        if ANSWER_FIELDS not in told:
            # cloudflared itself answers: it could not reach what it serves.
            await say(writer, status, f"error code: {status}")
            return
        switches = asked.is_websocket and any(
            k.lower() == "sec-websocket-accept" for k, _ in fields
        )
        sized = any(name.lower() == "content-length" for name, _ in fields)
        kept = [pair for pair in fields if pair[0].lower() not in HOP]
        chunked = not (sized or switches or asked.method == "HEAD" or status in (204, 304))
        if switches:
            status = 101
            kept += [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        else:
            kept += [("Connection", "close")]
            kept += [("Transfer-Encoding", "chunked")] if chunked else []
        kept += [("CF-Ray", uuid.uuid4().hex[:16] + "-LOC"), ("Server", "cloudflare")]
        lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in kept), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        while data := await stream.receive():
            writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()


def read_head(data: bytes) -> Asked:
    """A request's head; raises ``ValueError``."""
    first, *lines = data.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = [line.partition(":") for line in lines]
    return Asked(method, target, [(name.lower(), value.strip()) for name, _, value in pairs])


def has_no_body(asked: Asked) -> bool:
    """Whether the head is all there is."""
    chunked = asked.get("transfer-encoding") == "chunked"
    return not (chunked or asked.is_websocket or int(asked.get("content-length") or 0))


def head_for(asked: Asked, address: str) -> Fields:
    """The head as cloudflared gets it."""
    kept = [pair for pair in asked.fields if pair[0] not in HOP and pair[0] not in CLAIMS]
    fields = [
        *((":method", asked.method), (":scheme", "https")),
        *((":authority", asked.get("host")), (":path", asked.target)),
        *kept,
        *(("cf-connecting-ip", address), ("x-forwarded-for", address)),
        *(("x-forwarded-proto", "https"), ("cf-ray", uuid.uuid4().hex[:16] + "-LOC")),
        ("cf-visitor", '{"scheme":"https"}'),
    ]
    return [*fields, (UPGRADE, "websocket")] if asked.is_websocket else fields


async def body_of(asked: Asked, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The request's body, part by part."""
    left = int(asked.get("content-length") or 0)
    while left:
        part = await reader.read(min(left, 1 << 16))
        if not part:
            raise EOFError
        left -= len(part)
        yield part
    if asked.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            yield await reader.readexactly(size)
            await reader.readline()
        await reader.readline()


async def send_to_login(writer: asyncio.StreamWriter, host: str) -> None:
    """What Access says to whoever has not passed it."""
    login = f"https://team.cloudflareaccess.com/cdn-cgi/access/login/{host}?kid=0"
    fields = f"Location: {login}\r\nContent-Length: 0\r\nConnection: close\r\n"
    writer.write(f"HTTP/1.1 302 Found\r\n{fields}Server: cloudflare\r\n\r\n".encode())
    await writer.drain()


async def say(writer: asyncio.StreamWriter, status: int, text: str) -> None:
    """A page of the edge's own."""
    body = f"{text}\n".encode()
    fields = f"Content-Length: {len(body)}\r\nConnection: close\r\nServer: cloudflare\r\n"
    writer.write(f"HTTP/1.1 {status} -\r\n{fields}\r\n".encode() + body)
    await writer.drain()
