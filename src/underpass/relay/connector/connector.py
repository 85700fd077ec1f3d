"""The private side of one tunnel: lanes to the relay, kept up.

A connector is one instance of one tunnel: a random id, and the epoch that the relay gave it. It
keeps two lanes, each with a link of its own (``slot.py``), through lost links, sleep and changed
networks; every stream that the relay opens goes to the carrier (the gatehouse). When the relay has
forgotten the instance, or no link came back within the resume window, the streams are reset and a
new instance begins. When a newer instance took the name over, it stands down for good.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.gatehouse.ports import Carrier
from underpass.model.errors import UnderpassError
from underpass.model.errors_relay import ClockWrong
from underpass.relay.connector.dial import Dialler
from underpass.relay.connector.slot import LaneSlot
from underpass.relay.connector.surroundings import Surroundings
from underpass.relay.connector.visitor import Handover
from underpass.relay.links.runner import LaneRunner
from underpass.relay.protocol.budget import ReceiveBudget, ReplayBudget
from underpass.relay.protocol.errors import LaneAway
from underpass.relay.protocol.handshake import ID_SIZE, NONCE_SIZE
from underpass.relay.protocol.records import RESUME_WINDOW, Challenge, Hello, Terms, Welcome

logger = logging.getLogger(__name__)

LANES: Final = 2
"""Lanes a connector (WIRE.md): one stalled link stops half of the streams at most."""
CLOCK_TOLERANCE: Final = 300.0
"""Seconds the two clocks may differ when a tunnel is opened: Kerberos' tolerance (RFC 4120)."""
ANSWER_TIMEOUT: Final = 10.0
"""Seconds for the relay to answer a renewal."""
FAREWELL_TIMEOUT: Final = 2.0
"""Seconds for the relay to hear that a tunnel is closed."""

RECEIVE: Final = ReceiveBudget()
REPLAY: Final = ReplayBudget()
"""The budgets of the connectors of this process."""


