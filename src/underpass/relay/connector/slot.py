"""One lane of a connector and the links it has in turn."""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING, Final

from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import (
    KeyUnknown,
    NameContended,
    RelayCertificateWrong,
    RelayTooOld,
    RelayUnreachable,
    Superseded,
    relay_refusal,
)
from underpass.relay.links.link import Link
from underpass.relay.links.runner import LaneRunner
from underpass.relay.protocol.backoff import Backoff
from underpass.relay.protocol.errors import OffsetMismatch, ProtocolViolation
from underpass.relay.protocol.handshake import ID_SIZE, sign
from underpass.relay.protocol.records import VERSION, Challenge, Drain, Greeting, Refuse, Welcome
from underpass.relay.protocol.refusals import (
    StaleLink,
    UnknownLane,
    UnknownSession,
    refused_with,
)

if TYPE_CHECKING:
    from underpass.relay.connector.connector import Connector

GREETING_TIMEOUT: Final = 8.0
"""Seconds for the relay's part of the introduction."""
LANE_LOST: Final = frozenset({UnknownLane.code, OffsetMismatch.code, ProtocolViolation.code})
RETRIED: Final = frozenset({RelayCertificateWrong.code})
"""Once a tunnel has been linked these do not end it: a captive portal shows a wrong certificate
for a while, and status says so meanwhile."""

_RESTARTS: Final = {cls.code: cls for cls in (UnknownSession, UnknownLane)}


