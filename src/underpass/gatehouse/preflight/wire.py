"""One connection to the origin to be read at leisure, plain or with TLS inside."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, Protocol

from underpass.gatehouse.origin.connection import OriginConnection
from underpass.gatehouse.origin.dialler import OriginDialler

MOST_WAITING: Final = 128 * 1024
"""Bytes held until they are read; then the origin has to wait."""


class WireRefused(OSError):
    """No connection, or no TLS on it."""


class Wire(Protocol):
    """Bytes to the origin and back."""

    def write(self, data: bytes) -> None:
        """Send it."""

    async def read(self) -> bytes:
        """What has come, awaited; b"" at the end."""

    def close(self) -> None:
        """Hang up. Idempotent."""


class PlainWire:
    """Implements ``OriginUser`` by keeping what comes."""

    def __init__(self, dialler: OriginDialler) -> None:
        self._dialler = dialler
        self._connection: OriginConnection | None = None
        self._dial: asyncio.Task[None] | None = None
        self._waiting = bytearray()
        self._is_over = False
        self._refusal = ""
        self._news = asyncio.Event()

    async def open(self) -> PlainWire:
        """Connect. Raises ``WireRefused``."""
        self._dial = self._dialler.dial(self)
        try:
            while self._connection is None and not self._is_over:
                await self._hear()
        except asyncio.CancelledError:
            self.close()
            raise
        if self._connection is None:
            raise WireRefused(self._refusal)
        return self

    def write(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write(data, 0)

    async def read(self) -> bytes:
        while not self._waiting and not self._is_over:
            if self._connection is not None:
                self._connection.resume()  # what came before there was room
            if not self._waiting:
                await self._hear()
        data = bytes(self._waiting)
        self._waiting.clear()
        if self._connection is not None:
            self._connection.resume()
        return data

    def close(self) -> None:
        self._is_over = True
        if self._dial is not None:
            self._dial.cancel()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _hear(self) -> None:
        self._news.clear()
        await self._news.wait()

    # OriginUser

    @property
    def room(self) -> int:
        return max(MOST_WAITING - len(self._waiting), 0)

    def origin_ready(self, connection: OriginConnection) -> None:
        if self._is_over:
            connection.abort()
            return
        self._connection = connection
        self._news.set()

    def origin_refused(self, code: str) -> None:
        self._refusal = code
        self._end()

    def origin_waits(self) -> None:
        self._news.set()

    def origin_data(self, data: memoryview) -> None:
        self._waiting += data
        self._news.set()

    def origin_ended(self) -> None:
        self._end()

    def origin_lost(self, error: Exception | None) -> None:
        self._connection = None
        self._end()

    def origin_drained(self, count: int) -> None:
        """Nothing is counted."""

    def _end(self) -> None:
        self._is_over = True
        self._news.set()


class TlsWire:
    """TLS over a ``PlainWire``. Whose certificate it is does not matter: nothing is said that
    could not be said to anybody."""

    def __init__(self, wire: PlainWire) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._wire = wire
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    async def start(self) -> TlsWire:
        """Shake hands. Raises ``WireRefused`` when there is no TLS, and hangs up then."""
        try:
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    self._flush()
                    await self._fill()
                else:
                    self._flush()
                    return self
        except ssl.SSLError as error:
            self.close()
            raise WireRefused(error.reason or "no TLS") from None
        except BaseException:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self.close()
        self._flush()

    async def read(self) -> bytes:
        while True:
            try:
                return self._tls.read(MOST_WAITING)
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                return b""
            try:
                await self._fill()
            except WireRefused:
                return b""

    def close(self) -> None:
        self._wire.close()

    async def _fill(self) -> None:
        data = await self._wire.read()
        if not data:
            raise WireRefused("it ended")
        self._incoming.write(data)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._wire.write(data)
