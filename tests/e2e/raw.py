"""Raw bytes to a door, and whatever comes back: no client library between."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress

AT_ONCE = 16
ANSWER_SECONDS = 2.0
"""For a connection that the other side neither answers nor closes."""


async def send(
    port: int,
    wire: bytes,
    *,
    ends: bool = True,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> bytes:
    """Send it all, end our direction (with ``ends``), and read to the end."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname=server_name if tls else None
        )
    except OSError:
        return b""
    answer = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            with suppress(OSError):
                writer.write(wire)
                if ends and writer.can_write_eof():
                    writer.write_eof()
                while part := await reader.read(1 << 16):
                    answer += part
    except TimeoutError:
        pass
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return answer


async def send_all(port: int, wires: Sequence[bytes], *, ends: bool = True) -> list[bytes]:
    """Each on a connection of its own, some at once; the answers in order."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(wire: bytes) -> bytes:
        async with room:
            return await send(port, wire, ends=ends)

    return list(await asyncio.gather(*map(one, wires)))
