"""A relay without front doors on a loopback port, and a connector that says what it is told."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.relay.links.link import Link
from underpass.relay.links.runner import LaneRunner
from underpass.relay.protocol.admission import Bounds
from underpass.relay.protocol.budget import ReceiveBudget, ReplayBudget
from underpass.relay.protocol.handshake import sign
from underpass.relay.protocol.records import (
    Challenge,
    Drain,
    Greeting,
    Hello,
    Refuse,
    Terms,
    Welcome,
)
from underpass.relay.protocol.stream import Stream
from underpass.relay.server.acceptor import Acceptor
from underpass.relay.server.admissions import Admissions
from underpass.relay.server.doors import NoDoors
from underpass.relay.server.keeper import Keeper
from underpass.relay.server.keys import Keys
from underpass.relay.server.log import RelayLog
from underpass.relay.server.registry import KeyLimits, KeyRecord, NameRecord
from underpass.relay.server.sqlite_registry import SqliteRegistry, open_registry
from underpass.relay.server.tunnel import Tunnel
from underpass.relay.server.tunnels import Tunnels
from underpass.relay.server.turns import Turns

DEADLINE = 3.0
RELAY = "relay.test"


class Clock:
    """A wall clock that tests set."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def _say(self, event: str, **facts: Any) -> None:
        self.said.append((event, facts))

    info = warning = error = _say


