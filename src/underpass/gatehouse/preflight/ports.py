"""Asking a port that need not speak HTTP: what it says first, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from underpass.gatehouse.preflight.web import Connect
from underpass.gatehouse.preflight.wire import Wire, WireRefused
from underpass.guard.preflight.findings import Finding
from underpass.guard.preflight.services import (
    MOST_BYTES,
    SERVICES,
    Service,
    is_greeting_whole,
    read_greeting,
    read_mysql,
)
from underpass.guard.preflight.services_mysql import answer_switch, payload

GREETING_SECONDS: Final = 0.4
"""Services that speak first do so within a few round trips; the others are waited for in vain."""

WEB_GREETING_SECONDS: Final = 0.1
"""HTTP servers never do; a service that was taken for one most likely has by then."""

ANSWER_SECONDS: Final = 1.0


async def hear_greeting(wire: Wire, where: str, seconds: float) -> tuple[bytes, Finding | None]:
    """What is said unasked, and what that shows. Hangs up."""
    try:
        said = await _read(wire, is_greeting_whole, seconds)
        greeted = read_greeting(said, where + ", its greeting")
        if not greeted.reply:
            return said, greeted.finding
        wire.write(greeted.reply)
        answer = await _read(wire, _is_packet, ANSWER_SECONDS)
        if switch := answer_switch(answer):
            wire.write(switch)
            answer = await _read(wire, _is_packet, ANSWER_SECONDS)
        return said, read_mysql(answer, where + ", root without a password")
    finally:
        wire.close()


async def ask_services(connect: Connect, where: str) -> list[Finding]:
    """Put the question of each service."""
    found = await asyncio.gather(*(_ask(connect, each, where) for each in SERVICES))
    return [each for each in found if each is not None]


async def _ask(connect: Connect, service: Service, where: str) -> Finding | None:
    async with _connected(connect) as wire:
        if wire is None:
            return None
        wire.write(service.question)
        answer = await _read(wire, service.is_whole, ANSWER_SECONDS)
        return service.find(answer, f"{where}, {service.asked}")


@asynccontextmanager
async def _connected(connect: Connect) -> AsyncIterator[Wire | None]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            wire = await connect()
    except (WireRefused, TimeoutError):
        yield None
        return
    try:
        yield wire
    finally:
        wire.close()


async def _read(wire: Wire, is_whole: Callable[[bytes], bool], seconds: float) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while len(data) < MOST_BYTES and not is_whole(bytes(data)):
                part = await wire.read()
                data += part
                if not part:
                    break
    except TimeoutError:
        pass  # it says no more
    return bytes(data)


def _is_packet(data: bytes) -> bool:
    return payload(data) is not None
