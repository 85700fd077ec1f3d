"""An engine that is a foreign program: planned by its driver, run, read, restarted, ended.

What the program says is never believed further than "it seems to carry" or "it does not": that a
tunnel is live is for the prover to say. A program that ends is started again, whatever its exit
code, since 0 is a failure too: at once and then more slowly while its far end is away, and no more
when it ends five times in a minute for no reason that waiting would cure.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, runtime_checkable
from urllib.parse import urlsplit

from underpass.drivers.base import Driver, LinkPhase, LinkView, Opened
from underpass.drivers.circuit import Circuit
from underpass.drivers.errors import EngineAway, EngineKeepsEnding, EngineRefused
from underpass.drivers.foreign_door import ForeignDoor
from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.plans import DoorAddress, DoorKind, Plan, Site
from underpass.drivers.process import Program, minimal
from underpass.gatehouse.ports import Carrier
from underpass.guard.private_files import write_private
from underpass.guard.redact import Redactor
from underpass.model.errors import UnderpassError
from underpass.model.spec import TunnelSpec
from underpass.relay.protocol.backoff import Backoff

log = logging.getLogger(__name__)

READY_SECONDS: Final = 25.0
"""What a program may take to say that it carries; less than an ``open`` waits."""

LOOK_SECONDS: Final = 1.0
"""How often a program is looked at: one that was stopped by a signal says nothing itself."""

LAST_WORDS: Final = 20
"""Lines of output that are kept for the error it ends with, 300 characters of each."""

CRASHED: Final = "engine-ended"
FROZEN: Final = "engine-frozen"
MUTE: Final = "engine-mute"


@runtime_checkable
class Watches(Protocol):
    """A driver that learns more by asking than by reading: an API of the program, its sockets."""

    async def watch(self, plan: Plan, tell: Callable[[Observation], None]) -> None:
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
        self._redactor = Redactor()
        self._listeners: list[Callable[[LinkView], None]] = []
        self._view = LinkView(LinkPhase.DIALLING)
        self._door: ForeignDoor | None = None
        self._plan: Plan | None = None
        self._program: Program | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._first: asyncio.Future[str] | None = None
        self._carried = asyncio.Event()
        self._refusal: Refusal | None = None
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._stopping: asyncio.Task[int] | None = None
        self._url = ""

    def __repr__(self) -> str:
        return f"ForeignEngine({self.name!r}, {self._program!r})"

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
        return self._url

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the program gets."""
        added = {} if self._plan is None else self._plan.environment
        return {**minimal(self._site.environment), **added}

    @property
    def program(self) -> Program | None:
        """The program of the moment; None between two of them."""
        return self._program

    # Engine

    async def open(self, carrier: Carrier, spec: TunnelSpec) -> Opened:
        """Open the gatehouse's door, write the plan's files, start the program; returns when it
        says that it carries. Raises ``EngineAway``, ``EngineRefused`` or ``EngineKeepsEnding``."""
        try:
            await self._prepare(carrier, spec)
            self._first = asyncio.get_running_loop().create_future()
            self._keeping = asyncio.create_task(self._keep(), name=f"underpass: keep {self.name}")
            url = await self._first
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
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
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
        program = self._program
        if program is not None and self._carried.is_set():
            log.info("%s is started anew: %s", self.name, why)
            self._refusal = Refusal("far-end-silent", why)
            self._stopping = asyncio.create_task(
                program.stop(), name=f"underpass: stop {self.name}"
            )

    # Carrying the plan out

    async def _prepare(self, carrier: Carrier, spec: TunnelSpec) -> None:
        draft = self._driver.plan(spec, self._site)
        address = DoorAddress()
        if draft.door is not DoorKind.NONE:
            self._door = await ForeignDoor.open(carrier, draft, spec.kind, self._site.directory)
            address = self._door.address
        self._plan = plan = self._driver.plan(spec, self._site.at(address))
        for secret in plan.secrets:
            self._redactor.add(secret)
        for file in plan.files:
            write_private(file.path, file.content)
            if file.mode != 0o600:
                file.path.chmod(file.mode)

    async def _keep(self) -> None:
        """Run the program, again and again, until ``close`` or a reason to stop."""
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            try:
                code = await self._run_once()
            except UnderpassError as cannot_start:
                self._give_up(cannot_start)
                return
            if self._carried.is_set():
                backoff.recovered()
            error = self._judge_end(code)
            if not error.retryable or self._is_opening:
                self._give_up(error)
                return
            self._say(LinkView(LinkPhase.LOST, _code_of(error), error.message))
            await asyncio.sleep(backoff.failed(loop.time(), self._jitter()))

    async def _run_once(self) -> int:
        """One life of the program; returns its exit code. Nothing of it is left then."""
        plan = self._plan
        assert plan is not None
        self._refusal = None
        self._carried.clear()
        self._words.clear()
        program = await Program.start(
            plan.argv,
            environment=self.environment,
            directory=self._site.directory,
            on_line=self._read,
        )
        self._program = program
        attendants = [asyncio.create_task(self._look_after(program), name="underpass: look after")]
        if isinstance(self._driver, Watches):
            watching = self._watch(self._driver, plan)
            attendants.append(asyncio.create_task(watching, name=f"underpass: watch {self.name}"))
        try:
            return await program.wait()
        finally:
            for each in attendants:
                each.cancel()
            await asyncio.gather(*attendants, return_exceptions=True)
            await program.stop()
            self._program = None

    async def _watch(self, driver: Watches, plan: Plan) -> None:
        try:
            await driver.watch(plan, self._observe)
        except Exception:
            log.exception("watching %s broke", self.name)

    async def _look_after(self, program: Program) -> None:
        """End a program that never says that it carries; tell of one that was stopped."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._carried.wait()
        except TimeoutError:
            self._refusal = self._refusal or Refusal(
                MUTE, f"it said nothing that we understand for {READY_SECONDS:g} s"
            )
            await program.stop()
            return
        was_frozen = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if program.is_frozen != was_frozen:
                was_frozen = not was_frozen
                if was_frozen:
                    detail = f"{program.name} (pid {program.pid}) was stopped by a signal"
                    self._say(LinkView(LinkPhase.LOST, FROZEN, detail))
                else:
                    self._say(LinkView(LinkPhase.ATTACHED, public_url=self._url))

    # Its words

    def _read(self, line: str) -> None:
        line = self._redactor.scrub(line)
        self._words.append(line[:300])
        log.debug("%s: %s", self.name, line[:300])
        try:
            observation = self._driver.read(line)
        except Exception:  # a plug-in's parser must not end the reading
            log.exception("the driver for %s could not read a line", self.name)
            return
        if observation is not None:
            self._observe(observation)

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, Refusal):
            # The first that is final says why; what comes after it is its consequence.
            if self._refusal is None or not self._refusal.fatal:
                self._refusal = observation
        elif isinstance(observation, Faltering):
            if self._carried.is_set():
                self._say(LinkView(LinkPhase.LOST, observation.code, observation.detail))
        else:
            self._carry(observation)

    def _carry(self, carrying: Carrying) -> None:
        assert self._plan is not None
        url = carrying.url or self._url or self._plan.url
        if carrying.port:
            url = with_port(self._plan.url, carrying.port)
        if not url:
            return  # it carries, but nobody knows where yet
        self._url = url
        self._carried.set()
        self._say(LinkView(LinkPhase.ATTACHED, public_url=url))
        if self._first is not None and not self._first.done():
            self._first.set_result(url)

    # Its end

    @property
    def _is_opening(self) -> bool:
        return self._first is not None and not self._first.done()

    def _judge_end(self, code: int) -> UnderpassError:
        """Why it ended, and whether it is worth starting again."""
        refusal, name = self._refusal, self.name
        if refusal is not None and not refusal.fatal:
            return EngineAway(name, refusal.code, refusal.detail, refusal.hint)
        if refusal is not None and self._is_opening:
            return EngineRefused(name, refusal.code, refusal.detail, refusal.hint)
        # What was good a moment ago may be good again (a server half restarted), but not for ever.
        words = refusal.detail if refusal is not None else self._last_word()
        why = f"it ended with exit code {code}" + (f": {words}" if words else "")
        if self._circuit.ended(asyncio.get_running_loop().time()):
            return EngineKeepsEnding(name, self._circuit.ends, self._circuit.seconds, why)
        return EngineAway(name, refusal.code if refusal is not None else CRASHED, why)

    def _last_word(self) -> str:
        return next((word for word in reversed(self._words) if word.strip()), "")

    def _give_up(self, error: UnderpassError) -> None:
        if self._is_opening:
            assert self._first is not None
            self._first.set_exception(error)
        else:
            self._say(LinkView(LinkPhase.ENDED, _code_of(error), error.message, error=error))

    def _say(self, view: LinkView) -> None:
        if view != self._view:
            self._view = view
            for listener in self._listeners:
                listener(view)


def with_port(url: str, port: int) -> str:
    """``url`` with ``port`` in place of its own. Pure."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{host}:{port}").geturl()


def _code_of(error: UnderpassError) -> str:
    return getattr(error, "reason", "") or error.code