@dataclass(eq=False)
class Rig:
    """The relay: everything but the front doors. ``start`` and ``stop`` may be repeated."""

    directory: Path
    clock: Clock = field(default_factory=Clock)
    lines: Lines = field(default_factory=Lines)
    limits: KeyLimits = field(default_factory=KeyLimits)
    bounds: Bounds = field(default_factory=Bounds)
    fronts: frozenset[bytes] = frozenset()
    certificate: bytes = b""
    doors: Any = field(default_factory=NoDoors)
    transports: WeakSet[asyncio.BaseTransport] = field(default_factory=WeakSet)
    """Of the relay's side of every link; weakly, since tests count what is left behind."""
    links: WeakSet[Link] = field(default_factory=WeakSet)
    """Of the connectors' side."""

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.registry: SqliteRegistry = open_registry(self.directory / "relay.db")
        self.keys = Keys(self.registry, self.clock, limits=self.limits)
        self.turns = Turns()
        log = RelayLog(self.lines, loop.time)
        self.keeper = Keeper(
            self.registry,
            self.keys,
            self.doors,
            self.turns,
            now=self.clock,
            loop=loop,
            bounds=self.bounds,
            log=log,
            relay=RELAY,
        )
        self.tunnels = self.keeper.tunnels = Tunnels(
            relay_host=RELAY,
            domains=(RELAY,),
            now=self.clock,
            loop=loop,
            public_url=public_url,
            on_due=self.keeper.lease_due,
            on_lease=self.keeper.lease_asked,
        )
        self.admissions = Admissions(
            self.registry,
            self.keys,
            self.tunnels,
            self.doors,
            self.turns,
            now=self.clock,
            loop=loop,
            bounds=self.bounds,
        )
        self.acceptor = Acceptor(
            self.admissions,
            relay=RELAY,
            front_fingerprints=self.fronts,
            now=self.clock,
            loop=loop,
            log=log,
        )
        await self.keys.load()
        await self.keeper.start()
        self._server = await loop.create_server(lambda: Front(self), "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self.acceptor.close()
        self.tunnels.close()
        await self.keeper.close()
        await self.registry.close()
        for transport in list(self.transports):
            transport.abort()

    async def end(self) -> None:
        """Stop, and leave no transport of either side for the loop to find."""
        await self.stop()
        links = list(self.links)
        for link in links:
            link.abort("the test is over")
        await until(lambda: all(link.transport is None for link in links))
        for _ in range(3):  # a transport that was aborted is gone a turn later
            await asyncio.sleep(0)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def tunnel(self, name: str = "tools") -> Tunnel:
        tunnel = self.tunnels.get(name)
        assert tunnel is not None
        return tunnel

    async def stored(self, name: str = "tools") -> NameRecord:
        record = await self.registry.name(name)
        assert record is not None
        return record


def public_url(record: NameRecord) -> str:
    return f"https://{record.name}.{RELAY}"


class Front(asyncio.Protocol):
    """Hands every connection to the acceptor at once."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.rig.transports.add(transport)
        asyncio.get_running_loop().call_soon(
            self.rig.acceptor.accept_link, transport, b"", self.rig.certificate
        )


class Owner:
    """Owner of a stream that keeps what it hears."""

    def __init__(self) -> None:
        self.data = b""
        self.codes: list[str] = []
        self.ended = asyncio.Event()

    def head_received(self, head: bytes) -> None:
        self.data += head

    def data_received(self, data: bytes | memoryview) -> None:
        self.data += data

    def trailers_received(self, trailers: bytes) -> None:
        pass

    def end_received(self) -> None:
        self.ended.set()

    def aborted(self, code: str) -> None:
        self.codes.append(code)
        self.ended.set()

    def stopped(self, code: str) -> None:
        self.codes.append(code)

    def resume_writing(self) -> None:
        pass


@dataclass(eq=False)
class Process:
    """One connector process under test: one key, one instance, lanes by number."""

    rig: Rig
    key: Ed25519PrivateKey
    name: str = "tools"
    instance: bytes = field(default_factory=lambda: os.urandom(16))
    epoch: int = 0
    terms: Terms = field(default_factory=lambda: Terms(kind="http", lease_end=1_003_600.0))
    lanes: dict[int, LaneRunner] = field(default_factory=dict)
    welcomed: set[int] = field(default_factory=set)
    generation: int = 0
    streams: asyncio.Queue[Stream] = field(default_factory=asyncio.Queue)
    leases: asyncio.Queue[float] = field(default_factory=asyncio.Queue)
    drains: asyncio.Queue[float] = field(default_factory=asyncio.Queue)
    last: Peer | None = None

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    def runner(self, number: int = 0) -> LaneRunner:
        if number not in self.lanes:
            self.lanes[number] = LaneRunner(
                self.instance[:15] + bytes([number]),
                opener=False,
                budget=ReceiveBudget(),
                account=ReplayBudget().account(),
                loop=asyncio.get_running_loop(),
                on_opened=self._opened,
                on_lease=self.leases.put_nowait,
            )
        return self.lanes[number]

    def _opened(self, stream: Stream) -> Owner:
        self.streams.put_nowait(stream)
        return Owner()

    def restarted(self) -> Process:
        """The next process of the same key and name."""
        return Process(self.rig, self.key, self.name, terms=self.terms)

    async def say(self, lane: int = 0, **changes: Any) -> Welcome | Refuse:
        """Dial and introduce a link; attach it when it is welcomed."""
        runner = self.runner(lane)
        self.generation = changes.pop("generation", self.generation + 1)
        peer = self.last = Peer(self, lane)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: Link(peer, loop), "127.0.0.1", self.rig.port)
        peer.link = link
        self.rig.links.add(link)
        challenge, raw = await within(peer.heard.get())
        if isinstance(challenge, Refuse):
            return challenge
        assert isinstance(challenge, Challenge)
        settings: dict[str, Any] = {
            "relay": challenge.relay,
            "nonce": secrets.token_bytes(32),
            "key": self.public,
            "name": self.name,
            "instance": self.instance,
            "epoch": self.epoch,
            "lane": runner.lane.identity,
            "generation": self.generation,
            "received": runner.lane.received,
            "fresh": lane not in self.welcomed,
            "credit": runner.lane.first_credit,
            "terms": self.terms,
        }
        link.send_greeting(sign(Hello(**{**settings, **changes}), raw, self.key))
        answer, _ = await within(peer.heard.get())
        assert isinstance(answer, Welcome | Refuse)
        return answer

    def attach(self, lane: int, link: Link, welcome: Welcome) -> None:
        """Lane bytes may follow the welcome in the same read: it is acted on at once."""
        self.name, self.epoch = welcome.name, welcome.epoch
        self.welcomed.add(lane)
        self.runner(lane).attach(
            link,
            generation=welcome.generation,
            peer_received=welcome.received,
            peer_credit=welcome.credit,
        )

    async def welcome(self, lane: int = 0, **changes: Any) -> Welcome:
        answer = await self.say(lane, **changes)
        assert isinstance(answer, Welcome), answer
        return answer

    async def refusal(self, lane: int = 0, **changes: Any) -> str:
        answer = await self.say(lane, **changes)
        assert isinstance(answer, Refuse), answer
        return answer.code

    def cut(self) -> None:
        """Lose every link, as a network does."""
        for runner in self.lanes.values():
            if runner.link is not None:
                runner.link.abort("cut by the test")

    def close(self) -> None:
        for runner in self.lanes.values():
            runner.close("closed")
        if self.last is not None and self.last.link is not None:
            self.last.link.abort("closed")


class Peer:
    """The connector's owner of one link; hangs up when it is refused, unless it is frozen."""

    def __init__(self, process: Process, lane: int) -> None:
        self.process = process
        self.lane = lane
        self.link: Link | None = None
        self.heard: asyncio.Queue[tuple[Greeting, bytes]] = asyncio.Queue()
        self.lost = asyncio.Event()
        self.hangs_up = True

    def greeting_received(self, link: Link, record: Greeting, raw: bytes) -> None:
        self.heard.put_nowait((record, raw))
        if isinstance(record, Welcome):
            self.process.attach(self.lane, link, record)
        if isinstance(record, Refuse) and self.hangs_up:
            link.close()

    def link_late(self, link: Link) -> None:
        pass

    def drain_received(self, link: Link, drain: Drain) -> None:
        self.process.drains.put_nowait(drain.grace)

    def link_lost(self, link: Link, reason: str) -> None:
        self.lost.set()

    async def refused(self) -> str:
        """The code that the relay said later, on the attached link."""
        record, _ = await within(self.heard.get())
        assert isinstance(record, Refuse)
        return record.code


async def within(awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, DEADLINE)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces, looking once a turn of the loop."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_rig(tmp_path: Path) -> Callable[..., Rig]:
    return lambda **settings: Rig(tmp_path, **settings)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    await rig.start()
    yield rig
    await rig.end()


@pytest.fixture
async def process(rig: Rig) -> AsyncIterator[Process]:
    """A process of an enrolled key."""
    process = Process(rig, Ed25519PrivateKey.generate())
    await rig.registry.put_key(KeyRecord(process.public, "laptop", limits=rig.limits))
    await rig.keys.load()
    yield process
    process.close()


@pytest.fixture
def stranger(rig: Rig) -> Process:
    """A process of a key that was never enrolled."""
    return Process(rig, Ed25519PrivateKey.generate())


@pytest.fixture
def owner() -> Owner:
    """Owner of a stream that a test opens at the relay."""
    return Owner()
