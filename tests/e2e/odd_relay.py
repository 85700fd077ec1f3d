"""A relay that is not as it should be: greets with what a test wants, on a plain loopback port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from underpass.relay.protocol.greeting import greeting_frame
from underpass.relay.protocol.records import Challenge, Refuse


@asynccontextmanager
async def odd_relay(
    *, version: int = 1, clock: float = 0.0, refuses_with: str = ""
) -> AsyncIterator[str]:
    """Its URL. ``clock`` is how many seconds its clock is ahead."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(b"UPLINK1\n"))
        now = time.time() + clock
        challenge = Challenge(version=version, relay="127.0.0.1", nonce=bytes(32), now=now)
        writer.write(greeting_frame(challenge))
        await reader.read(65_536)
        if refuses_with:
            writer.write(greeting_frame(Refuse(code=refuses_with, message="cannot do that today")))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
