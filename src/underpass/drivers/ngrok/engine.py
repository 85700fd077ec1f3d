"""ngrok's engines: a foreign program behind the gatehouse, and what asking the agent adds to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from underpass.drivers.base import Counters, Driver, Engine, Quota
from underpass.drivers.errors import EngineAway
from underpass.drivers.foreign_engine import ForeignEngine
from underpass.drivers.keeper import Tell
from underpass.drivers.ngrok.faults import read_page
from underpass.drivers.ngrok.local_api import LocalApi
from underpass.drivers.ngrok.reading import SESSION_LOST, is_session
from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.plans import Detection, ForeignTunnel, Plan, Site
from underpass.drivers.process import Program
from underpass.model.spec import TunnelSpec

FIRST_ASK_SECONDS: Final = 1.0
ASK_SECONDS: Final = 10.0
# Its log says the same earlier, where it says it; and it logs every question.

TRIES: Final = 3
"""Failed dials of an agent that never had a session, after which it is ended: it would go on for
ever, and nobody would be told why."""


class NgrokEngine(ForeignEngine):
    """Carries one tunnel. Satisfies ``HasQuota`` and ``ReadsPages`` besides."""

    def __init__(self, driver: Driver, spec: TunnelSpec, site: Site, quota: Quota | None) -> None:
        super().__init__(driver, spec, site)
        self._quota = quota

    @property
    def quota(self) -> Quota | None:
        """What the account's plan lets through; None where nobody counts."""
        return self._quota

    def read_page(self, status: int, fields: Mapping[str, str], body: str) -> str:
        """See ``ReadsPages``."""
        return read_page(fields, body)


class AgentEngine(NgrokEngine):
    """Carries one tunnel by the agent. Satisfies ``Counts`` besides."""

    def __init__(self, driver: Driver, spec: TunnelSpec, site: Site, quota: Quota | None) -> None:
        super().__init__(Attendant(driver, lambda: self.program), spec, site, quota)

    async def counters(self) -> Counters:
        """What the agent counted since it was started; it counts no bytes."""
        try:
            view = await find_api(self.program).look()
        except OSError as error:
            raise EngineAway(self.name, "api-silent", "its local API does not answer") from error
        numbers = [each.counters for each in view.carried]
        return Counters(
            connections=sum(each.connections for each in numbers),
            requests=sum(each.requests for each in numbers),
        )


class Attendant:
    """The driver as one running agent needs it: it asks the agent's API besides reading its log.
    Satisfies ``Driver`` and ``Watches``."""

    def __init__(self, driver: Driver, program: Callable[[], Program | None]) -> None:
        self._driver = driver
        self._program = program
        self._failed = 0
        self._has_carried = False
        self._hopeless = asyncio.Event()

    @property
    def name(self) -> str:
        """See ``Driver``."""
        return self._driver.name

    async def detect(self, site: Site) -> Detection:
        """See ``Driver``."""
        return await self._driver.detect(site)

    def plan(self, spec: TunnelSpec, site: Site) -> Plan:
        """See ``Driver``."""
        return self._driver.plan(spec, site)

    def make_engine(self, spec: TunnelSpec, site: Site) -> Engine:
        """See ``Driver``."""
        return self._driver.make_engine(spec, site)

    async def foreign(self, site: Site) -> tuple[ForeignTunnel, ...]:
        """See ``Driver``."""
        return await self._driver.foreign(site)

    def read(self, line: str) -> Observation | None:
        """See ``Driver``; knows besides whether this agent has ever carried."""
        observation = self._driver.read(line)
        if isinstance(observation, Carrying):
            self._has_carried = True
        elif self._has_carried:
            return Carrying() if is_session(line) else observation
        elif isinstance(observation, Refusal):
            self._failed += observation.code.startswith("far-end-")
            if self._failed >= TRIES:
                self._hopeless.set()
        return observation

    async def watch(self, plan: Plan, tell: Tell) -> None:
        """See ``Watches``. It begins anew with each program."""
        self._failed, self._has_carried = 0, False
        self._hopeless.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_when_hopeless(), name="underpass: end a hopeless ngrok")
            group.create_task(self._ask(tell), name="underpass: ask ngrok's API")

    async def _end_when_hopeless(self) -> None:
        await self._hopeless.wait()
        program = self._program()
        if program is not None:
            await program.stop()

    async def _ask(self, tell: Tell) -> None:
        """Learn the URL where the log did not say it, then whether it stays online."""
        view = None
        while view is None or not view.carried:
            await asyncio.sleep(FIRST_ASK_SECONDS)
            with suppress(OSError):
                view = await find_api(self._program()).look()
        self._has_carried = True
        tell(Carrying(view.carried[0].url))
        was_online = online = view.online
        while online is not None:  # agents 2.x do not say
            await asyncio.sleep(ASK_SECONDS)
            with suppress(OSError):
                online = await find_api(self._program()).is_online()
            if online is False:
                tell(Faltering(SESSION_LOST, "the agent says that it is not online"))
            elif online and not was_online:
                tell(Carrying())
            was_online = online


def find_api(program: Program | None) -> LocalApi:
    """Where ``program`` can be asked. Raises ``OSError``."""
    api = None if program is None else LocalApi.of_process(program.pid)
    if api is None:
        raise OSError("it listens nowhere")
    return api
