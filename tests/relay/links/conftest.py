"""Links over real loopback sockets, with what their owners heard."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from underpass.relay.links.link import Link
from underpass.relay.links.runner import LaneRunner
from underpass.relay.protocol.budget import ReceiveBudget, ReplayBudget
from underpass.relay.protocol.lane import Lane
from underpass.relay.protocol.records import Drain, Greeting
from underpass.relay.protocol.stream import Stream

DEADLINE = 5.0


class Watched:
    """Something that changes, and may be waited for."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Host(Watched):
    """A ``LinkOwner`` that notes what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.greetings: list[tuple[Link, Greeting, bytes]] = []
        self.late: list[Link] = []
        self.drains: list[Drain] = []
        self.lost: list[tuple[Link, str]] = []
        self.on_greeting: Callable[[Link, Greeting], None] = lambda link, record: None

    def greeting_received(self, link: Link, record: Greeting, raw: bytes) -> None:
        self.greetings.append((link, record, raw))
        self.changed()
        self.on_greeting(link, record)

    def link_late(self, link: Link) -> None:
        self.late.append(link)
        self.changed()

    def drain_received(self, link: Link, drain: Drain) -> None:
        self.drains.append(drain)
        self.changed()

    def link_lost(self, link: Link, reason: str) -> None:
        self.lost.append((link, reason))
        self.changed()


class WatchedLink(Link):
    """A link whose host may wait for the end of a connection that nobody is told of."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.owner.changed()  # type: ignore[attr-defined]


class Owner(Watched):
    """A ``StreamOwner`` that notes, drains, and insists that nothing follows an end."""

    def __init__(self) -> None:
        super().__init__()
        self.stream: Stream | None = None
        self.heads: list[bytes] = []
        self.body = bytearray()
        self.trailers: list[bytes] = []
        self.ended = False
        self.abort_code: str | None = None
        self.stop_code: str | None = None
        self.resumed = 0
        self.drains = True
        self.on_data: Callable[[], None] = lambda: None

    def head_received(self, head: bytes) -> None:
        self._open()
        self.heads.append(head)

    def data_received(self, data: bytes | memoryview) -> None:
        self._open()
        self.body += data
        if self.drains and self.stream is not None:
            self.stream.drained(len(data))
        self.on_data()

    def trailers_received(self, trailers: bytes) -> None:
        self._open()
        self.trailers.append(trailers)

    def end_received(self) -> None:
        self._open()
        self.ended = True

    def aborted(self, code: str) -> None:
        self._open()
        self.abort_code = code

    def stopped(self, code: str) -> None:
        self.stop_code = code
        self.changed()

    def resume_writing(self) -> None:
        self.resumed += 1
        self.changed()

    def _open(self) -> None:
        assert not self.ended, "something follows the end"
        assert self.abort_code is None, "something follows the abort"
        self.changed()


class Side(Watched):
    """One end: its runner, and the owners of its streams."""

    def __init__(self, *, opener: bool) -> None:
        super().__init__()
        self.host = Host()
        self.budget = ReceiveBudget()
        self.opened: list[Owner] = []
        self.lost: list[Link] = []
        self.closed: list[str] = []
        self.leases: list[float] = []
        self.runner = LaneRunner(
            b"L" * 16,
            opener=opener,
            budget=self.budget,
            account=ReplayBudget().account(),
            loop=asyncio.get_running_loop(),
            on_opened=None if opener else self._opened,
            on_link_lost=lambda runner, link: self._note(self.lost, link),
            on_closed=lambda runner, code: self._note(self.closed, code),
            on_lease=lambda end: self._note(self.leases, end),
        )
        received = self.runner.data_received

        def data_received(link: Link, data: bytes, now: float) -> None:
            received(link, data, now)
            self.changed()

        self.runner.data_received = data_received  # type: ignore[method-assign]

    @property
    def lane(self) -> Lane:
        return self.runner.lane

    def link(self) -> Link:
        return WatchedLink(self.host, asyncio.get_running_loop())

    def _opened(self, stream: Stream) -> Owner:
        owner = Owner()
        owner.stream = stream
        self.opened.append(owner)
        self.changed()
        return owner

    def _note(self, where: list, what: object) -> None:  # type: ignore[type-arg]
        where.append(what)
        self.changed()


async def connect(one: asyncio.BaseProtocol, other: asyncio.BaseProtocol) -> None:
    """Join two protocols by a loopback TCP connection."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    client = socket.socket()
    client.setblocking(False)
    try:
        await loop.sock_connect(client, listener.getsockname())
        served, _ = await loop.sock_accept(listener)
    finally:
        listener.close()
    served.setblocking(False)
    await loop.create_connection(lambda: one, sock=served)
    await loop.create_connection(lambda: other, sock=client)


@dataclass
class Line:
    """Both ends of a lane over loopback."""

    relay: Side
    connector: Side
    generation: int = 0
    links: list[Link] = field(default_factory=list)

    async def attach(self) -> tuple[Link, Link]:
        """A new link, agreed by hand; whatever carried the lane before is replaced."""
        self.generation += 1
        mine, theirs = self.relay.link(), self.connector.link()
        await connect(mine, theirs)
        self.links += [mine, theirs]
        told = self.connector.lane.received
        self.connector.runner.drop_link()
        answer = self.relay.lane.received
        self.relay.runner.attach(
            mine, generation=self.generation, peer_received=told, peer_credit=65536
        )
        self.connector.runner.attach(
            theirs, generation=self.generation, peer_received=answer, peer_credit=65536
        )
        return mine, theirs

    async def open(self, kind: str = "tcp", **arguments: object) -> tuple[Owner, Owner]:
        """A stream with its owners at the relay and at the connector."""
        owner = Owner()
        before = len(self.connector.opened)
        owner.stream = self.relay.lane.open(kind, owner=owner, **arguments)
        await self.connector.until(lambda: len(self.connector.opened) > before)
        return owner, self.connector.opened[-1]

    def close(self) -> None:
        for side in (self.relay, self.connector):
            side.runner.close("over")
        for link in self.links:
            link.release()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line(Side(opener=True), Side(opener=False))
    yield line
    line.close()
    for link in line.links:
        if link.transport is not None:
            link.transport.abort()
    await asyncio.sleep(0)
