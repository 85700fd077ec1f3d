"""The async shell of the handshake: from a connector's transport to an attached link.

Challenge, signed hello, verification, admission, welcome or refusal. The edges' ``LinkAcceptor``.
An enrolment token is spent and dropped here; it is never logged.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import TlsIntercepted
from underpass.relay.links.link import Link
from underpass.relay.protocol.errors import OverLimit
from underpass.relay.protocol.handshake import NONCE_SIZE, verify
from underpass.relay.protocol.records import (
    Challenge,
    Drain,
    Greeting,
    Hello,
    Refuse,
    SignedHello,
)
from underpass.relay.protocol.refusals import refusal
from underpass.relay.server.admissions import Admissions
from underpass.relay.server.log import RelayLog

INTRODUCTION_SECONDS: Final = 10.0
"""From the transport to a whole hello."""

MOST_INTRODUCTIONS: Final = 2048
"""Links that may be in their introduction at once: a restart with a thousand connectors of two
lanes each fits. When it is full the one that has been silent for longest makes room, so that a
stranger who only knocks keeps nobody out; are all being judged, the newcomer comes again."""


class Acceptor:
    """Takes transports of connectors; its tasks and links end with ``close``."""

    def __init__(
        self,
        admissions: Admissions,
        *,
        relay: str,
        front_fingerprints: frozenset[bytes],
        now: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        log: RelayLog,
    ) -> None:
        self.relay = relay
        self.fronts = front_fingerprints
        self.accepted = 0
        """Links welcomed since the start."""
        self.refused = 0
        """Links refused since the start."""
        self._admissions = admissions
        self._now = now
        self._loop = loop
        self._log = log
        self._introductions: dict[Introduction, None] = {}
        """In order of arrival."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def accept_link(self, transport: asyncio.Transport, data: bytes, certificate: bytes) -> None:
        """Own ``transport`` from now on; ``data`` was already read.

        ``certificate`` is the SHA-256 of the leaf that was served, empty on a plain link.
        """
        introduction = Introduction(self, certificate)
        link = Link(introduction, self._loop)
        transport.set_protocol(link)
        link.connection_made(transport)
        if self._closed or not self._has_room():
            self._log.warning("link refused", code="over-limit", waiting=MOST_INTRODUCTIONS)
            link.send_greeting(refusal(OverLimit(what="room for introductions"), 1.0))
            link.close()
            return
        self._introductions[introduction] = None
        introduction.begin(link, self._challenge())
        if data:
            link.data_received(data)

    async def close(self) -> None:
        """Refuse further links, end introductions and their tasks. Idempotent."""
        self._closed = True
        for introduction in list(self._introductions):
            introduction.give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- for introductions --------------------------------------------------------------------

    def call_later(self, seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        """A timer on the acceptor's loop."""
        return self._loop.call_later(seconds, act)

    def finished(self, introduction: Introduction) -> None:
        """The introduction is over, one way or the other."""
        self._introductions.pop(introduction, None)

    def lost(self, name: str, reason: str) -> None:
        """A link that carried a lane ended, and not by our doing."""
        self._log.info("link lost", name=name, reason=reason)

    def verify(self, signed: SignedHello, challenge: Challenge, certificate: bytes) -> Hello:
        """Judge a hello by what was served on its link and on configured front proxies."""
        if certificate:
            return verify(signed, challenge, self.fronts | {certificate}, plain=False)
        try:
            return verify(signed, challenge, frozenset(), plain=True)
        except TlsIntercepted:
            if not self.fronts:
                raise
            # A front proxy ends TLS and comes to us over plain loopback.
            return verify(signed, challenge, self.fronts, plain=False)

    def admit(self, introduction: Introduction, hello: Hello, link: Link) -> None:
        """Have an authentic hello judged; the introduction is told."""
        task = self._loop.create_task(
            self._admit(introduction, hello, link), name="admission of a link"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def refuse(self, link: Link, refuse: Refuse) -> None:
        """Say why not, and end the link."""
        self.refused += 1
        self._log.info("link refused", code=refuse.code, message=refuse.message)
        link.send_greeting(refuse)
        link.close()

    async def _admit(self, introduction: Introduction, hello: Hello, link: Link) -> None:
        try:
            refuse = await self._admissions.admit(hello, link)
        except Exception as error:  # a defect must not leave a connector waiting
            self._log.error("admission failed", error=repr(error))
            introduction.give_up()
            return
        introduction.over()
        if refuse is not None:
            self.refuse(link, refuse)
        elif link.transport is not None:
            self.accepted += 1
            introduction.name = hello.name or "a random name"
            self._log.info("link attached", name=hello.name, instance=hello.instance.hex())

    def _has_room(self) -> bool:
        if len(self._introductions) < MOST_INTRODUCTIONS:
            return True
        silent = next((each for each in self._introductions if each.is_silent), None)
        if silent is None:
            return False
        silent.give_up()
        return True

    def _challenge(self) -> Challenge:
        return Challenge(relay=self.relay, nonce=secrets.token_bytes(NONCE_SIZE), now=self._now())


class Introduction:
    """What is said on one link until it carries a lane; then its owner for good."""

    def __init__(self, acceptor: Acceptor, certificate: bytes) -> None:
        self.name = ""
        """The tunnel whose lane the link carries, once it does."""
        self._acceptor = acceptor
        self._certificate = certificate
        self._challenge: Challenge | None = None
        """Set while a hello is awaited: it is answered once."""
        self._link: Link | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_silent(self) -> bool:
        """Whether no hello has come."""
        return self._challenge is not None

    def begin(self, link: Link, challenge: Challenge) -> None:
        """Say the challenge and wait for the hello."""
        self._link = link
        self._challenge = challenge
        self._timer = self._acceptor.call_later(INTRODUCTION_SECONDS, self.give_up)
        link.send_greeting(challenge)

    def over(self) -> None:
        """No more is said here."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._acceptor.finished(self)

    def give_up(self) -> None:
        """End the link without a word."""
        self.over()
        if self._link is not None:
            self._link.abort("the introduction was not completed")

    def greeting_received(self, link: Link, record: Greeting, raw: bytes) -> None:
        """A hello came."""
        challenge, self._challenge = self._challenge, None
        if challenge is None or not isinstance(record, SignedHello):
            self.give_up()
            return
        try:
            hello = self._acceptor.verify(record, challenge, self._certificate)
        except UnderpassError as error:
            self.over()
            self._acceptor.refuse(link, refusal(error))
            return
        self._acceptor.admit(self, hello, link)

    def link_late(self, link: Link) -> None:
        """The connector dials a successor by itself."""

    def drain_received(self, link: Link, drain: Drain) -> None:
        """Connectors do not drain."""

    def link_lost(self, link: Link, reason: str) -> None:
        """The connection ended; its lane was told by the link."""
        self.over()
        if self.name:
            self._acceptor.lost(self.name, reason)
