"""Proving a service that was made local, by its own greeting through the local port."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from underpass.prove.greetings import MAX_GREETING, Greeting, is_answered

GREET_SECONDS: Final = 10.0
STAY_SECONDS: Final = 1.0
"""How long a connection must stay open when no greeting is known."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """What one visit found."""

    ok: bool
    service: str
    """Whose greeting was heard; "" when none is known for it."""
    detail: str
    ms: float


async def greet(host: str, port: int, greeting: Greeting | None) -> Greeted:
    """Visit the local port as any program would, and leave. Never raises but for cancellation."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    service = "" if greeting is None else greeting.service

    def found(ok: bool, detail: str) -> Greeted:
        return Greeted(ok, service, detail, (loop.time() - began) * 1000)

    try:
        async with asyncio.timeout(GREET_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                if greeting is None:
                    return found(*await _stays(reader))
                writer.write(greeting.say)
                return found(*await _hears(reader, greeting))
            finally:
                writer.transport.abort()
    except TimeoutError:
        return found(False, f"it said nothing within {GREET_SECONDS:g} s")
    except OSError as error:
        return found(False, (error.strerror or type(error).__name__).lower())


async def _hears(reader: asyncio.StreamReader, greeting: Greeting) -> tuple[bool, str]:
    heard = b""
    while True:
        part = await reader.read(MAX_GREETING)
        heard += part
        answered = is_answered(greeting, heard)
        if answered:
            return True, f"it greets as {greeting.service}"
        if not part:
            return False, "the connection was cut before it greeted"
        if answered is False:
            return False, f"something else than {greeting.service} answers"


async def _stays(reader: asyncio.StreamReader) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(STAY_SECONDS):
            data = await reader.read(MAX_GREETING)
    except TimeoutError:
        return True, "the connection stays open; no greeting of it is known"
    return bool(data), "it speaks first" if data else "the connection was cut"
