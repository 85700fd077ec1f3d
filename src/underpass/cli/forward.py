"""A local connection joined to a remote one: bytes, pressure, half-closes and resets both ways.

Each side reads only while the other can write, so that a slow end is felt at the far end and not
in our memory.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast


class Side(asyncio.Protocol):
    """One end of a pair. Made by ``pair``; until both are connected, what arrives waits."""

    def __init__(self, *, is_local: bool = False) -> None:
        self.other: Side
        self.closed = asyncio.Event()
        """Set when this end is gone."""
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._has_ended = False
        self._is_full = False
        self._is_broken = False
        self._is_local = is_local

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._is_broken or self.other.closed.is_set():
            # The one who wanted the connection has left while it was being made.
            self.abort()
        elif self.other._transport is None:
            # uvloop may deliver once more all the same; that much is kept.
            self._transport.pause_reading()
        else:
            self.other._take_up()

    def data_received(self, data: bytes) -> None:
        if self.other._transport is None:
            self._early.append(data)
        else:
            self.other._transport.write(data)

    def eof_received(self) -> bool:
        self._has_ended = True
        if self.other._transport is not None:
            self._pass_end()
        return True

    def pause_writing(self) -> None:
        self._is_full = True
        self.other._pause()

    def resume_writing(self) -> None:
        self._is_full = False
        self.other._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        if exc is not None:
            self.other.abort()
        elif self.other._transport is not None:
            self.other._transport.close()

    def abort(self) -> None:
        """Break the connection off so that what came cannot look complete. Idempotent.

        Before the connection is there: it is broken off when it comes.
        """
        self._is_broken = True
        if self._transport is None or self.closed.is_set():
            return
        if self._is_local:
            # asyncio's abort alone ends with FIN, as a complete answer does; this makes it RST.
            # Not at the far end, whose transport has a word of its own for it.
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _take_up(self) -> None:
        # The other end is there now: pass on what came before it, then read.
        assert self._transport is not None
        assert self.other._transport is not None
        early, self._early = self._early, []
        for data in early:
            self.other._transport.write(data)
        if self._has_ended:
            self._pass_end()
        if not self.other._is_full:
            self._resume()

    def _pass_end(self) -> None:
        far = self.other._transport
        assert far is not None
        if self.other._has_ended:
            # Both directions are over: closing flushes what is still to be written.
            far.close()
            if self._transport is not None:
                self._transport.close()
        elif not far.is_closing():
            far.write_eof()

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def pair() -> tuple[Side, Side]:
    """The local end and the far one, which pass on to one another."""
    near, far = Side(is_local=True), Side()
    near.other, far.other = far, near
    return near, far
