"""Giving back what a tunnel was made of, whatever of it there is and whatever fails meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection
from typing import Final

from underpass.drivers.base import Engine
from underpass.prove.prover import Prover
from underpass.supervise.child import Child
from underpass.supervise.parts import House

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 10.0
"""What one part may take to close before the others are closed without it."""


async def give_back(
    *,
    prover: Prover | None,
    former_provers: Collection[asyncio.Task[None]],
    engine: Engine,
    child: Child | None,
    child_watch: asyncio.Task[None] | None,
    house: House | None,
) -> None:
    """Close all parts, outermost first: no new visitor comes while the inner parts close."""
    if prover is not None:
        await attempt("the prover", prover.close())
    if former_provers:
        await attempt("former provers", asyncio.wait(list(former_provers)))
    await attempt("the engine", engine.close())
    if child is not None:
        await attempt("the origin's process", child.stop())
    if child_watch is not None:
        await attempt("the watch on it", child_watch)
    if house is not None:
        house.close()


async def attempt(what: str, closing: Awaitable[object]) -> None:
    """Close one part; that it fails must not keep the others open."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await closing
    except Exception:
        log.exception("closing %s failed", what)
