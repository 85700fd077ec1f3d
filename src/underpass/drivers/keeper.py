"""Keeping a foreign program running: read, watched, started again, ended.

What the program says is never believed further than "it seems to carry" or "it does not". A program
that ends is started again, whatever its exit code, since 0 is a failure too: at once and then more
slowly while its far end is away, and no more when it ends five times in a minute for no reason that
waiting would cure.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from underpass.drivers.base import LinkPhase, LinkView
from underpass.drivers.circuit import Circuit
from underpass.drivers.errors import EngineAway, EngineKeepsEnding, EngineRefused
from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.orphans import forget_program, note_program
from underpass.drivers.plans import Plan
from underpass.drivers.process import Program
from underpass.guard.redact import Redactor
from underpass.model.errors import UnderpassError
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


Tell = Callable[[Observation], None]


class Keeper:
    """Runs the program of one plan. ``start`` it once, ``close`` it in the end."""

    def __init__(
        self,
        plan: Plan,
        *,
        directory: Path,
        environment: Mapping[str, str],
        read: Callable[[str], Observation | None],
        say: Callable[[LinkView], None],
        jitter: Callable[[], float],
        watch: Callable[[Tell], Awaitable[None]] | None = None,
        circuit: Circuit | None = None,
    ) -> None:
        """``read`` understands its lines, ``say`` is told how its link is, ``watch`` learns more
        as long as it runs, by asking."""
        self.plan = plan
        self.name = plan.engine
        self.url = ""
        """Where visitors come, once the program has said so."""
        self.program: Program | None = None
        """The one of the moment; None between two of them."""
        self._directory = directory
        self._environment = environment
        self._read_line = read
        self._tell_link = say
        self._jitter = jitter
        self._watch = watch
        self._circuit = circuit or Circuit()
        self._redactor = Redactor()
        for secret in plan.secrets:
            self._redactor.add(secret)
        self._view = LinkView(LinkPhase.DIALLING)
        self._keeping: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[int] | None = None
        self._first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._carried = asyncio.Event()
        self._refusal: Refusal | None = None
        self._words: deque[str] = deque(maxlen=LAST_WORDS)

    async def start(self) -> str:
        """Start it; returns the public URL as soon as it says that it carries.

        Raises ``EngineAway``, ``EngineRefused``, ``EngineKeepsEnding`` or ``EngineMissing``; close
        it then, too.
        """
        self._keeping = asyncio.create_task(self._keep(), name=f"underpass: keep {self.name}")
        return await self._first

    async def close(self) -> None:
        """End the program. Idempotent."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        if self._stopping is not None:
            await self._stopping

    def redial(self, why: str) -> None:
        """Start the program anew: its link is dead although it looks alive."""
        program = self.program
        if program is not None and self._carried.is_set():
            log.info("%s is started anew: %s", self.name, why)
            self._refusal = Refusal("far-end-silent", why)
            self._stop(program)

    def _stop(self, program: Program) -> None:
        """End the program of the moment; ``_keep`` judges why."""
        if self._stopping is None or self._stopping.done():
            self._stopping = asyncio.create_task(
                program.stop(), name=f"underpass: stop {self.name}"
            )

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
        self._refusal = None
        self._carried.clear()
        self._words.clear()
        program = await Program.start(
            self.plan.argv,
            environment=self._environment,
            directory=self._directory,
            on_line=self._read,
        )
        self.program = program
        note_program(self._directory, program.pid)
        attendants = [asyncio.create_task(self._look_after(program), name="underpass: look after")]
        if self._watch is not None:
            watching = self._ask(self._watch)
            attendants.append(asyncio.create_task(watching, name=f"underpass: watch {self.name}"))
        try:
            return await program.wait()
        finally:
            for each in attendants:
                each.cancel()
            await asyncio.gather(*attendants, return_exceptions=True)
            await program.stop()
            forget_program(self._directory)
            self.program = None

    async def _ask(self, watch: Callable[[Tell], Awaitable[None]]) -> None:
        try:
            await watch(self._observe)
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
                    self._say(LinkView(LinkPhase.ATTACHED, public_url=self.url))

    # Its words

    def _read(self, line: str) -> None:
        line = self._redactor.scrub(line)
        self._words.append(line[:300])
        log.debug("%s: %s", self.name, line[:300])
        try:
            observation = self._read_line(line)
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
            if observation.lingers and self.program is not None:
                self._stop(self.program)
        elif isinstance(observation, Faltering):
            if self._carried.is_set():
                self._say(LinkView(LinkPhase.LOST, observation.code, observation.detail))
        else:
            self._carry(observation)

    def _carry(self, carrying: Carrying) -> None:
        url = carrying.url or self.url or self.plan.url
        if carrying.port:
            url = with_port(self.plan.url, carrying.port)
        if not url:
            return  # it carries, but nobody knows where yet
        self.url = url
        if not self._carried.is_set():
            self._refusal = None  # what kept it from carrying is over
        self._carried.set()
        self._say(LinkView(LinkPhase.ATTACHED, public_url=url))
        if not self._first.done():
            self._first.set_result(url)

    # Its end

    @property
    def _is_opening(self) -> bool:
        return not self._first.done()

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
            self._first.set_exception(error)
        else:
            self._say(LinkView(LinkPhase.ENDED, _code_of(error), error.message, error=error))

    def _say(self, view: LinkView) -> None:
        if view != self._view:
            self._view = view
            self._tell_link(view)


def with_port(url: str, port: int) -> str:
    """``url`` with ``port`` in place of its own. Pure."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{host}:{port}").geturl()


def _code_of(error: UnderpassError) -> str:
    return getattr(error, "reason", "") or error.code
