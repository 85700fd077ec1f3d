"""Ending a connection so that what was sent on it cannot look complete: by a reset."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

_AT_ONCE: Final = struct.pack("ii", 1, 0)
# socket(7), SO_LINGER: on, for no seconds; what is unsent is dropped and RST goes out.


def reset(transport: asyncio.Transport) -> None:
    """Abort ``transport``; over TCP the other side sees a reset and not an end. Idempotent.

    A Unix socket knows no reset: there its end must be judged by what was announced.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        except OSError:
            pass  # it is closed already
    transport.abort()
