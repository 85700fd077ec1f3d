"""What an engine runs where the kernel itself is the engine: nothing but the looking after it.

The same as ``drivers.keeper.Keeper`` for a program: started once, told of what is learnt, closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from underpass.drivers.base import LinkPhase, LinkView
from underpass.drivers.errors import EngineAway, EngineRefused
from underpass.drivers.keeper import Tell
from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.process import Program
from underpass.model.errors import UnderpassError

log = logging.getLogger(__name__)


class KernelRun:
    """Keeps one interface of the kernel. ``start`` it once, ``close`` it in the end."""

    program: Program | None = None

    def __init__(
        self,
        engine: str,
        url: str,
        attend: Callable[[Tell], Awaitable[None]],
        say: Callable[[LinkView], None],
    ) -> None:
        self.url = url
        self._engine = engine
        self._attend = attend
        self._tell_link = say
        self._view = LinkView(LinkPhase.DIALLING)
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> str:
        """Start it; returns the public URL as soon as it carries.

        Raises ``EngineAway``, ``EngineRefused``, or what the interface was refused with; close it
        then, too.
        """
        self._task = asyncio.create_task(self._run(), name=f"underpass: keep {self._engine}")
        return await self._first

    async def close(self) -> None:
        """End it. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def redial(self, why: str) -> None:
        """The kernel shakes hands anew by itself; there is nothing to start."""

    async def _run(self) -> None:
        try:
            await self._attend(self._observe)
        except UnderpassError as error:
            self._end(error)
        except Exception as error:
            log.exception("looking after %s broke", self._engine)
            self._end(EngineAway(self._engine, "engine-ended", type(error).__name__))

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, Carrying):
            self._say(LinkView(LinkPhase.ATTACHED, public_url=self.url))
            if not self._first.done():
                self._first.set_result(self.url)
        elif isinstance(observation, Faltering):
            if self._first.done():
                self._say(LinkView(LinkPhase.LOST, observation.code, observation.detail))
        else:
            self._end(_error(self._engine, observation))

    def _end(self, error: UnderpassError) -> None:
        if not self._first.done():
            self._first.set_exception(error)
        else:
            self._say(LinkView(LinkPhase.ENDED, error.code, error.message, error=error))

    def _say(self, view: LinkView) -> None:
        if view != self._view:
            self._view = view
            self._tell_link(view)


def _error(engine: str, refusal: Refusal) -> UnderpassError:
    kind = EngineRefused if refusal.fatal else EngineAway
    return kind(engine, refusal.code, refusal.detail, refusal.hint)
