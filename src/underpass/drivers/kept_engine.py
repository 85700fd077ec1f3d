"""What engines of others have in common, whatever they run: who listens, how their link is, a lease
that nobody at their far end knows of, and the one thing that is kept running."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol

from underpass.drivers.base import Driver, LinkPhase, LinkView, Opened
from underpass.drivers.circuit import Circuit
from underpass.drivers.plans import Plan, Site
from underpass.drivers.process import Program
from underpass.model.spec import TunnelSpec


class Run(Protocol):
    """What is kept running: a program, or the attendance to something that runs by itself."""

    @property
    def url(self) -> str:
        """Where visitors come, once it carries; "" before."""

    @property
    def program(self) -> Program | None:
        """The program of the moment; None between two of them, and where there is none."""

    async def start(self) -> str:
        """Start it; returns the public URL as soon as it carries."""

    def redial(self, why: str) -> None:
        """Its link is dead although it looks alive."""

    async def close(self) -> None:
        """End it. Idempotent."""


class KeptEngine:
    """The base of such engines; whoever derives from it opens and closes, and fills ``_run`` and
    ``_plan`` meanwhile. Satisfies ``Redials``."""

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
        self._plan: Plan | None = None
        self._run: Run | None = None

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
        return "" if self._run is None else self._run.url

    @property
    def program(self) -> Program | None:
        """The program of the moment; None between two of them, and where there is none."""
        return None if self._run is None else self._run.program

    def observe(self, listener: Callable[[LinkView], None]) -> LinkView:
        """Call ``listener`` with every change from now on; returns the present view."""
        self._listeners.append(listener)
        return self._view

    async def renew(self, lease_end: float) -> float:
        """Nobody out there knows of the lease: the end is as asked, and we keep it."""
        return lease_end

    def redial(self, why: str) -> None:
        """Start what is kept anew: its link is dead although it looks alive."""
        if self._run is not None:
            self._run.redial(why)

    def _opened(self, url: str, spec: TunnelSpec) -> Opened:
        return Opened(url, self._site.name, time.time() + spec.lease.seconds)

    def _say(self, view: LinkView) -> None:
        self._view = view
        for listener in self._listeners:
            listener(view)