class LaneSlot:
    """A place for one lane. ``leads`` marks the one that may introduce a new instance."""

    def __init__(self, connector: Connector, *, leads: bool) -> None:
        self._connector = connector
        self._leads = leads
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._hurry = asyncio.Event()
        self._backoff = Backoff()
        self._attempt: asyncio.Future[None] | None = None
        self._candidate: Link | None = None
        self._newest: Link | None = None
        self._certificate = b""
        self._token = ""
        self._introduced = b""
        self._late_since: float | None = None
        self.generation = 0
        self.fresh = True
        self.runner: LaneRunner = connector_runner(self, connector)
        if not leads:
            self._wanted.set()

    @property
    def is_attached(self) -> bool:
        """Whether a link carries the lane now."""
        return self.runner.lane.attached

    # -- keeping it up ------------------------------------------------------------------------

    async def keep(self) -> None:
        """Keep the lane linked until cancelled or until the connector stands down."""
        while True:
            await self._wanted.wait()
            if not self._leads and not self._connector.epoch:
                await self._connector.known.wait()
            self._wanted.clear()
            self._hurry.clear()
            try:
                await self.attach_once()
            except UnderpassError as error:
                if not await self._recover(error):
                    return

    async def _recover(self, error: UnderpassError) -> bool:
        """After a failed attempt: what next? False: never again."""
        code = error.code
        if code == UnknownSession.code:
            self._connector.session_lost()
        elif code in LANE_LOST:
            self.give_up("lane-lost")
        elif not error.retryable and code not in RETRIED:
            self._connector.end(error)
            return False
        self._wanted.set()
        delay = self._backoff.failed(self._loop.time(), random.random())
        try:
            async with asyncio.timeout(delay):
                await self._hurry.wait()
        except TimeoutError:
            pass
        return True

    async def attach_once(self) -> None:
        """Dial and introduce one link. Raises the ``UnderpassError`` that stood in the way."""
        try:
            await self._introduce()
        except UnderpassError as error:
            if error.code != KeyUnknown.code or self._connector.enrol_token is None:
                raise
            self._token = self._connector.enrol_token()
            try:
                await self._introduce()
            finally:
                self._token = ""
        self._backoff.recovered()

    async def _introduce(self) -> None:
        link, self._certificate = await self._connector.dialler.dial(self._make_link)
        self._candidate = link
        try:
            if self._attempt is None:
                return
            async with asyncio.timeout(GREETING_TIMEOUT):
                await self._attempt
        except TimeoutError:
            relay = str(self._connector.dialler.address)
            raise RelayUnreachable(relay=relay, why="it does not introduce itself") from None
        finally:
            self._attempt = None
            self._candidate = None
            if self.runner.link is not link:
                link.release()

    def _make_link(self) -> Link:
        # Once more when the first way is blocked: the link of before is nobody's then.
        self._attempt = self._loop.create_future()
        self._newest = Link(self, self._loop)
        return self._newest

    # -- LinkOwner ----------------------------------------------------------------------------

    def greeting_received(self, link: Link, record: Greeting, raw: bytes) -> None:
        """The relay speaks."""
        if isinstance(record, Challenge):
            # the dialler may still be on its way back from the TLS handshake
            self._loop.call_soon(self._answer, link, record, raw)
        elif isinstance(record, Welcome):
            self._welcomed(link, record)
        elif isinstance(record, Refuse):
            if link is self._candidate:
                self._fail(self._refusal(record))
            else:
                self._refused_later(link, record)
        else:
            self._fail(ProtocolViolation(reason="the relay introduces itself as a connector"))

    def link_lost(self, link: Link, reason: str) -> None:
        """A connection ended."""
        if link is self._newest and self._attempt is not None and not self._attempt.done():
            relay = str(self._connector.dialler.address)
            self._fail(RelayUnreachable(relay=relay, why=reason))

    def link_late(self, link: Link) -> None:
        """The link is silent: dial its successor beside it."""
        self._late_since = link.last_heard
        self._wanted.set()

    def drain_received(self, link: Link, drain: Drain) -> None:
        """The relay is about to stop: have the next link ready before it does."""
        self._wanted.set()
        self._hurry.set()

    # -- the introduction ---------------------------------------------------------------------

    def _answer(self, link: Link, challenge: Challenge, raw: bytes) -> None:
        if self._attempt is None or self._attempt.done():
            return
        if link is not self._candidate:
            self._loop.call_soon(self._answer, link, challenge, raw)
            return
        if challenge.version < VERSION:
            relay = str(self._connector.dialler.address)
            self._fail(RelayTooOld(relay=relay, theirs=challenge.version, ours=VERSION))
            return
        old = self.runner.link
        late_since, self._late_since = self._late_since, None
        if old is not None and late_since is not None and old.last_heard > late_since:
            # the old link woke up: the switch would only cost
            self._attempt.set_result(None)
            return
        self.generation += 1
        self.runner.drop_link()  # from here on, bytes of the older generation do not count
        self._connector.links_changed()
        try:
            hello = self._connector.hello(self, challenge, self._certificate, self._token)
        except UnderpassError as error:
            self._fail(error)
            return
        self._introduced = hello.instance
        link.send_greeting(sign(hello, raw, self._connector.key))

    def _welcomed(self, link: Link, welcome: Welcome) -> None:
        if self._attempt is None or self._attempt.done() or link is not self._candidate:
            return
        if welcome.lane != self.runner.lane.identity:
            # the lane it means was given up while the answer was on its way
            self._fail(UnknownLane(name=self._connector.name))
            return
        try:
            self.runner.attach(
                link,
                generation=welcome.generation,
                peer_received=welcome.received,
                peer_credit=welcome.credit,
            )
        except OffsetMismatch as error:
            self._fail(error)
            return
        self.fresh = False
        self._connector.welcomed(welcome)
        if not self._attempt.done():
            self._attempt.set_result(None)
        self._connector.links_changed()

    def _refusal(self, refuse: Refuse) -> UnderpassError:
        """The error for the relay's refusal of the link that is being introduced."""
        connector = self._connector
        relay = str(connector.dialler.address)
        if refuse.code in _RESTARTS:
            return _RESTARTS[refuse.code](name=connector.name)
        stale = refuse.code == Superseded.code and self._introduced != connector.instance
        # Waiting for a contended name would mean taking it again from one that lives.
        later = refuse.retry_after > 0 and refuse.code != NameContended.code
        if stale or later or refuse.code == StaleLink.code:
            return RelayUnreachable(relay=relay, why=refuse.message)
        told = refused_with(refuse)
        return told or relay_refusal(refuse.code, relay=relay, name=connector.name)

    def _refused_later(self, link: Link, refuse: Refuse) -> None:
        """A link that carried the lane was told to go."""
        if link is not self.runner.link:
            return
        # hanging up at once is the answer that proves this instance alive (contention)
        self._connector.end(self._refusal(refuse))

    def _fail(self, error: UnderpassError) -> None:
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_exception(error)

    # -- the lane -----------------------------------------------------------------------------

    def link_gone(self, runner: LaneRunner, link: Link) -> None:
        """The link that carried the lane ended."""
        if runner is self.runner:
            self._wanted.set()
            self._connector.links_changed()

    def lane_closed(self, runner: LaneRunner, code: str) -> None:
        """The lane was given up: a fresh one takes its place."""
        if runner is self.runner:
            self.runner = connector_runner(self, self._connector)
            self.fresh = True
            self.generation = 0
            self._wanted.set()
            self._connector.links_changed()

    def give_up(self, code: str) -> None:
        """Give the lane up."""
        self.runner.close(code)

    def suspect(self) -> None:
        """The surroundings changed: doubt the link, hurry the next."""
        self._hurry.set()
        if self.runner.link is not None:
            self.runner.link.suspect()


def connector_runner(slot: LaneSlot, connector: Connector) -> LaneRunner:
    """A fresh lane with a random id."""
    return connector.runner(os.urandom(ID_SIZE), slot)
