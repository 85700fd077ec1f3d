"""An engine that is a foreign program: planned by its driver, carried out behind a door of ours.

That a tunnel is live is for the prover to say; here it is only begun, kept and ended.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Protocol, runtime_checkable

from underpass.drivers.base import Opened
from underpass.drivers.foreign_door import ForeignDoor
from underpass.drivers.keeper import Keeper, Tell
from underpass.drivers.kept_engine import KeptEngine, Run
from underpass.drivers.plans import DoorAddress, DoorKind, Plan
from underpass.drivers.process import minimal
from underpass.gatehouse.ports import Carrier
from underpass.guard.private_files import write_private
from underpass.model.spec import TunnelSpec


@runtime_checkable
class Watches(Protocol):
    """A driver that learns more by asking than by reading: an API of the program, its sockets."""

    async def watch(self, plan: Plan, tell: Tell) -> None:
        """Ask until cancelled, as long as the program runs; ``tell`` each thing learnt."""


class ForeignEngine(KeptEngine):
    """Carries one tunnel by a foreign program. Satisfies ``Engine`` and ``Redials``."""

    _door: ForeignDoor | None = None

    def __repr__(self) -> str:
        return f"ForeignEngine({self.name!r}, {self.program!r})"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the program gets."""
        added = {} if self._plan is None else self._plan.environment
        return {**minimal(self._site.environment), **added}

    async def open(self, carrier: Carrier, spec: TunnelSpec) -> Opened:
        """Open the gatehouse's door, write the plan's files, start the program; returns when it
        says that it carries. Raises what ``Keeper.start`` does."""
        try:
            plan = await self._prepare(carrier, spec)
            run = self._run = self._make_run(plan)
            url = await run.start()
        except BaseException:
            await self.close()
            raise
        return self._opened(url, spec)

    async def close(self) -> None:
        """End the program and the door, remove its files. Idempotent."""
        run, self._run = self._run, None
        if run is not None:
            await run.close()
        door, self._door = self._door, None
        if door is not None:
            await door.close()
        if self._plan is not None:
            for file in self._plan.files:
                with suppress(OSError):
                    file.path.unlink(missing_ok=True)

    def _make_run(self, plan: Plan) -> Run:
        """What carries ``plan`` out."""
        driver = self._driver
        return Keeper(
            plan,
            directory=self._site.directory,
            environment=self.environment,
            read=driver.read,
            say=self._say,
            jitter=self._jitter,
            watch=partial(driver.watch, plan) if isinstance(driver, Watches) else None,
            circuit=self._circuit,
        )

    async def _prepare(self, carrier: Carrier, spec: TunnelSpec) -> Plan:
        draft = self._driver.plan(spec, self._site)
        address = DoorAddress()
        if draft.door is not DoorKind.NONE:
            self._door = await ForeignDoor.open(carrier, draft, spec.kind, self._site.directory)
            address = self._door.address
        self._plan = plan = self._driver.plan(spec, self._site.at(address))
        write_files(plan)
        return plan


def write_files(plan: Plan) -> None:
    """Write what ``plan`` wants to be there before its program starts, 0600 until said otherwise.

    Raises ``SecretUnwritable``.
    """
    for file in plan.files:
        write_private(file.path, file.content)
        if file.mode != 0o600:
            file.path.chmod(file.mode)
