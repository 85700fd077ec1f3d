"""A tunnel without a registry: a real lane over a real socket pair, its far end in the test's hand.

``tunnel.accept()`` gives the next stream that an edge has opened, as the connector sees it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from underpass.http.messages import (
    UNKNOWN_LENGTH,
    Headers,
    RequestHead,
    ResponseHead,
    decode_request,
    encode_head,
    encode_trailers,
)
from underpass.relay.edges.certificates import Certificate, load_certificate
from underpass.relay.edges.errors import ConnectorAway
from underpass.relay.edges.front_door import FrontDoor
from underpass.relay.edges.http_edge import HttpEdge
from underpass.relay.edges.limits import EdgeLimits
from underpass.relay.edges.ports import EdgeEvent
from underpass.relay.links.link import Link
from underpass.relay.links.runner import LaneRunner
from underpass.relay.protocol.budget import ReceiveBudget, ReplayAccount, ReplayBudget
from underpass.relay.protocol.lane import Lane
from underpass.relay.protocol.stream import Stream

DEADLINE = 10.0
"""Seconds for any one event; a wait that succeeds is never that long."""


class FarStream:
    """One stream as the connector sees it; takes what comes and says what the test wants."""

    def __init__(self, stream: Stream, *, drain: bool = True) -> None:
        self.stream = stream
        self.kind = stream.kind
        self.peer = stream.peer
        self.token = stream.token
        self.received = bytearray()
        self.trailers: bytes | None = None
        self.end_code: str | None = None
        self.stop_code: str | None = None
        self.drain = drain
        self._head: RequestHead | None = None
        self._ended = False
        self._changed = asyncio.Event()
        self.writable = asyncio.Event()

    # what the edge says

    def head_received(self, head: bytes) -> None:
        self._head = decode_request(head)
        self._changed.set()

    def data_received(self, data: bytes | memoryview) -> None:
        self.received += data
        if self.drain:
            self.stream.drained(len(data))
        self._changed.set()

    def trailers_received(self, trailers: bytes) -> None:
        self.trailers = trailers

    def end_received(self) -> None:
        self._ended = True
        self._changed.set()

    def aborted(self, code: str) -> None:
        self.end_code = code
        self._changed.set()

    def stopped(self, code: str) -> None:
        self.stop_code = code
        self._changed.set()

    def resume_writing(self) -> None:
        self.writable.set()

    # what the test asks

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            async with asyncio.timeout(DEADLINE):  # for each piece of news: a body has many
                await self._changed.wait()

    async def head(self) -> RequestHead:
        await self.until(lambda: self._head is not None)
        assert self._head is not None
        return self._head

    async def body(self) -> bytes:
        await self.until(lambda: self._ended or self.end_code)
        assert self.end_code is None, f"aborted: {self.end_code}"
        return bytes(self.received)

    async def bytes_up_to(self, count: int) -> bytes:
        await self.until(lambda: len(self.received) >= count)
        return bytes(self.received)

    async def end(self) -> None:
        await self.until(lambda: self._ended)

    async def gone(self) -> str:
        """The code with which the visitor's side was broken off or stopped."""
        await self.until(lambda: self.end_code or self.stop_code)
        return self.end_code or self.stop_code or ""

    # what the test says

    def answer(
        self,
        status: int = 200,
        body: bytes | None = b"",
        headers: Headers | None = None,
        *,
        length: int | None = None,
        end: bool = True,
        upgrade: bytes = b"",
    ) -> None:
        size = UNKNOWN_LENGTH if body is None else len(body) if length is None else length
        head = ResponseHead(status, b"Fine", headers or [], size, upgrade)
        if status < 200 and status != 101:
            self.stream.send_informational(encode_head(head))
        elif end:
            self.stream.send_head(encode_head(head), body or b"", end=True)
        else:
            self.stream.send_head(encode_head(head))
            if body:
                self.stream.send_data(body)

    def say(self, data: bytes, *, end: bool = False) -> None:
        self.stream.send_data(data)
        if end:
            self.stream.send_end()

    async def fill(self) -> int:
        """Say so much that the visitor's socket is full; how much that was."""
        sent = 0
        while True:
            sent += 65536
            self.writable.clear()
            if self.stream.send_data(b"x" * 65536):
                continue
            try:
                async with asyncio.timeout(0.3):
                    await self.writable.wait()
            except TimeoutError:
                return sent

    def trail(self, trailers: Headers) -> None:
        self.stream.send_trailers(encode_trailers(trailers))
        self.stream.send_end()


