"""A small public door on loopback in front of a real gatehouse, which can be broken layer by layer.

It plays the relay's part in tests of the prover: real connections, real TLS, the project's own
strict reader and writer, and no wire in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable

from underpass.gatehouse.ports import Carrier, Exchange, Peer
from underpass.http.answers import answer, render
from underpass.http.messages import EndOfMessage, Headers, RequestHead, ResponseHead
from underpass.http.reader import RequestReader
from underpass.http.writer import response_bytes, response_framing

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class SteppedClock:
    """A prover's clock that a test moves; sockets go on working in real time."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._unix_offset = time.time() - self._now
        self._timers: list[SteppedTimer] = []

    def now(self) -> float:
        return self._now

    def unix(self) -> float:
        return self._now + self._unix_offset

    def call_at(self, when: float, callback: Callable[[], None]) -> SteppedTimer:
        timer = SteppedTimer(when, callback)
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Move on, calling what comes due on the way, in order."""
        target = self._now + seconds
        while True:
            self._timers = [timer for timer in self._timers if not timer.is_over]
            due = [timer for timer in self._timers if timer.when <= target]
            if not due:
                break
            timer = min(due, key=lambda each: each.when)
            self._now = max(self._now, timer.when)
            timer.is_over = True
            timer.callback()
        self._now = target

    def sleep(self, seconds: float) -> None:
        """What a sleeping machine does: time goes on, and no timer is called."""
        self._now += seconds

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock on by ``seconds``; nothing else notices."""
        self._unix_offset += seconds

    @property
    def timers(self) -> int:
        return sum(not timer.is_over for timer in self._timers)


class SteppedTimer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.is_over = False

    def cancel(self) -> None:
        self.is_over = True


async def ask(url: str, *, token: str | None = None) -> int:
    """Come as a visitor over one connection; the status of the answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        credential = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n{credential}\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), 5.0)
        return int(line.split()[1])
    finally:
        writer.transport.abort()


class Server:
    """A TCP server on loopback that can be stopped and come back on the same port."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.connections = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self.handler(reader, writer)
        writer.transport.abort()


class Edge(Server):
    """The public door. ``carrier`` may be changed while it serves; the rest breaks it."""

    def __init__(self, carrier: Carrier | None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._serve, tls)
        self.carrier = carrier
        self.address = "127.0.0.1"
        """Where visitors seem to come from."""
        self.says: str | None = None
        """Answer everything with this code of ours."""
        self.raw: bytes | None = None
        """Answer everything with these bytes and close."""
        self.is_silent = False
        """Take requests and never answer."""
        self.mangle: Callable[[ResponseHead, bytes], tuple[ResponseHead, bytes]] | None = None
        """Change the answers that come from the gatehouse."""
        self.requests = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests, exchange = RequestReader(), None
        while data := await reader.read(65536):
            for event in requests.receive_data(data):
                if isinstance(event, RequestHead):
                    self.requests += 1
                    exchange = self._open(event, writer)
                elif exchange is not None and isinstance(event, bytes):
                    exchange.data_received(event)
                elif exchange is not None and isinstance(event, EndOfMessage):
                    exchange.end_received()
        if exchange is not None:
            exchange.visitor_left("visitor-left")

    def _open(self, head: RequestHead, writer: asyncio.StreamWriter) -> Exchange | None:
        if self.is_silent:
            return None
        if self.raw is not None:
            writer.write(self.raw)
            writer.close()
            return None
        visitor = _Visitor(writer, head.method, self.mangle)
        if self.says is not None or self.carrier is None:
            head_of_ours, body = render(answer(self.says or "connector-away"))
            visitor.send_head(head_of_ours, body, end=True)
            return None
        return self.carrier.open_http(visitor, head, Peer(self.address))


class Port(Server):
    """A public tcp port in front of the gatehouse."""

    def __init__(self, carrier: Carrier) -> None:
        super().__init__(self._serve)
        self.carrier = carrier
        self.address = "127.0.0.1"
        self.cuts = False
        """End every stream at once, as the relay does when the connector is away."""
        self.echoes = False
        """Another server stands here."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cuts:
            return
        if self.echoes:
            writer.write(await reader.read(100) + bytes(100))
            await writer.drain()
            return
        exchange = self.carrier.open_bytes(_Visitor(writer, b"", None), Peer(self.address))
        while data := await reader.read(65536):
            exchange.data_received(data)
        exchange.end_received()
        await writer.wait_closed()


class _Visitor:
    """Writes what the gatehouse sends onto one connection."""

    room = 1 << 20

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        method: bytes,
        mangle: Callable[[ResponseHead, bytes], tuple[ResponseHead, bytes]] | None,
    ) -> None:
        self._writer = writer
        self._method = method
        self._mangle = mangle
        self._framing = None if method else _Bytes()

    def send_informational(self, head: ResponseHead) -> None:
        self._writer.write(response_bytes(head, method=self._method))

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        if self._mangle is not None:
            head, body = self._mangle(head, body)
        self._framing = response_framing(head, method=self._method)
        self._writer.write(response_bytes(head, method=self._method))
        if body:
            self.send_data(body)
        if end:
            self.send_end()

    def send_data(self, data: bytes) -> bool:
        assert self._framing is not None
        self._writer.writelines(self._framing.data(data))
        return True

    def send_trailers(self, trailers: Headers) -> None:
        """Of no interest here."""

    def send_end(self) -> None:
        assert self._framing is not None
        self._writer.writelines(self._framing.end())
        if not self._method:
            self._writer.write_eof()

    def abort(self, code: str) -> None:
        self._writer.transport.abort()

    def stop(self, code: str) -> None:
        """The connection is shared by both directions; nothing to do."""

    def drained(self, count: int) -> None:
        """Nothing holds back."""


class _Bytes:
    """The framing of a byte stream: none."""

    def data(self, part: bytes) -> tuple[bytes, ...]:
        return (part,)

    def end(self) -> tuple[bytes, ...]:
        return ()