class Connector:
    """Keeps one tunnel linked to one relay.

    ``enrol_token`` reads the relay's enrolment token when it is asked for one. ``on_links`` is told
    how many lanes are attached whenever that changes, ``on_ended`` once, when the connector stands
    down for good, with the reason.
    """

    def __init__(
        self,
        *,
        dialler: Dialler,
        key: Ed25519PrivateKey,
        carrier: Carrier,
        terms: Terms,
        name: str = "",
        enrol_token: Callable[[], str] | None = None,
        on_links: Callable[[int], None] | None = None,
        on_ended: Callable[[UnderpassError], None] | None = None,
    ) -> None:
        self.dialler = dialler
        self.key = key
        self.terms = terms
        self.name = name
        self.epoch = 0
        self.instance = os.urandom(ID_SIZE)
        self.enrol_token = enrol_token
        self.known = asyncio.Event()
        """Set while the relay has given this instance its epoch."""
        self.welcome: Welcome | None = None
        """The relay's last word on name, public address and lease."""
        self._loop = asyncio.get_running_loop()
        self._handover = Handover(carrier)
        self._account = REPLAY.account()
        self._public_key = key.public_key().public_bytes_raw()
        self._on_links = on_links
        self._on_ended = on_ended
        self._slots = [LaneSlot(self, leads=index == 0) for index in range(LANES)]
        self._tasks: list[asyncio.Task[None]] = []
        self._attached = 0
        self._last_received = self._loop.time()
        self._window: asyncio.TimerHandle | None = None
        self._lease_answer: asyncio.Future[float] | None = None
        self._ended = False

    # -- life ---------------------------------------------------------------------------------

    async def open(self) -> Welcome:
        """Link for the first time; later links are kept by tasks that ``close`` ends.

        Raises what the relay refused with, or ``RelayUnreachable``; nothing is left then.
        """
        try:
            await self._slots[0].attach_once()
        except BaseException:
            await self.close()
            raise
        self._tasks = [
            asyncio.create_task(slot.keep(), name=f"lane {index} of {self.name}")
            for index, slot in enumerate(self._slots)
        ]
        watcher = Surroundings(woke=self._suspect, moved=self._suspect)
        self._tasks.append(asyncio.create_task(watcher.watch(), name="surroundings"))
        assert self.welcome is not None
        return self.welcome

    async def renew(self, lease_end: float) -> float:
        """Ask for another end of the lease, unix seconds; returns the one granted.

        Raises ``LaneAway`` without a link, ``TimeoutError`` without an answer.
        """
        self._lease_answer = self._loop.create_future()
        try:
            self._say_lease(lease_end)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                granted = await self._lease_answer
        finally:
            self._lease_answer = None
        self.terms = msgspec.structs.replace(self.terms, lease_end=granted)
        return granted

    async def close(self) -> None:
        """Tell the relay, drop every lane, link and task. Idempotent."""
        if self._ended and not self._tasks:
            return
        self._ended = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._attached:
            self._lease_answer = self._loop.create_future()
            try:
                # a lease that ends now is a closed tunnel
                self._say_lease(0.0)
                async with asyncio.timeout(FAREWELL_TIMEOUT):
                    await self._lease_answer
            except (LaneAway, TimeoutError):
                logger.info("the relay did not answer the farewell of %s", self.name)
            finally:
                self._lease_answer = None
        self._drop_lanes("closed")

    # -- for slots ----------------------------------------------------------------------------

    def runner(self, identity: bytes, slot: LaneSlot) -> LaneRunner:
        """A fresh lane for ``slot``."""
        return LaneRunner(
            identity,
            opener=False,
            budget=RECEIVE,
            account=self._account,
            loop=self._loop,
            on_opened=self._handover.opened,
            on_link_lost=slot.link_gone,
            on_closed=slot.lane_closed,
            on_lease=self._lease_said,
        )

    def hello(self, slot: LaneSlot, challenge: Challenge, certificate: bytes, token: str) -> Hello:
        """This instance's introduction for a link of ``slot``.

        Raises ``ClockWrong`` before the first link if the clocks are too far apart.
        """
        skew = abs(challenge.now - time.time())
        if self.welcome is None and skew > CLOCK_TOLERANCE:
            raise ClockWrong(seconds=round(skew))
        lane = slot.runner.lane
        return Hello(
            relay=challenge.relay,
            nonce=os.urandom(NONCE_SIZE),
            key=self._public_key,
            certificate=certificate,
            name=self.name,
            instance=self.instance,
            epoch=self.epoch,
            lane=lane.identity,
            generation=slot.generation,
            received=lane.received,
            fresh=slot.fresh,
            credit=lane.first_credit,
            terms=self.terms,
            token=token,
        )

    def welcomed(self, welcome: Welcome) -> None:
        """The relay accepted a link of this instance."""
        self.welcome = welcome
        self.name = welcome.name
        self.epoch = welcome.epoch
        self.known.set()

    def links_changed(self) -> None:
        """A slot gained or lost its link."""
        attached = sum(slot.is_attached for slot in self._slots)
        if attached == self._attached:
            return
        self._attached = attached
        if attached and self._window is not None:
            self._window.cancel()
            self._window = None
        if not attached and not self._ended:
            last = max(slot.runner.lane.last_received for slot in self._slots)
            self._window = self._loop.call_at(last + RESUME_WINDOW, self._window_over)
        if self._on_links is not None and not self._ended:
            self._on_links(attached)

    def session_lost(self) -> None:
        """The relay does not know this instance any more: begin a new one."""
        logger.warning("the relay lost the session of %s: streams are reset", self.name)
        self._drop_lanes("lane-lost")
        self.instance = os.urandom(ID_SIZE)
        self.epoch = 0
        self.known.clear()

    def end(self, error: UnderpassError) -> None:
        """Stand down for good."""
        if self._ended:
            return
        self._ended = True
        logger.warning("the connector of %s stands down: %s", self.name, error)
        self._drop_lanes(error.code)
        for task in self._tasks:
            task.cancel()
        if self._on_ended is not None:
            self._on_ended(error)

    # -- inside -------------------------------------------------------------------------------

    def _say_lease(self, end: float) -> None:
        for slot in self._slots:
            if slot.is_attached:
                slot.runner.lane.say_lease(end)
                return
        raise LaneAway()

    def _lease_said(self, end: float) -> None:
        if self._lease_answer is not None and not self._lease_answer.done():
            self._lease_answer.set_result(end)

    def _window_over(self) -> None:
        self._window = None
        self.session_lost()

    def _drop_lanes(self, code: str) -> None:
        if self._window is not None:
            self._window.cancel()
            self._window = None
        for slot in self._slots:
            slot.give_up(code)
        self.links_changed()

    def _suspect(self) -> None:
        for slot in self._slots:
            slot.suspect()
