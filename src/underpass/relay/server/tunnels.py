"""All tunnels of one relay as its process knows them: the edges' ``Directory``.

What is stored is handed in as records; nothing here waits or touches the registry. Tunnels that a
restarted relay finds in its registry are here before any connector has come back, so that their
visitors hear that it is away, and not that there is no such tunnel.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from underpass.model.errors import UnderpassError
from underpass.relay.edges.ports import EdgeEvent
from underpass.relay.protocol.lane import Lane
from underpass.relay.server.farewell import Farewell
from underpass.relay.server.leases import Due, LeaseClock
from underpass.relay.server.registry import KeyLimits, NameRecord
from underpass.relay.server.session import LOST, Session
from underpass.relay.server.tunnel import Tunnel
from underpass.relay.server.usage import Memory


class Tunnels:
    """Live state by name. ``domains`` are the suffixes under which a host is a tunnel's name.

    ``public_url`` says where visitors of a tunnel come. ``on_due`` is told when a lease ends
    (``find`` knows it already) and when what still runs must be cut. ``on_lease`` gets what a
    connector asks of its lease.
    """

    def __init__(
        self,
        *,
        relay_host: str,
        domains: tuple[str, ...],
        now: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        public_url: Callable[[NameRecord], str],
        on_due: Callable[[Due], None],
        on_lease: Callable[[Tunnel, Lane, float], None],
    ) -> None:
        self.relay_host = relay_host
        self.memory = Memory()
        self.counts: Counter[EdgeEvent] = Counter()
        self._suffixes = tuple(f".{domain}" for domain in domains)
        self._now = now
        self._loop = loop
        self._public_url = public_url
        self._on_lease = on_lease
        self._leases = LeaseClock(loop, now, on_due)
        self._by_name: dict[str, Tunnel] = {}
        self._by_port: dict[int, str] = {}
        self._farewells: set[Farewell] = set()

    # -- Directory ----------------------------------------------------------------------------

    def find(self, host: str) -> Tunnel | None:
        """The open tunnel behind a host (lower-case, no port)."""
        for suffix in self._suffixes:
            if host.endswith(suffix):
                return self.find_name(host[: -len(suffix)])
        return None

    def find_port(self, port: int) -> Tunnel | None:
        """The open tunnel that owns a port."""
        name = self._by_port.get(port)
        return None if name is None else self.find_name(name)

    def find_name(self, name: str) -> Tunnel | None:
        """The open tunnel of this name."""
        tunnel = self._by_name.get(name)
        return tunnel if tunnel is not None and tunnel.is_open(self._now()) else None

    # -- books --------------------------------------------------------------------------------

    def get(self, name: str) -> Tunnel | None:
        """The tunnel of this name, open or not."""
        return self._by_name.get(name)

    def __iter__(self) -> Iterator[Tunnel]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def tcp_ports_of(self, key: bytes) -> int:
        """Public ports that the key's tcp tunnels own."""
        return sum(
            1
            for each in self
            if each.kind == "tcp" and each.record.key == key and each.record.port is not None
        )

    def put(self, record: NameRecord, limits: KeyLimits) -> Tunnel:
        """Take over what was stored of a name that has an exposure."""
        assert record.terms is not None
        usage = self.memory.usage(record.key, limits)
        tunnel = self._by_name.get(record.name)
        if tunnel is None:
            tunnel = Tunnel(record, record.terms, usage, self.counts, self._loop)
            self._by_name[record.name] = tunnel
        elif tunnel.record.port is not None:
            self._by_port.pop(tunnel.record.port, None)
        tunnel.record, tunnel.terms, tunnel.usage = record, record.terms, usage
        tunnel.public_url = self._public_url(record)
        if record.port is not None:
            self._by_port[record.port] = record.name
        self._leases.set(record.name, record.lease_end)
        return tunnel

    def begin(self, tunnel: Tunnel, instance: bytes) -> Session:
        """A new session under the name; the old one must have ended."""
        assert tunnel.session is None
        session = Session(
            instance,
            budget=self.memory.receive,
            account=tunnel.usage.account,
            loop=self._loop,
            on_linked=tunnel.linked,
            on_over=lambda over: self._session_over(tunnel, over),
            on_lease=lambda lane, end: self._on_lease(tunnel, lane, end),
        )
        tunnel.session = session
        return session

    def supersede(self, tunnel: Tunnel, error: UnderpassError) -> None:
        """End the session of an older instance, and note whether it was alive."""
        session = tunnel.session
        if session is None:
            return
        tunnel.unsettled += 1

        def settled(alive: bool) -> None:
            tunnel.settle(alive)
            self._farewells.discard(farewell)

        farewell = Farewell(session.dismiss(error), self._loop, settled)
        self._farewells.add(farewell)

    def cut(self, tunnel: Tunnel, error: UnderpassError) -> None:
        """End the session, saying why; the name keeps what is stored of it."""
        if tunnel.session is not None:
            for link in tunnel.session.dismiss(error, error.code):
                link.release()

    def remove(self, name: str, error: UnderpassError) -> None:
        """Nothing is exposed under the name any more."""
        tunnel = self._by_name.pop(name, None)
        if tunnel is None:
            return
        self._leases.forget(name)
        if tunnel.record.port is not None:
            self._by_port.pop(tunnel.record.port, None)
        self.cut(tunnel, error)
        if not any(each.record.key == tunnel.record.key for each in self):
            self.memory.forget(tunnel.record.key)

    def close(self, code: str = LOST) -> None:
        """End everything that lives."""
        self._leases.close()
        for farewell in list(self._farewells):
            farewell.close()
        for tunnel in self:
            if tunnel.session is not None:
                tunnel.session.close(code)
        self._by_name.clear()
        self._by_port.clear()

    def _session_over(self, tunnel: Tunnel, session: Session) -> None:
        if tunnel.session is session:
            tunnel.session = None
