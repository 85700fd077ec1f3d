"""A relay as it runs: everything of this package put together behind the front door."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

from underpass.guard.secrets import private_directory
from underpass.model.options import RelayOptions
from underpass.relay.edges.certificates import Certificate, load_certificate
from underpass.relay.edges.front_door import FrontDoor
from underpass.relay.protocol.admission import Bounds
from underpass.relay.server.acceptor import Acceptor
from underpass.relay.server.addresses import addresses_of, check_options
from underpass.relay.server.admissions import Admissions
from underpass.relay.server.errors import RelayMisconfigured
from underpass.relay.server.health_door import HealthDoor
from underpass.relay.server.keeper import Keeper
from underpass.relay.server.keys import Keys, ensure_token_file
from underpass.relay.server.log import RelayLog, relay_log
from underpass.relay.server.registry import KeyLimits, Registry
from underpass.relay.server.sockets import bind
from underpass.relay.server.sqlite_registry import open_registry
from underpass.relay.server.statistics import RelayStatistics
from underpass.relay.server.tunnel_doors import TunnelDoors
from underpass.relay.server.tunnels import Tunnels
from underpass.relay.server.turns import Turns

GRACE: Final = 30.0
"""Seconds that requests in flight may take once the relay was told to stop."""

LOOK_EVERY: Final = 0.05
"""Seconds between looks at what is still in flight while draining."""

DRAINING = "relay-draining"
"""What the owners of streams hear that were not over in time."""

DATABASE: Final = "relay.db"
TOKEN_FILE: Final = "enrol-token"


async def serve(
    options: RelayOptions,
    *,
    now: Callable[[], float] = time.time,
    bounds: Bounds | None = None,
    log: RelayLog | None = None,
) -> RunningRelay:
    """Start a relay; when this returns, it serves.

    Raises ``RelayMisconfigured``, ``CannotListen``, ``CertificateUnusable``,
    ``AuthorisedKeysWrong``, ``RegistryTooNew`` and what a loose state directory raises; nothing is
    left running then.
    """
    check_options(options)
    await asyncio.to_thread(private_directory, options.state_dir)
    registry = await asyncio.to_thread(open_registry, options.state_dir / DATABASE)
    relay = RunningRelay(
        options, registry, now=now, bounds=bounds or Bounds(), log=log or relay_log(time.monotonic)
    )
    try:
        await relay.start()
    except BaseException:
        await relay.close()
        raise
    return relay


class RunningRelay:
    """One relay. Ends by ``drain`` (politely) or ``close`` (at once)."""

    def __init__(
        self,
        options: RelayOptions,
        registry: Registry,
        *,
        now: Callable[[], float],
        bounds: Bounds,
        log: RelayLog,
    ) -> None:
        loop = asyncio.get_running_loop()
        limits = options.limits
        self.options = options
        self.enrol_token_file: Path = options.state_dir / TOKEN_FILE
        self._registry = registry
        self._loop = loop
        self._log = log
        self._addresses = addresses_of(options, options.listen[1])
        relay = self._addresses.host
        self._keys = Keys(
            registry,
            now,
            limits=KeyLimits(limits.names, limits.ports, limits.streams),
            relay=relay,
            authorised=options.authorised_keys,
        )
        self._doors = TunnelDoors(
            dev=options.dev,
            host=options.listen[0],
            tcp_ports=options.tcp_ports,
            shuffle=random.SystemRandom(),
        )
        turns = Turns()
        self._keeper = Keeper(
            registry,
            self._keys,
            self._doors,
            turns,
            now=now,
            loop=loop,
            bounds=bounds,
            log=log,
            relay=relay,
        )
        self._tunnels = self._keeper.tunnels = Tunnels(
            relay_host=relay,
            domains=(options.domain.lower() if options.domain else "localhost",),
            now=now,
            loop=loop,
            public_url=lambda record: self._addresses.tunnel_url(record),
            on_due=self._keeper.lease_due,
            on_lease=self._keeper.lease_asked,
        )
        admissions = Admissions(
            registry,
            self._keys,
            self._tunnels,
            self._doors,
            turns,
            now=now,
            loop=loop,
            bounds=bounds,
        )
        self._acceptor = Acceptor(
            admissions,
            relay=relay,
            front_fingerprints=_fingerprints(options.front_fingerprints),
            now=now,
            loop=loop,
            log=log,
        )
        self._front: FrontDoor | None = None
        self._health: asyncio.Server | None = None
        self.health_port = 0
        """Where ``/healthz`` and ``/metrics`` are, or 0."""
        self.on_closed: Callable[[], None] = _nothing
        """Called once, when nothing of it listens any more."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    # -- facts --------------------------------------------------------------------------------

    @property
    def public_url(self) -> str:
        """The relay's own public address."""
        return self._addresses.relay_url

    @property
    def link_url(self) -> str:
        """What connectors are given as ``--relay``."""
        return self._addresses.relay_url

    def doors(self) -> Iterator[tuple[str, int, str]]:
        """Where it listens for anybody but a tunnel's visitors: address, port, and what it is."""
        yield self.options.listen[0] or "::", self._addresses.port, "the relay"
        if self.options.metrics_listen is not None:
            yield self.options.metrics_listen[0] or "::", self.health_port, "the relay's health"

    @property
    def registry(self) -> Registry:
        """What the relay remembers."""
        return self._registry

    def statistics(self) -> RelayStatistics:
        """The relay in numbers."""
        sessions = [each.session for each in self._tunnels if each.session is not None]
        memory = self._tunnels.memory
        return RelayStatistics(
            tunnels=len(self._tunnels),
            tunnels_linked=sum(1 for session in sessions if session.linked),
            links=sum(len(session.links) for session in sessions),
            links_accepted=self._acceptor.accepted,
            links_refused=self._acceptor.refused,
            streams=sum(session.streams for session in sessions),
            keys=len(self._keys),
            ports=len(self._doors),
            receive_bytes=memory.receive.used,
            replay_bytes=memory.replay.used,
            draining=self._draining is not None,
            events={event.value: count for event, count in self._tunnels.counts.items()},
        )

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Called once by ``serve``."""
        options = self.options
        certificate = await asyncio.to_thread(self._load_certificate)
        await asyncio.to_thread(_make_sure_of_file, options.authorised_keys)
        await self._keys.load()
        await ensure_token_file(self._registry, self.enrol_token_file)
        listener = await asyncio.to_thread(bind, *options.listen)
        port: int = listener.getsockname()[1]
        self._addresses = addresses_of(options, port)
        self._front = self._doors.front = FrontDoor(
            self._tunnels,
            self._acceptor,
            loop=self._loop,
            certificate=certificate,
            proxy_from=options.proxy_protocol_from,
            https_port=port if self._addresses.shows_port else 443,
        )
        # Tunnels of before the restart are known, and their ports bound, before anybody is let in.
        await self._keeper.start()
        if options.redirect_listen is not None:
            redirect = await asyncio.to_thread(bind, *options.redirect_listen)
            await self._front.open_redirect(redirect)
        if options.metrics_listen is not None:
            await self._serve_health(*options.metrics_listen)
        await self._front.open_public(listener)
        self._spawn(self._keeper.watch(), "watch over what other processes write")
        self._log.info("relay serves", url=self.public_url, tunnels=len(self._tunnels))

    async def reload(self) -> None:
        """Read certificate and keys again; links and visitors that are up stay, unless their key
        may go on no more.

        Raises what is wrong with a file; what was read before holds then.
        """
        certificate = await asyncio.to_thread(self._load_certificate)
        await self._keeper.refresh()
        if self._front is not None:
            self._front.certificate = certificate
        self._log.info("relay reloaded")

    async def drain(self, grace: float = GRACE) -> None:
        """Take nobody new, tell connectors to move, let requests in flight finish, then end.

        Idempotent: later calls wait for the first. Cancelling a caller cancels nothing.
        """
        if self._draining is None:
            self._draining = self._loop.create_task(self._drain(grace), name="drain of the relay")
        await asyncio.shield(self._draining)

    async def close(self) -> None:
        """End everything at once. Idempotent."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name="end of the relay")
        await asyncio.shield(self._closing)

    async def wait_closed(self) -> None:
        """Wait until the relay has ended."""
        await self._closed.wait()

    # -- inside -------------------------------------------------------------------------------

    async def _drain(self, grace: float) -> None:
        self._log.info("relay drains", grace=grace)
        if self._front is not None:
            self._front.drain()
        for tunnel in self._tunnels:
            if tunnel.session is not None:
                tunnel.session.drain(grace)
        deadline = self._loop.time() + grace
        # Nobody says when the last of thousands of streams is over; this is looked at once a life.
        while self._in_flight and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)
        await self.close()

    @property
    def _in_flight(self) -> bool:
        busy = self._front is not None and self._front.busy
        return bool(busy or any(each.session and each.session.streams for each in self._tunnels))

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._acceptor.close()
        self._tunnels.close(DRAINING)
        # One turn of the loop for the answers that cut streams still get.
        await asyncio.sleep(0)
        if self._front is not None:
            self._front.close()
        if self._health is not None:
            self._health.close()
        await self._keeper.close()
        await self._registry.close()
        # Transports that were told to end do so in the turns after that: nothing is left open
        # when the caller's loop ends right behind us.
        for _ in range(3):
            await asyncio.sleep(0)
        self.on_closed()
        self._log.info("relay ended")
        self._closed.set()

    def _load_certificate(self) -> Certificate | None:
        chain, key = self.options.tls_cert, self.options.tls_key
        if self.options.dev or chain is None or key is None:
            return None
        return load_certificate(chain, key)

    async def _serve_health(self, host: str, port: int) -> None:
        # Only here: an embedded relay, which has no such door, must start without it.
        from underpass.relay.server.metrics import metrics_text

        door = HealthDoor(
            self._loop,
            is_healthy=lambda: self._draining is None and not self._closed.is_set(),
            metrics=metrics_text(self.statistics),
        )
        listener = await asyncio.to_thread(bind, host, port)
        self.health_port = listener.getsockname()[1]
        self._health = await self._loop.create_server(door.connection, sock=listener)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _nothing() -> None:
    """Nobody wants to know."""


def _fingerprints(texts: tuple[str, ...]) -> frozenset[bytes]:
    found = set()
    for text in texts:
        try:
            raw = bytes.fromhex(text.replace(":", ""))
        except ValueError:
            raw = b""
        if len(raw) != 32:
            raise RelayMisconfigured(f"{text[:80]!r} is not the SHA-256 of a certificate")
        found.add(raw)
    return frozenset(found)


def _make_sure_of_file(path: Path | None) -> None:
    if path is not None and not path.is_file():
        raise RelayMisconfigured(f"there is no file of authorised keys at {path}")
