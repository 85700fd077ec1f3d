"""What is here: engines as their drivers find them, tunnels that are open, and names of variables.

Nobody outside this machine is asked. Each of two looks at all engines takes at most ``SECONDS``;
what has not answered by then is not known, and said to be so.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from underpass.api.discovery import Survey, survey
from underpass.api.places import runtime_dir, state_dir
from underpass.decide.here import Foreign, Found, Here, Left, Measured
from underpass.decide.programs import RELAY_VARIABLE, accounts_of, foreign, found
from underpass.decide.quotas import COUNTED, Measure, Quotas
from underpass.drivers.base import Driver
from underpass.drivers.plans import Detection, ForeignTunnel, Site
from underpass.drivers.registry import BUILT_IN, load
from underpass.model.errors import UnderpassError
from underpass.observe.errors import CapturesUnreadable
from underpass.observe.looking import Captures
from underpass.observe.quota import month_of
from underpass.observe.schema import FILE

SECONDS: Final = 2.0
"""For all engines together: advice is quick, and a program that hangs must not hold it up."""

T = TypeVar("T")


def look(
    environ: Mapping[str, str], quotas: Quotas, tell: Callable[[str], None] = lambda said: None
) -> Here:
    """Ask every driver, and every tunnel that is open here; ``tell`` hears who did not answer."""
    seen = _survey(environ)
    detections, others = asyncio.run(_ask_drivers(environ))
    if late := [engine for engine in BUILT_IN if engine not in detections]:
        tell(f"not known in time, and so left out: {', '.join(late)}; ask again")
    programs = [_found(engine, one) for engine, one in detections.items()]
    signed_in = {engine for engine, one in detections.items() if one.signed_in}
    return Here(
        looked=True,
        programs=tuple(one for one in programs if one is not None),
        accounts=accounts_of(name for name, value in environ.items() if value) | signed_in,
        own_server=True if environ.get(RELAY_VARIABLE) else None,
        left=left(seen, others, environ, quotas, time.time()),
        measured=measured(seen),
        foreign=tuple(others),
    )


async def _ask_drivers(
    environ: Mapping[str, str],
) -> tuple[dict[str, Detection], list[Foreign]]:
    with tempfile.TemporaryDirectory(prefix="underpass-") as directory:
        site = Site("advice", Path(directory), environment=dict(environ))
        drivers = [load(engine) for engine in BUILT_IN]
        # One after the other: who looks at all processes takes the time of who waits for answers.
        seen = await _all(drivers, lambda driver: driver.detect(site))
        theirs = await _all(drivers, lambda driver: driver.foreign(site))
    others = [_foreign(one) for found in theirs.values() for one in found]
    return seen, others


async def _all(drivers: list[Driver], ask: Callable[[Driver], Awaitable[T]]) -> dict[str, T]:
    """The answers by engine that came in time; whoever fails to look has seen nothing."""

    async def one(driver: Driver) -> T:
        return await ask(driver)

    tasks = {driver.name: asyncio.create_task(one(driver)) for driver in drivers}
    _, late = await asyncio.wait(tasks.values(), timeout=SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    return {
        name: task.result()
        for name, task in tasks.items()
        if not task.cancelled() and task.exception() is None
    }


def _found(engine: str, seen: Detection) -> Found | None:
    return found(engine, installed=seen.installed, version=seen.version, why_not=seen.why_not)


def _foreign(one: ForeignTunnel) -> Foreign:
    return foreign(one.engine, one.where, one.exposes)


def _survey(environ: Mapping[str, str]) -> Survey:
    try:
        return survey(runtime_dir(environ), seconds=SECONDS)
    except UnderpassError:
        return Survey()  # `underpass list` says what is wrong there


def measured(seen: Survey) -> tuple[Measured, ...]:
    """How the engines of open tunnels are by their newest verdicts; failing ones come last."""
    told = []
    for one in seen.found:
        verdict = one.tunnel.get("verdict") or {}
        if not isinstance(verdict.get("ok"), bool):
            continue
        layer = verdict.get("layer")
        # An origin that is away says nothing about its engine.
        healthy = verdict["ok"] or layer in ("origin", "gate", "gatehouse")
        what = "" if verdict["ok"] else f" fails at the layer {layer}"
        told.append(
            Measured(str(one.tunnel.get("engine")), healthy, f"the tunnel {one.name}{what}")
        )
    return tuple(sorted(told, key=lambda one: not one.healthy))


def left(
    seen: Survey,
    others: list[Foreign],
    environ: Mapping[str, str],
    quotas: Quotas,
    now: float,
) -> tuple[Left, ...]:
    """What the vendors' quotas have left by our own books: never less than the truth, since what
    others carried is not in them."""
    return tuple(
        Left(fact.id, max(0, fact.amount - used))
        for engine, way in COUNTED.items()
        for fact in quotas.of(way)
        if fact.amount is not None
        and (used := _used(fact.measure, engine, seen, others, environ, now))
    )


def _used(
    measure: Measure,
    engine: str,
    seen: Survey,
    others: list[Foreign],
    environ: Mapping[str, str],
    now: float,
) -> int:
    ours = [one.name for one in seen.found if one.tunnel.get("engine") == engine]
    if measure is Measure.ENDPOINTS:
        return len(ours) + sum(one.engine == engine for one in others)
    if measure not in (Measure.TRANSFER, Measure.REQUESTS):
        return 0
    try:
        with Captures(state_dir(environ) / FILE) as captures:
            usages = [captures.usage(name, month_of(now)) for name in ours]
    except CapturesUnreadable:
        return 0
    if measure is Measure.TRANSFER:
        return sum(usage.bytes_down for usage in usages)
    return sum(usage.requests for usage in usages)
