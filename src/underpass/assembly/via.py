"""A service behind a far host put together: made local, proved by its own greeting, kept."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from underpass.drivers.base import LinkPhase, LinkView, MakesReach, Reach
from underpass.drivers.errors import EngineCannot, EngineMissing, TargetUnproved
from underpass.drivers.orphans import claim, sweep
from underpass.drivers.plans import Site
from underpass.drivers.registry import load
from underpass.guard.secrets import private_directory
from underpass.model.errors import UnderpassError
from underpass.model.errors_run import TimedOut
from underpass.model.options import ViaOptions
from underpass.prove.greeting_probe import Greeted, greet
from underpass.prove.greetings import Greeting, greeting_at, greeting_of
from underpass.relay.connector.surroundings import Surroundings

AGAIN_SECONDS = 0.5
"""Between two visits to a service that has not greeted yet."""


class OpenVia:
    """A service made local, which has greeted. ``close`` it in the end."""

    def __init__(
        self, reach: Reach, greeting: Greeting | None, greeted: Greeted, stack: AsyncExitStack
    ) -> None:
        self.greeted = greeted
        """What the first visit found."""
        self.reach = reach
        self._greeting = greeting
        self._stack = stack

    @property
    def address(self) -> tuple[str, int]:
        """Where local programs connect."""
        return self.reach.address

    async def prove(self) -> Greeted:
        """Visit it again, now."""
        return await _visit(self.reach, self._greeting)

    async def watch(self, tell: Callable[[str, str], None]) -> UnderpassError:
        """Tell ``link-lost`` and ``ready`` with why, until it is over for good; returns why.

        What is back is told only when the service has greeted again.
        """
        views: asyncio.Queue[LinkView] = asyncio.Queue()
        self.reach.observe(views.put_nowait)
        is_lost = False
        while True:
            view = await views.get()
            if view.phase is LinkPhase.ENDED:
                assert view.error is not None
                return view.error
            if view.phase is LinkPhase.LOST and not is_lost:
                is_lost = True
                tell("link-lost", view.detail or view.code)
            elif view.phase is LinkPhase.ATTACHED and is_lost:
                greeted = await self.prove()
                if greeted.ok:
                    is_lost = False
                    tell("ready", greeted.detail)
                else:
                    tell("failing", greeted.detail)
                    views.put_nowait(view)
                    await asyncio.sleep(AGAIN_SECONDS)

    async def close(self) -> None:
        """End it: program, port, connections, files. Idempotent."""
        await self._stack.aclose()


async def open_via(options: ViaOptions) -> OpenVia:
    """Make ``options.target`` local and see it greet, within ``options.timeout``.

    Raises what the target, the options, the engine or the far host are at fault with,
    ``TargetUnproved`` when all of it works but the service, and ``OSError`` for the local address.
    """
    driver = load(options.engine)
    if not isinstance(driver, MakesReach):
        raise EngineCannot(driver.name, "reach", "it does not make a far host's service local")
    private_directory(options.runtime_dir)
    await asyncio.to_thread(sweep, options.runtime_dir)
    async with AsyncExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="reach-", dir=options.runtime_dir))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        claim(directory)
        site = Site(
            "reach", directory, options=dict(options.engine_options), environment=dict(os.environ)
        )
        detection = await driver.detect(site)
        if not detection.is_usable:
            hint = detection.hint or EngineMissing.advice
            raise EngineMissing(driver.name, detection.why_not, hint)
        reach = driver.make_reach(options.target, replace(site, detection=detection))
        greeting = _expected(reach, options.expect)
        stack.push_async_callback(reach.close)
        try:
            async with asyncio.timeout(options.timeout):
                await reach.open(*options.listen)
                greeted = await _first_greeting(reach, greeting, options)
        except TimeoutError:
            raise TimedOut("reaching " + options.target, options.timeout) from None
        watching = asyncio.create_task(_watch_machine(reach), name="underpass: watch the machine")
        stack.push_async_callback(_end, watching)
        return OpenVia(reach, greeting, greeted, stack.pop_all())


async def _first_greeting(reach: Reach, greeting: Greeting | None, options: ViaOptions) -> Greeted:
    """Visit until it greets; a service that starts with its host may need a moment."""
    loop = asyncio.get_running_loop()
    until = loop.time() + max(1.0, options.timeout / 3)
    while True:
        greeted = await _visit(reach, greeting)
        if greeted.ok:
            return greeted
        if loop.time() > until:
            why = f"{greeted.detail}: {reach.fault}" if reach.fault else greeted.detail
            raise TargetUnproved(options.target, why)
        await asyncio.sleep(AGAIN_SECONDS)


async def _visit(reach: Reach, greeting: Greeting | None) -> Greeted:
    host, port = reach.address
    return await greet("127.0.0.1" if host == "0.0.0.0" else host, port, greeting)


def _expected(reach: Reach, expect: str) -> Greeting | None:
    if expect or reach.service:
        return greeting_of(expect or reach.service)
    return greeting_at(reach.port)


async def _watch_machine(reach: Reach) -> None:
    """After sleep the other side may have given us up long ago: connect anew at once."""
    await Surroundings(lambda: reach.redial("the machine slept"), lambda: None).watch()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
