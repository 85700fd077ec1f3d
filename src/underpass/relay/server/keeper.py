"""Keeps what lives in step with what is stored: starts, renewals, ends, revocations, releases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Final

import msgspec

from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import KeyRevoked, LeaseExpired, NameNotYours
from underpass.relay.protocol.admission import Bounds
from underpass.relay.protocol.lane import Lane
from underpass.relay.server.doors import Doors
from underpass.relay.server.keys import Keys
from underpass.relay.server.leases import Due, Phase
from underpass.relay.server.log import RelayLog
from underpass.relay.server.registry import KeyLimits, NameRecord, Registry, RevisionConflict
from underpass.relay.server.session import LOST
from underpass.relay.server.tunnel import Tunnel
from underpass.relay.server.tunnels import Tunnels
from underpass.relay.server.turns import Turns

LOOK_EVERY: Final = 2.0
"""Seconds between looks at what other processes wrote: a revoked key is cut within 5 s."""


class Keeper:
    """Its tasks end with ``close``. ``tunnels`` is given after construction, since each needs the
    other."""

    tunnels: Tunnels

    def __init__(
        self,
        registry: Registry,
        keys: Keys,
        doors: Doors,
        turns: Turns,
        *,
        now: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        bounds: Bounds,
        log: RelayLog,
        relay: str,
    ) -> None:
        self._registry = registry
        self._keys = keys
        self._doors = doors
        self._turns = turns
        self._now = now
        self._loop = loop
        self._bounds = bounds
        self._log = log
        self._relay = relay
        self._tasks: set[asyncio.Task[None]] = set()
        self._asks: dict[str, tuple[Lane, float]] = {}

    async def start(self) -> None:
        """Bring back what the registry knows: names, leases that run, ports."""
        for record in await self._registry.names():
            await self._restore(record)

    async def watch(self) -> None:
        """Follow what other processes and the operator change, until cancelled."""
        await self._registry.changed()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                if await self._registry.changed() or self._keys.file_changed():
                    await self.refresh()
            except (UnderpassError, OSError) as error:
                self._log.error("refresh failed", reason=str(error))

    async def refresh(self) -> None:
        """Read keys and names again; end what may not go on.

        Raises ``AuthorisedKeysWrong``, ``OSError``, ``RegistryUnavailable``; what was known holds.
        """
        await self._keys.load()
        for tunnel in self.tunnels:
            if not self._keys.is_good(tunnel.record.key):
                self._log.info("key revoked: tunnel cut", name=tunnel.name)
                self.tunnels.remove(tunnel.name, KeyRevoked(self._relay))
            tunnel.usage.limits = self._limits(tunnel.record.key)
        stored = {record.name: record for record in await self._registry.names()}
        for tunnel in self.tunnels:
            if not _is_same(tunnel, stored.get(tunnel.name)):
                await self._reconcile(tunnel.name)

    async def close(self) -> None:
        """End the tasks. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- leases -------------------------------------------------------------------------------

    def lease_due(self, due: Due) -> None:
        """A lease has come to its end, or to the end of the time for what was running then."""
        tunnel = self.tunnels.get(due.name)
        if tunnel is None:
            return
        if due.phase is Phase.ENDED:
            self._log.info("lease ended", name=due.name)
            return
        self.tunnels.cut(tunnel, LeaseExpired(due.name))
        self._spawn(self._forget_exposure(due.name), f"end of {due.name}")

    def lease_asked(self, tunnel: Tunnel, lane: Lane, end: float) -> None:
        """A connector asks for another end; an end that has passed closes the tunnel.

        Of several asks at once the last is answered.
        """
        waiting = tunnel.name in self._asks
        self._asks[tunnel.name] = (lane, end)
        if not waiting:
            self._spawn(self._answer(tunnel), f"lease of {tunnel.name}")

    async def _answer(self, tunnel: Tunnel) -> None:
        name = tunnel.name
        try:
            async with self._turns.turn(name):
                lane, end = self._asks.pop(name)
                session = tunnel.session
                if session is None or lane.closed or self.tunnels.get(name) is not tunnel:
                    return
                now = self._now()
                if not end > now:
                    await self._close_exposure(name)
                    lane.say_lease(now)
                    session.flush()
                    session.close(LOST)
                    self.tunnels.remove(name, LeaseExpired(name))
                    return
                granted = min(end, now + self._bounds.lease_seconds)
                await self._set_lease(name, granted)
                lane.say_lease(granted)
        finally:
            self._asks.pop(name, None)

    async def _set_lease(self, name: str, end: float) -> None:
        record = await self._registry.name(name)
        if record is None or record.terms is None:
            return
        terms = msgspec.structs.replace(record.terms, lease_end=end)
        stored = await self._registry.update_name(replace(record, lease_end=end, terms=terms))
        self.tunnels.put(stored, self._limits(stored.key))

    # -- ends ---------------------------------------------------------------------------------

    async def _forget_exposure(self, name: str) -> None:
        """After the cut, unless the name was opened again meanwhile."""
        async with self._turns.turn(name):
            record = await self._registry.name(name)
            if record is not None and record.lease_end > self._now():
                return
            await self._close_exposure(name)
            self.tunnels.remove(name, LeaseExpired(name))

    async def _close_exposure(self, name: str) -> None:
        """Store that nothing is exposed; a name that we made up is forgotten with its port."""
        record = await self._registry.name(name)
        if record is None:
            return
        if record.chosen:
            await self._registry.update_name(replace(record, terms=None, lease_end=0.0))
            return
        await self._registry.delete_name(record)
        if record.port is not None:
            self._doors.close(record.port)

    async def _restore(self, record: NameRecord) -> None:
        if record.terms is not None and not record.lease_end > self._now():
            await self._close_exposure(record.name)
            record = replace(record, terms=None)
        elif record.terms is None and not record.chosen:
            await self._registry.delete_name(record)
        if record.terms is not None and self._keys.is_good(record.key):
            self.tunnels.put(record, self._limits(record.key))
            if record.port is not None:
                try:
                    await self._doors.open(record.name, record.terms, record.port)
                except (UnderpassError, OSError) as error:
                    self._log.error("port not open", name=record.name, reason=str(error))

    async def _reconcile(self, name: str) -> None:
        """Another process may have changed the record: look again while nobody else can."""
        async with self._turns.turn(name):
            record = await self._registry.name(name)
            tunnel = self.tunnels.get(name)
            if tunnel is None or _is_same(tunnel, record):
                return
            self._log.info("name released or transferred: tunnel cut", name=name)
            self.tunnels.remove(name, NameNotYours(name))
            if record is None and tunnel.record.port is not None:
                self._doors.close(tunnel.record.port)

    # -- inside -------------------------------------------------------------------------------

    def _limits(self, key: bytes) -> KeyLimits:
        record = self._keys.find(key)
        return KeyLimits() if record is None else record.limits

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = self._loop.create_task(self._run(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (UnderpassError, RevisionConflict) as error:
            self._log.error("registry not written", reason=str(error))


def _is_same(tunnel: Tunnel, stored: NameRecord | None) -> bool:
    """Whether the tunnel still is what is stored, as far as another process may change it."""
    return (
        stored is not None
        and stored.key == tunnel.record.key
        and stored.terms is not None
        and stored.instance == tunnel.record.instance
    )
