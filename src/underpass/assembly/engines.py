"""Which of the engines a spec ranks carries it: the first that can be used here and can plan it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from underpass.drivers.base import Engine, KnowsItsWay
from underpass.drivers.errors import (
    EngineCannot,
    EngineMissing,
    EngineOptionInvalid,
    NoEngineFits,
)
from underpass.drivers.plans import Plan, RelaySite, Site
from underpass.drivers.registry import load
from underpass.model.errors import UnderpassError
from underpass.model.spec import TunnelSpec

RelayMaker = Callable[[], Awaitable[RelaySite]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The engine that will carry the tunnel, not started yet."""

    engine: Engine
    plan: Plan
    site: Site
    way: str = ""
    """The way of ``decide`` whose quotas bind the tunnel; "" where none are known to."""


async def choose(
    spec: TunnelSpec,
    *,
    directory: Path,
    commitment: bytes,
    options: Mapping[str, str],
    relay: RelayMaker,
) -> Chosen:
    """The first of ``spec.engines`` that plans the tunnel.

    ``relay`` finds or starts our own relay; it is called only when that engine's turn comes. Raises
    the engine's own error when there is but one, else ``NoEngineFits``; an option that is wrong is
    raised at once.
    """
    given = options_by_engine(spec.engines, options)
    refused: list[tuple[str, UnderpassError]] = []
    for word in spec.engines:
        driver = load(word)
        site = Site(
            spec.name or f"{word}-{secrets.token_hex(3)}",
            directory,
            commitment=commitment,
            options=given[word],
            environment=dict(os.environ),
        )
        try:
            detection = await driver.detect(site)
            if not detection.is_usable:
                why = detection.why_not or "its program is not installed"
                raise EngineMissing(word, why, detection.hint or EngineMissing.advice)
            site = replace(site, detection=detection)
            if word == "relay":
                site = replace(site, relay=await relay())
            plan = driver.plan(spec, site)
        except (EngineCannot, EngineMissing) as error:
            refused.append((word, error))
            continue
        way = driver.way(spec, site) if isinstance(driver, KnowsItsWay) else ""
        return Chosen(driver.make_engine(spec, site), plan, site, way)
    if len(refused) == 1:
        raise refused[0][1]
    raise NoEngineFits(reasons="; ".join(f"{word}: {error.message}" for word, error in refused))


def options_by_engine(
    engines: Sequence[str], options: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """``ENGINE.KEY`` goes to that engine, a bare ``KEY`` to the first. Pure.

    Raises ``EngineOptionInvalid`` for an engine that is not asked for.
    """
    given: dict[str, dict[str, str]] = {engine: {} for engine in engines}
    for key, value in options.items():
        engine, dot, rest = key.partition(".")
        if not dot:
            engine, rest = engines[0], key
        if engine not in given:
            raise EngineOptionInvalid(engine, rest, "this engine is not asked for: --engine")
        given[engine][rest] = value
    return given