@dataclass
class Tunnel:
    """An ``Exposure`` with one lane (or none), and the far end of that lane."""

    name: str = "demo"
    kind: str = "http"
    tls: str = "terminate"
    exposure: str = "open"
    allow: tuple[str, ...] = ()
    public_url: str = ""
    streams_left: int = 1000
    lane: Lane | None = None
    events: list[EdgeEvent] = field(default_factory=list)
    drain: bool = True
    _arrived: asyncio.Queue[FarStream] = field(default_factory=asyncio.Queue)
    _attached: asyncio.Event = field(default_factory=asyncio.Event)
    _runners: list[LaneRunner] = field(default_factory=list)

    def lane_nowait(self) -> Lane | None:
        return self.lane if self.lane is not None and self.lane.attached else None

    async def lane_within(self, seconds: float) -> Lane:
        try:
            async with asyncio.timeout(seconds):
                await self._attached.wait()
        except TimeoutError:
            raise ConnectorAway(self.name, seconds) from None
        assert self.lane is not None
        return self.lane

    def take_stream(self) -> bool:
        if self.streams_left <= 0:
            return False
        self.streams_left -= 1
        return True

    def give_stream(self) -> None:
        self.streams_left += 1

    def note(self, event: EdgeEvent) -> None:
        self.events.append(event)

    # the far end

    async def attach(self, *, credit: int = 65536) -> None:
        """Join a connector to the relay by a lane over a socket pair."""
        loop = asyncio.get_running_loop()
        runners = [
            LaneRunner(
                b"L" * 16,
                opener=opener,
                budget=ReceiveBudget(),
                account=ReplayAccount(ReplayBudget()),
                loop=loop,
                on_opened=None if opener else self._opened,
            )
            for opener in (True, False)
        ]
        links = [Link(_NoGreetings(), loop) for _ in runners]
        for link, sock in zip(links, socket.socketpair(), strict=True):
            await loop.create_unix_connection(lambda link=link: link, sock=sock)
        for runner, link in zip(runners, links, strict=True):
            runner.attach(link, generation=1, peer_received=0, peer_credit=credit)
        self._runners += runners
        self.lane = runners[0].lane
        self._attached.set()

    def lose_lane(self, code: str = "lane-lost") -> None:
        self._runners[0].close(code)
        self.lane = None
        self._attached.clear()

    async def accept(self) -> FarStream:
        async with asyncio.timeout(DEADLINE):
            return await self._arrived.get()

    @property
    def untouched(self) -> bool:
        """No stream has come."""
        return self._arrived.empty()

    def _opened(self, stream: Stream) -> FarStream:
        far = FarStream(stream, drain=self.drain)
        self._arrived.put_nowait(far)
        return far

    def close(self) -> None:
        for runner in self._runners:
            runner.close("closed")


class _NoGreetings:
    """These lanes were introduced by hand."""

    def greeting_received(self, *args: object) -> None:
        raise AssertionError("nobody greets here")

    def link_late(self, link: Link) -> None: ...

    def drain_received(self, *args: object) -> None: ...

    def link_lost(self, link: Link, reason: str) -> None: ...


@dataclass
class Names:
    """A ``Directory`` in two dicts."""

    relay_host: str = "relay.example.com"
    hosts: dict[str, Tunnel] = field(default_factory=dict)
    ports: dict[int, Tunnel] = field(default_factory=dict)

    def find(self, host: str) -> Tunnel | None:
        return self.hosts.get(host)

    def find_port(self, port: int) -> Tunnel | None:
        return self.ports.get(port)

    def find_name(self, name: str) -> Tunnel | None:
        return next((one for one in self.hosts.values() if one.name == name), None)


