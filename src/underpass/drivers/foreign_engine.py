"""An engine that is a foreign program: planned by its driver, carried out behind a door of ours.

That a tunnel is live is for the prover to say; here it is only begun, kept and ended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, runtime_checkable

from underpass.drivers.base import Driver, LinkPhase, LinkView, Opened
from underpass.drivers.circuit import Circuit
from underpass.drivers.foreign_door import ForeignDoor
from underpass.drivers.keeper import Keeper, Tell
from underpass.drivers.plans import DoorAddress, DoorKind, Plan, Site
from underpass.drivers.process import Program, minimal
from underpass.gatehouse.ports import Carrier
from underpass.guard.private_files import write_private
from underpass.model.spec import TunnelSpec


@runtime_checkable
class Watches(Protocol):
    """A driver that learns more by asking than by reading: an API of the program, its sockets."""

    async def watch(self, plan: Plan, tell: Tell) -> None:
        """Ask until cancelled, as long as the program runs; ``tell`` each thing learnt."""


class ForeignEngine:
    """Carries one tunnel by a foreign program. Satisfies ``Engine`` and ``Redials``."""

    def __init__(
        self,
        driver: Driver,
        spec: TunnelSpec,
        site: Site,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._driver = driver
        self._spec = spec
        self._site = site
        self._jitter = jitter
        self._circuit = Circuit()
        self._listeners: list[Callable[[LinkView], None]] = []
        self._view = LinkView(LinkPhase.DIALLING)
        self._door: ForeignDoor | None = None
        self._plan: Plan | None = None
        self._keeper: Keeper | None = None

    def __repr__(self) -> str:
        return f"ForeignEngine({self.name!r}, {self.program!r})"

    @property
    def name(self) -> str:
        """The engine's word."""
        return self._driver.name

    @property
    def plan(self) -> Plan | None:
        """What is being carried out; None before ``open``."""
        return self._plan

    @property
    def public_url(self) -> str:
        """Where visitors come, as far as it is known; "" before."""
        return "" if self._keeper is None else self._keeper.url

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the program gets."""
        added = {} if self._plan is None else self._plan.environment
        return {**minimal(self._site.environment), **added}

    @property
    def program(self) -> Program | None:
        """The program of the moment; None between two of them."""
        return None if self._keeper is None else self._keeper.program

    # Engine

    async def open(self, carrier: Carrier, spec: TunnelSpec) -> Opened:
        """Open the gatehouse's door, write the plan's files, start the program; returns when it
        says that it carries. Raises what ``Keeper.start`` does."""
        try:
            plan = await self._prepare(carrier, spec)
            driver = self._driver
            self._keeper = Keeper(
                plan,
                directory=self._site.directory,
                environment=self.environment,
                read=driver.read,
                say=self._say,
                jitter=self._jitter,
                watch=partial(driver.watch, plan) if isinstance(driver, Watches) else None,
                circuit=self._circuit,
            )
            url = await self._keeper.start()
        except BaseException:
            await self.close()
            raise
        return Opened(url, self._site.name, time.time() + spec.lease.seconds)

    def observe(self, listener: Callable[[LinkView], None]) -> LinkView:
        """Call ``listener`` with every change from now on; returns the present view."""
        self._listeners.append(listener)
        return self._view

    async def renew(self, lease_end: float) -> float:
        """Nobody out there knows of the lease: the end is as asked, and we keep it."""
        return lease_end

    async def close(self) -> None:
        """End the program and the door, remove its files. Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await keeper.close()
        door, self._door = self._door, None
        if door is not None:
            await door.close()
        if self._plan is not None:
            for file in self._plan.files:
                with suppress(OSError):
                    file.path.unlink(missing_ok=True)

    # Redials

    def redial(self, why: str) -> None:
        """Start the program anew: its link is dead although it looks alive."""
        if self._keeper is not None:
            self._keeper.redial(why)

    async def _prepare(self, carrier: Carrier, spec: TunnelSpec) -> Plan:
        draft = self._driver.plan(spec, self._site)
        address = DoorAddress()
        if draft.door is not DoorKind.NONE:
            self._door = await ForeignDoor.open(carrier, draft, spec.kind, self._site.directory)
            address = self._door.address
        self._plan = plan = self._driver.plan(spec, self._site.at(address))
        write_files(plan)
        return plan

    def _say(self, view: LinkView) -> None:
        self._view = view
        for listener in self._listeners:
            listener(view)


def write_files(plan: Plan) -> None:
    """Write what ``plan`` wants to be there before its program starts, 0600 until said otherwise.

    Raises ``SecretUnwritable``.
    """
    for file in plan.files:
        write_private(file.path, file.content)
        if file.mode != 0o600:
            file.path.chmod(file.mode)
