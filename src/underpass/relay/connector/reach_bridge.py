"""A local connection that goes through a reach connection: ``underpass reach``.

Bytes, half-close and resets pass both ways, and back-pressure is that of the two sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from underpass.model.errors import UnderpassError
from underpass.relay.connector.reach_connection import ReachConnection, ReachRefused
from underpass.relay.edges.sockets import reset as reset_transport

if TYPE_CHECKING:
    from underpass.relay.connector.reach import Reacher

logger = logging.getLogger(__name__)


class LocalBridge(asyncio.Protocol):
    """One local connection and its reach connection."""

    def __init__(self, reacher: Reacher, on_error: Callable[[UnderpassError], None]) -> None:
        self._reacher = reacher
        self._on_error = on_error
        self._transport: asyncio.Transport | None = None
        self._connection: ReachConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        self._eof = False
        self._ended = False
        self._heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A local program connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._task = asyncio.create_task(self._connect(), name="reach")

    async def _connect(self) -> None:
        try:
            connection = await self._reacher.connect()
        except UnderpassError as error:
            self._on_error(error)
            self._reset()
            return
        if self._transport is None:
            connection.close()
            return
        self._connection = connection
        for data in self._early:
            connection.send(data)
        self._early.clear()
        if self._eof:
            connection.send_end()
        connection.attach(self)
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Bytes of the local program; until the tunnel has answered one read is kept."""
        if self._connection is not None:
            self._connection.send(data)
        else:
            self._early.append(data)
            if self._transport is not None:
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The local program sends no more."""
        self._eof = True
        if self._connection is not None:
            self._connection.send_end()
        return not self._ended

    def connection_lost(self, exc: Exception | None) -> None:
        """The local program is gone."""
        self._transport = None
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None:
            if exc is not None:
                self._connection.abort("visitor-left")
            else:
                self._connection.close()

    def pause_writing(self) -> None:
        """The local program reads slowly."""
        if self._connection is not None:
            self._connection.pause(True)

    def resume_writing(self) -> None:
        """The local program goes on reading."""
        if self._connection is not None:
            self._connection.pause(False)

    def reach_data(self, data: bytes | memoryview) -> None:
        """Bytes of the tunnel."""
        self._heard = True
        if self._transport is not None:
            self._transport.write(data)

    def reach_ended(self) -> None:
        """The tunnel sends no more."""
        self._ended = True
        if self._transport is not None:
            with suppress(OSError, RuntimeError):
                self._transport.write_eof()
            if self._eof:
                self._transport.close()

    def reach_broken(self, code: str) -> None:
        """The tunnel broke: the local program must not take it for an end."""
        logger.info("reach connection broken: %s", code)
        if not (self._heard or self._ended):
            # The relay takes a visitor in before the gatehouse has judged the token or met the
            # origin: a break before the first byte is their refusal.
            self._on_error(ReachRefused(name=self._reacher.name, why=code))
        self._reset()

    def reach_paused(self, paused: bool) -> None:
        """Back-pressure of the relay connection."""
        if self._transport is None:
            return
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _reset(self) -> None:
        if self._transport is not None:
            # not abort(): its FIN would pass for an end
            reset_transport(self._transport)
