"""Carries out what ``protocol.admission`` decides: durable first, then in one step in memory."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import KeyRevoked, LeaseExpired, NameNotYours, Superseded
from underpass.relay.links.link import Link
from underpass.relay.protocol.admission import (
    AskHolder,
    Bounds,
    Decision,
    Holder,
    KeyView,
    LiveView,
    NameView,
    NewInstance,
    NewLane,
    Refusal,
    Resume,
    decide,
)
from underpass.relay.protocol.errors import OffsetMismatch
from underpass.relay.protocol.greeting import greeting_frame
from underpass.relay.protocol.records import Hello, Refuse, Welcome
from underpass.relay.protocol.refusals import BadHello, UnknownLane, refusal
from underpass.relay.server.doors import Doors
from underpass.relay.server.errors import PortsExhausted, RegistryUnavailable
from underpass.relay.server.farewell import is_alive
from underpass.relay.server.key_text import fingerprint
from underpass.relay.server.keys import Keys
from underpass.relay.server.names import check_chosen, random_name
from underpass.relay.server.registry import (
    KeyRecord,
    NameExists,
    NameRecord,
    PortTaken,
    Registry,
    RevisionConflict,
)
from underpass.relay.server.terms import flaw_of
from underpass.relay.server.tunnels import Tunnels
from underpass.relay.server.turns import Turns

TRIES: Final = 5
"""How often a record may change under our hands (another process writes) before we say so."""

Accepted = NewInstance | NewLane | Resume


class Admissions:
    """Judges authentic introductions and attaches their links."""

    def __init__(
        self,
        registry: Registry,
        keys: Keys,
        tunnels: Tunnels,
        doors: Doors,
        turns: Turns,
        *,
        now: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        bounds: Bounds,
    ) -> None:
        self._registry = registry
        self._keys = keys
        self._tunnels = tunnels
        self._doors = doors
        self._turns = turns
        self._now = now
        self._loop = loop
        self._bounds = bounds

    async def admit(self, hello: Hello, link: Link) -> Refuse | None:
        """Attach and welcome the link (None), or say why not. ``hello`` has been verified."""
        try:
            return await self._admit(hello, link)
        except UnderpassError as error:
            return refusal(error, getattr(error, "retry_after", 0.0))

    async def _admit(self, hello: Hello, link: Link) -> Refuse | None:
        flaw = flaw_of(hello.terms)
        if flaw:
            raise BadHello(flaw)
        key = self._keys.find(hello.key)
        if key is None and hello.token:
            key = await self._keys.enrol(hello.key, hello.token, hello.terms.owner)
        if key is None or key.revoked_at is not None:
            # Strangers are answered from memory: they cost no turn and no disk.
            view = None if key is None else KeyView(fingerprint(hello.key), revoked=True)
            decision = decide(hello, fingerprint(hello.key), view, None, LiveView(), self._now())
            assert isinstance(decision, Refusal)
            return decision.record()
        if hello.name:
            return await self._at_name(hello, key, link, chosen=True)
        if hello.epoch:
            raise BadHello("an epoch belongs to a name")
        async with self._turns.turn((hello.key, hello.instance)):
            # The same instance again, whose welcome was lost, gets the same name.
            record = await self._registry.find_instance(hello.key, hello.instance)
            name = record.name if record else random_name(secrets.token_bytes)
            named = msgspec.structs.replace(hello, name=name)
            return await self._at_name(named, key, link, chosen=False)

    async def _at_name(
        self, hello: Hello, key: KeyRecord, link: Link, *, chosen: bool
    ) -> Refuse | None:
        async with self._turns.turn(hello.name):
            for _ in range(TRIES):
                record = await self._registry.name(hello.name)
                try:
                    if record is None:
                        self._released(hello)
                        # Claims of one key are counted one after the other.
                        async with self._turns.turn(hello.key):
                            return await self._claim(hello, key, link, chosen=chosen)
                    decision = await self._decide(hello, key, record)
                    return await self._carry_out(decision, hello, key, record, link)
                except (NameExists, PortTaken, RevisionConflict):
                    continue
        raise RegistryUnavailable("the record changes faster than it can be read")

    def _released(self, hello: Hello) -> None:
        """A name that lives but is not stored was released a moment ago, by another process.

        Its connector must not bring it back by resuming; whoever begins anew may claim it.
        """
        tunnel = self._tunnels.get(hello.name)
        if tunnel is None:
            return
        self._tunnels.remove(hello.name, NameNotYours(hello.name))
        if tunnel.record.port is not None:
            self._doors.close(tunnel.record.port)
        if hello.epoch:
            raise NameNotYours(hello.name)

    async def _claim(
        self, hello: Hello, key: KeyRecord, link: Link, *, chosen: bool
    ) -> Refuse | None:
        if chosen:
            check_chosen(hello.name)
        owned = len(await self._registry.names(hello.key))
        view = KeyView(fingerprint(hello.key), names_owned=owned, names_limit=key.limits.names)
        decision = decide(
            hello, view.fingerprint, view, None, LiveView(), self._now(), self._bounds
        )
        record = NameRecord(hello.name, hello.key, chosen, self._now())
        return await self._carry_out(decision, hello, key, record, link)

    async def _decide(self, hello: Hello, key: KeyRecord, record: NameRecord) -> Decision:
        mine = KeyView(fingerprint(hello.key))
        name = NameView(
            owner=fingerprint(record.key),
            epoch=record.epoch,
            instance=record.instance,
            past=frozenset(record.past),
        )
        holder = Holder.UNASKED
        while True:
            now = self._now()
            tunnel = self._tunnels.get(hello.name)
            live = tunnel.view(now, holder) if tunnel else LiveView()
            decision = decide(hello, mine.fingerprint, mine, name, live, now, self._bounds)
            if not isinstance(decision, AskHolder) or tunnel is None:
                return decision
            alive = await is_alive(tunnel.links, self._loop)
            holder = Holder.ALIVE if alive else Holder.SILENT

    async def _carry_out(
        self, decision: Decision, hello: Hello, key: KeyRecord, record: NameRecord, link: Link
    ) -> Refuse | None:
        if isinstance(decision, Refusal):
            if decision.raise_to:
                await self._store(replace(record, epoch=decision.raise_to), key)
            return decision.record()
        assert not isinstance(decision, AskHolder)
        stored = await self._store_accepted(decision, hello, key, record)
        # From here on nothing waits: what is stored and what lives change in one step.
        if not self._keys.is_good(hello.key):
            return refusal(KeyRevoked(hello.relay))
        tunnel = self._tunnels.put(stored, key.limits)
        if isinstance(decision, NewInstance):
            self._tunnels.supersede(tunnel, Superseded(hello.name))
        return self._attach(hello, stored, link)

    async def _store_accepted(
        self, decision: Accepted, hello: Hello, key: KeyRecord, record: NameRecord
    ) -> NameRecord:
        now, read = self._now(), record
        lease_end, terms = decision.lease_end, hello.terms
        if isinstance(decision, NewInstance) and decision.raises:
            past = (record.instance, *record.past) if record.instance else record.past
            record = replace(record, epoch=decision.epoch, instance=hello.instance, past=past)
        elif record.terms is not None:
            before = record.terms
            if (before.kind, before.tls, before.exposure) != (
                terms.kind,
                terms.tls,
                terms.exposure,
            ):
                raise BadHello("an instance cannot become another kind of tunnel")
            # A lane that joins may have been introduced before a renewal that was granted on
            # another: of a running instance, LEASE alone changes the end.
            lease_end = record.lease_end
            terms = msgspec.structs.replace(terms, lease_end=before.lease_end)
        if not lease_end > now:
            raise LeaseExpired(hello.name)
        record = replace(record, terms=terms, lease_end=lease_end)
        if record == read and not isinstance(decision, NewInstance):
            return record
        return await self._store_with_port(record, key)

    async def _store_with_port(self, record: NameRecord, key: KeyRecord) -> NameRecord:
        assert record.terms is not None
        if not self._doors.wants_port(record.terms):
            return await self._store(record, key)
        before = record.port
        counts = before is None and record.terms.kind == "tcp"
        if counts and self._tunnels.tcp_ports_of(record.key) >= key.limits.ports:
            raise PortsExhausted(record.name, f"this key may own {key.limits.ports}")
        port = await self._doors.open(record.name, record.terms, before)
        try:
            return await self._store(replace(record, port=port), key)
        except BaseException:
            if port != before:
                self._doors.close(port)
            raise

    async def _store(self, record: NameRecord, key: KeyRecord) -> NameRecord:
        if record.revision:
            stored = await self._registry.update_name(record)
        else:
            stored = await self._registry.create_name(record)
        if self._tunnels.get(record.name) is not None and stored.terms is not None:
            self._tunnels.put(stored, key.limits)
        return stored

    def _attach(self, hello: Hello, stored: NameRecord, link: Link) -> Refuse | None:
        tunnel = self._tunnels.get(hello.name)
        assert tunnel is not None
        if link.transport is None:
            return None  # it died meanwhile; the connector comes again
        session = tunnel.session or self._tunnels.begin(tunnel, hello.instance)
        lane = session.runner(hello.lane).lane
        welcome = Welcome(
            name=hello.name,
            epoch=stored.epoch,
            lane=hello.lane,
            generation=hello.generation,
            received=lane.received,
            credit=lane.first_credit,
            public_url=tunnel.public_url,
            lease_end=stored.lease_end,
        )
        try:
            session.attach(
                hello.lane,
                link,
                generation=hello.generation,
                received=hello.received,
                credit=hello.credit,
            )
        except OffsetMismatch:
            return refusal(UnknownLane(hello.name))
        # The lane writes at the end of this turn of the loop: the welcome goes before its bytes.
        link.write([greeting_frame(welcome)])
        return None