class Caller:
    """A visitor with a raw connection: says bytes, reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def get(self, target: str = "/", host: str = "demo.test", extra: str = "") -> None:
        self.say(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        """The next answer's status and fields (names in lower case)."""
        async with asyncio.timeout(DEADLINE):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:-2])
        return int(lines[0].split(" ")[1]), {name.lower(): fields[name] for name in fields}

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next sized answer."""
        status, fields = await self.head()
        body = await self.exactly(int(fields.get("content-length", "0")))
        return status, fields, body

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readexactly(count)

    async def line(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readline()

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    async def rest_of_chunks(self) -> bytes:
        """A chunked body, to its end."""
        body = bytearray()
        while size := int(await self.line(), 16):
            body += await self.exactly(size)
            await self.exactly(2)
        assert await self.line() == b"\r\n"
        return bytes(body)

    async def closed(self) -> bool:
        """Wait for the end; whether nothing was said before it."""
        try:
            return await self.rest() == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Leave with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


@dataclass
class Street:
    """An HTTP edge on a loopback port, with one tunnel behind the host ``demo.test``."""

    edge: HttpEdge
    names: Names
    tunnel: Tunnel
    port: int
    callers: list[Caller] = field(default_factory=list)

    async def call(self) -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.port))
        self.callers.append(caller)
        return caller

    def is_reading(self) -> bool:
        """Whether the edge reads from every visitor."""
        members = list(self.edge.sweeper)
        return all(one.transport.is_reading() for one in members)

    def sweep_later(self, seconds: float) -> None:
        """Let the connections believe that ``seconds`` have gone by."""
        now = self.edge.loop.time()
        self.edge.sweeper.sweep(now)
        self.edge.sweeper.sweep(now + seconds)


class Links:
    """A ``LinkAcceptor`` that keeps what it was given and answers with the same bytes."""

    def __init__(self) -> None:
        self.accepted: asyncio.Queue[AcceptedLink] = asyncio.Queue()

    def accept_link(self, transport: asyncio.Transport, data: bytes, certificate: bytes) -> None:
        link = AcceptedLink(certificate)
        transport.set_protocol(link)
        link.connection_made(transport)
        if data:
            link.data_received(data)
        self.accepted.put_nowait(link)

    async def next(self) -> AcceptedLink:
        async with asyncio.timeout(DEADLINE):
            return await self.accepted.get()


class AcceptedLink(asyncio.Protocol):
    """What a connector would talk to: an echo."""

    def __init__(self, certificate: bytes) -> None:
        self.certificate = certificate
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.transport.write(data)


@dataclass
class House:
    """A front door with one http tunnel (``demo.relay.test``) and its link acceptor."""

    door: FrontDoor
    names: Names
    tunnel: Tunnel
    links: Links
    authority: trustme.CA
    files: Path
    callers: list[Caller] = field(default_factory=list)

    def renew_certificate(self) -> Certificate:
        """A new certificate in the same files."""
        leaf = self.authority.issue_cert("relay.test", "*.relay.test", "127.0.0.1")
        leaf.private_key_pem.write_to_path(self.files / "key.pem")
        for index, pem in enumerate(leaf.cert_chain_pems):
            pem.write_to_path(self.files / "chain.pem", append=index > 0)
        return load_certificate(self.files / "chain.pem", self.files / "key.pem")

    async def listen(self, *, tls: bool = False) -> int:
        if tls:
            self.door.certificate = self.renew_certificate()
        return await self.door.open_public(bound())

    def client_context(self, *protocols: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    async def call(
        self, port: int, *, name: str | None = None, alpn: tuple[str, ...] = ("http/1.1",)
    ) -> Caller:
        """Connect; with ``name`` over TLS."""
        context = self.client_context(*alpn) if name is not None else None
        async with asyncio.timeout(DEADLINE):
            pair = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=name
            )
        self.callers.append(Caller(*pair))
        return self.callers[-1]


def bound() -> socket.socket:
    """A socket bound to a free loopback port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


async def poll_until(condition: Callable[[], object]) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - the edge has no event for it, on purpose
            await asyncio.sleep(0.005)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    return poll_until


@pytest.fixture
def make_listener() -> Callable[[], socket.socket]:
    return bound


@pytest.fixture
def make_tunnel() -> type[Tunnel]:
    return Tunnel


@pytest.fixture
async def house(
    tunnel: Tunnel, limits: EdgeLimits, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """Indirect parameters are further arguments of the door."""
    names = Names("relay.test", hosts={"demo.relay.test": tunnel})
    links = Links()
    options = getattr(request, "param", {})
    loop = asyncio.get_running_loop()
    door = FrontDoor(names, links, loop=loop, limits=limits, **options)
    house = House(door, names, tunnel, links, trustme.CA(), tmp_path)
    yield house
    for caller in house.callers:
        caller.writer.transport.abort()
    door.close()
    await asyncio.sleep(0.01)


@pytest.fixture
def limits() -> EdgeLimits:
    return EdgeLimits(sweep_seconds=0.05, hold_seconds=0.3, linger_seconds=0.2)


@pytest.fixture
async def tunnel() -> AsyncIterator[Tunnel]:
    tunnel = Tunnel()
    await tunnel.attach()
    yield tunnel
    tunnel.close()


@pytest.fixture
async def street(tunnel: Tunnel, limits: EdgeLimits) -> AsyncIterator[Street]:
    loop = asyncio.get_running_loop()
    names = Names(hosts={"demo.test": tunnel})
    edge = HttpEdge(names, loop=loop, limits=limits)
    server = await loop.create_server(edge.connection, "127.0.0.1", 0)
    street = Street(edge, names, tunnel, server.sockets[0].getsockname()[1])
    yield street
    for caller in street.callers:
        caller.close()
    server.close()
    edge.close()
    await asyncio.sleep(0)
