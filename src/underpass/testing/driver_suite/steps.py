"""Steps that tests of tunnels share: who may pass, what changes, what is refused, what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from underpass.assembly import OpenTunnel
from underpass.model.errors import UnderpassError
from underpass.testing.driver_bench import PATIENCE, DriverBench
from underpass.testing.origins.http import HttpOrigin


def url_of(tunnel: OpenTunnel) -> str:
    """Where visitors come; an assertion for a tunnel without."""
    assert tunnel.url is not None
    return tunnel.url


def bearer(tunnel: OpenTunnel) -> dict[str, str]:
    """Headers of a visitor who may pass."""
    assert tunnel.access.token is not None
    return {"Authorization": f"Bearer {tunnel.access.token.reveal()}"}


async def refusal(
    bench: DriverBench, options: dict[str, str], *, timeout: float = PATIENCE
) -> UnderpassError:
    """What opening a tunnel with ``options`` is refused with."""
    async with HttpOrigin() as origin:
        try:
            tunnel = await bench.open(f"{origin.port}", options, timeout=timeout)
        except UnderpassError as error:
            return error
        await tunnel.close()
    raise AssertionError("it was opened")


async def change(changes: Any, wanted: Callable[[Any], bool], patience: float = PATIENCE) -> Any:
    """The next change that is ``wanted``."""
    async with asyncio.timeout(patience):
        async for each in changes:
            if wanted(each):
                return each
    raise AssertionError("the changes ended before it came")


async def gone(look: Callable[[], list[Any]], seconds: float = 5.0) -> list[Any]:
    """What ``look`` still finds after ``seconds``; [] as soon as it finds nothing."""
    found = look()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while found:
                # A process is gone when it is reaped; nobody tells us of that.
                await asyncio.sleep(0.02)
                found = look()
    return found
