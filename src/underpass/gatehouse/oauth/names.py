"""Looking up names that strangers may choose.

A name server of the stranger's can take as long as it likes, and a look-up cannot be called back.
So look-ups run in daemon threads of their own, few at a time: they hold up neither whatever else
this process does in threads nor its end.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Final

MAX_AT_ONCE: Final = 8
"""Threads, whether anybody still waits for them or not."""

_free = threading.BoundedSemaphore(MAX_AT_ONCE)


class LookUpFailed(Exception):
    """The name is not known, or too many are being looked up."""


async def look_up_name(host: str, port: int) -> list[str]:
    """The addresses that the system knows for ``host``, each once. Raises ``LookUpFailed``."""
    if not _free.acquire(blocking=False):
        raise LookUpFailed
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def tell(found: list[str] | None) -> None:
        if answer.done():
            return
        if found is None:
            answer.set_exception(LookUpFailed())
        else:
            answer.set_result(found)

    def work() -> None:
        found = None
        try:
            # A name that cannot even be encoded is a UnicodeError.
            with suppress(OSError, UnicodeError):
                entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        finally:
            _free.release()
        with suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=work, name="underpass look-up", daemon=True).start()
    return await answer
