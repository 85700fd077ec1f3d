"""A local connection joined to a remote one: bytes, pressure, half-closes and resets both ways.

Each side reads only while the other can write, so that a slow end is felt at the far end and not
in our memory.
"""

from __future__ import annotations

import asyncio
from typing import cast


class Side(asyncio.Protocol):
    """One end of a pair. Made by ``pair``; until both are connected, what arrives waits."""

    def __init__(self) -> None:
        self.other: Side
        self.closed = asyncio.Event()
        """Set when this end is gone."""
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._has_ended = False
        self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.other.closed.is_set():
            # The one who wanted the connection has left while it was being made.
            self._transport.abort()
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
        if (far := self.other._transport) is not None:
            if exc is None:
                far.close()
            else:
                far.abort()

    def abort(self) -> None:
        """Break the connection off: what looks complete must be complete."""
        if self._transport is not None:
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
    """Two ends that pass on to one another."""
    near, far = Side(), Side()
    near.other, far.other = far, near
    return near, far
