"""What the tests of the gatehouse share: a visitor that writes down, origins that do as told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from underpass.gatehouse.books import ExchangeRecord
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.guard.gates import Guard
from underpass.http.messages import Headers, RequestHead, ResponseHead
from underpass.model.origin import parse_origin

KEY = bytes(range(32))
DEADLINE = 5.0

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RecordingVisitor:
    """A visitor's side that keeps what it is sent, with as much room as the test gives it."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.informational: list[ResponseHead] = []
        self.head: ResponseHead | None = None
        self.body = bytearray()
        self.parts: list[bytes] = []
        self.trailers: Headers = []
        self.ended = False
        self.aborted: str | None = None
        self.stopped: str | None = None
        self.drained_bytes = 0
        self.room = room
        self._changed = asyncio.Event()

    def send_informational(self, head: ResponseHead) -> None:
        self.informational.append(head)
        self._changed.set()

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        assert self.head is None, "one head only"
        self.head = head
        if body:
            self.send_data(body)
        if end:
            self.send_end()
        self._changed.set()

    def send_data(self, data: bytes) -> bool:
        assert not self.ended, "nothing comes after the end"
        self.body += data
        if data:
            self.parts.append(data)
        self.room -= len(data)
        self._changed.set()
        return self.room > 0

    def send_trailers(self, trailers: Headers) -> None:
        self.trailers = trailers

    def send_end(self) -> None:
        assert not self.ended, "one end only"
        self.ended = True
        self._changed.set()

    def abort(self, code: str) -> None:
        if not self.ended:
            self.aborted = self.aborted or code
        self._changed.set()

    def stop(self, code: str) -> None:
        self.stopped = self.stopped or code
        self._changed.set()

    def drained(self, count: int) -> None:
        self.drained_bytes += count
        self._changed.set()

    async def until(self, condition: Callable[[RecordingVisitor], object]) -> None:
        """Wait until ``condition`` holds."""
        async with asyncio.timeout(DEADLINE):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    async def answer(self) -> tuple[int, bytes]:
        """Wait for the whole answer: its status and body."""
        await self.until(lambda visitor: visitor.ended or visitor.aborted)
        assert self.aborted is None, self.aborted
        assert self.head is not None
        return self.head.status, bytes(self.body)

    def field(self, name: bytes) -> bytes | None:
        """A field of the answer."""
        assert self.head is not None
        return next((v for n, v in self.head.headers if n.lower() == name.lower()), None)


def request(method: bytes = b"GET", target: bytes = b"/", **changes: object) -> RequestHead:
    """A plain request head."""
    given: dict[str, object] = {"host": b"tools.example", "headers": []} | changes
    return RequestHead(method, target, given.pop("host"), given.pop("headers"), **given)  # type: ignore[arg-type]


@dataclass
class RawOrigin:
    """A server of the test's own, and what it has seen."""

    port: int = 0
    accepted: int = 0
    closed: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def text(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def until(self, condition: Callable[[RawOrigin], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


async def settle() -> None:
    """Let the loop carry out what is ready, and what that makes ready."""
    for _ in range(5):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def raw_origin(handler: Handler, *, unix: Path | None = None) -> AsyncIterator[RawOrigin]:
    """Serve each connection with ``handler``; connections are closed when it returns."""
    origin = RawOrigin()
    handlers: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        origin.accepted += 1
        origin.changed.set()
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # cancelled when the test ends
        finally:
            handlers.discard(task)
            writer.close()
            origin.closed += 1
            origin.changed.set()

    if unix is not None:
        server = await asyncio.start_unix_server(serve, str(unix))
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        await settle()  # what was accepted just now gets its handler
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers)
        await settle()


def answering(*answers: bytes) -> Handler:
    """A handler that reads a head and sends the next of ``answers``, and then reads on."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        await reader.read()

    return handle


@pytest.fixture
async def make_gatehouse() -> AsyncIterator[Callable[..., Gatehouse]]:
    """Make gatehouses that are closed, and found without leftovers, at the end of the test."""
    made: list[Gatehouse] = []

    def make(
        origin: str,
        *,
        guard: Guard | None = None,
        on_exchange: Callable[[ExchangeRecord], None] | None = None,
        wall_clock: Callable[[], float] | None = None,
        permit: Callable[[str, int], bool] | None = None,
        **settings: object,
    ) -> Gatehouse:
        parsed = parse_origin(origin)
        given = {"kind": parsed.kind, "name": "tools", "instance": "i1", "proof_key": KEY}
        gatehouse = Gatehouse(
            GatehouseSettings(origin=parsed, **(given | settings)),  # type: ignore[arg-type]
            guard or Guard((), public=True),
            on_exchange=on_exchange,
            permit=permit,
            **({"wall_clock": wall_clock} if wall_clock else {}),
        )
        made.append(gatehouse)
        return gatehouse

    yield make
    for gatehouse in made:
        gatehouse.close()
    for gatehouse in made:
        async with asyncio.timeout(DEADLINE):
            await gatehouse.wait_closed()
        assert gatehouse.statistics().connections == 0
