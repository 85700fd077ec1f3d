"""A gated tcp tunnel made local: ``underpass reach``, and the prover's own way in.

Each local connection becomes one reach connection to the relay; bytes, half-close and resets pass
both ways, and back-pressure is that of the two sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, cast

from underpass.guard.secrets import Secret
from underpass.model.errors import Refused, UnderpassError
from underpass.model.errors_relay import RelayUnreachable
from underpass.model.errors_run import NoSuchTunnel
from underpass.relay.connector.address import RelayAddress
from underpass.relay.connector.dial import Dialler, Doorway
from underpass.relay.edges.sockets import reset as reset_transport
from underpass.relay.links.websocket import REACH_PATH
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.frames import ALONE, ALPN_REACH, REACH_MAGIC
from underpass.relay.protocol.reach import (
    FIN_FRAME,
    Broken,
    Ended,
    ReachAnswer,
    ReachChannel,
    ReachHello,
    data_header,
    greeting,
    reset,
)

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT: Final = 15.0
"""Seconds for the relay's answer: it holds a visitor 5 s for a connector that is away."""
QUEUE_LIMIT: Final = 256 * 1024
"""Bytes a ``ReachWire`` holds before it stops reading."""


@dataclass(eq=False)
class ReachRefused(Refused):
    """The gatehouse or the relay refused this visitor."""

    code = "reach-refused"
    sentence = "cannot reach {name!r}: {why}"
    hint_text = "check the token file; underpass show {name} names it on the tunnel's own machine"

    name: str
    why: str


class ReachSink(Protocol):
    """Who takes what comes through a reach connection."""

    def reach_data(self, data: bytes | memoryview) -> None:
        """Bytes, valid only during the call if they are a view."""

    def reach_ended(self) -> None:
        """FIN."""

    def reach_broken(self, code: str) -> None:
        """The stream broke, or the connection did; nothing follows."""

    def reach_paused(self, paused: bool) -> None:
        """Send no more for now, or go on."""


class ReachConnection(asyncio.Protocol):
    """One connection to the relay's reach door. ``accepted`` is set by the relay's answer."""

    def __init__(self, name: str, token: Secret, relay: str) -> None:
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sink: ReachSink | None = None
        self._name = name
        self._token = token
        self._relay = relay
        self._channel = ReachChannel()
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes | Ended | Broken] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def introduce(self) -> None:
        """Say who comes; called when the connection is dialled and its magic word written."""
        if self._transport is not None:
            hello = ReachHello(name=self._name, token=self._token.reveal())
            self._transport.write(greeting(hello))

    def data_received(self, data: bytes) -> None:
        """Bytes of the relay."""
        try:
            events = self._channel.receive_data(data)
        except ProtocolViolation as error:
            self._over(error)
            return
        for event in events:
            if isinstance(event, ReachAnswer):
                self._answered(event)
            elif isinstance(event, ReachHello):
                self._over(ProtocolViolation(reason="the relay introduces itself as a visitor"))
            elif self.sink is None:
                kept = event if isinstance(event, Ended | Broken) else bytes(event)
                self._early.append(kept)
                self.pause(True)
            else:
                _deliver(self.sink, event)

    def eof_received(self) -> None:
        """A reach connection ends with FIN and then closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended."""
        self._transport = None
        why = str(exc) if exc else "the relay closed the connection"
        if not self.accepted.done():
            self.accepted.set_exception(RelayUnreachable(relay=self._relay, why=why))
            self.accepted.exception()
        if self.sink is not None:
            sink, self.sink = self.sink, None
            sink.reach_broken("connection-lost")

    def pause_writing(self) -> None:
        """The transport holds enough."""
        if self.sink is not None:
            self.sink.reach_paused(True)

    def resume_writing(self) -> None:
        """The transport takes more."""
        if self.sink is not None:
            self.sink.reach_paused(False)

    # -- for the consumer ---------------------------------------------------------------------

    def attach(self, sink: ReachSink) -> None:
        """Deliver to ``sink`` from now on, what came early first."""
        self.sink = sink
        early, self._early = self._early, []
        for event in early:
            _deliver(sink, event)
        if early:
            self.pause(False)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        if self._transport is None:
            return
        for start in range(0, len(data), ALONE):
            part = memoryview(data)[start : start + ALONE]
            self._transport.writelines((data_header(len(part)), part))

    def send_end(self) -> None:
        """Send no more."""
        if self._transport is not None:
            self._transport.write(FIN_FRAME)

    def pause(self, paused: bool) -> None:
        """Take no bytes for now, or go on."""
        if self._transport is not None and not self._transport.is_closing():
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def close(self) -> None:
        """Let go after what was written."""
        self.sink = None
        if self._transport is not None:
            self._transport.close()

    def abort(self, code: str) -> None:
        """Break the stream off."""
        if self._transport is not None:
            self._transport.write(reset(code))
        self.close()

    # -- inside -------------------------------------------------------------------------------

    def _answered(self, answer: ReachAnswer) -> None:
        if self.accepted.done():
            return
        if answer.ok:
            self.accepted.set_result(None)
        elif answer.code == NoSuchTunnel.code:
            self.accepted.set_exception(NoSuchTunnel(name=self._name))
        else:
            self.accepted.set_exception(ReachRefused(name=self._name, why=answer.code))

    def _over(self, error: UnderpassError) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(error)
        if self._transport is not None:
            self._transport.abort()


class Reacher:
    """Dials one relay for one tunnel."""

    def __init__(self, address: RelayAddress, name: str, token: Secret) -> None:
        self._dialler = Dialler(address, Doorway(REACH_MAGIC, ALPN_REACH, REACH_PATH))
        self._relay = str(address)
        self.name = name
        """The tunnel's."""
        self._token = token

    async def connect(self) -> ReachConnection:
        """One accepted reach connection.

        Raises ``RelayUnreachable``, ``RelayCertificateWrong``, ``NoSuchTunnel``,
        ``ReachRefused``.
        """
        connection, _ = await self._dialler.dial(
            lambda: ReachConnection(self.name, self._token, self._relay)
        )
        connection.introduce()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await connection.accepted
        except TimeoutError:
            connection.close()
            raise RelayUnreachable(relay=self._relay, why="it does not answer") from None
        except BaseException:
            connection.close()
            raise
        return connection

    async def dial(self) -> ReachWire:
        """One accepted connection as a wire to read and write (for proofs)."""
        return ReachWire(await self.connect(), self.name)

    async def serve(
        self, host: str, port: int, on_error: Callable[[UnderpassError], None]
    ) -> asyncio.Server:
        """Listen locally; each connection is carried to the tunnel. The caller closes it."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: LocalBridge(self, on_error), host, port)


class ReachWire:
    """A reach connection for code that waits."""

    def __init__(self, connection: ReachConnection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._broken = ""
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        connection.attach(self)

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._writable.wait()
        self._connection.send(data)

    async def receive(self) -> bytes:
        """The next bytes, or ``b""`` after FIN. Raises ``ReachRefused`` when it broke."""
        while True:
            if self._chunks:
                data = self._chunks.popleft()
                self._held -= len(data)
                if self._held < QUEUE_LIMIT:
                    self._connection.pause(False)
                return data
            if self._ended:
                return b""
            if self._broken:
                raise ReachRefused(name=self._name, why=self._broken)
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        """Let go of it. Idempotent."""
        self._connection.close()

    def reach_data(self, data: bytes | memoryview) -> None:
        """Keep bytes until they are asked for."""
        self._chunks.append(bytes(data))
        self._held += len(data)
        if self._held >= QUEUE_LIMIT:
            self._connection.pause(True)
        self._news.set()

    def reach_ended(self) -> None:
        """FIN."""
        self._ended = True
        self._news.set()

    def reach_broken(self, code: str) -> None:
        """The stream broke."""
        self._broken = self._broken or code
        self._writable.set()
        self._news.set()

    def reach_paused(self, paused: bool) -> None:
        """Back-pressure."""
        if paused:
            self._writable.clear()
        else:
            self._writable.set()


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


def _deliver(sink: ReachSink, event: bytes | memoryview | Ended | Broken) -> None:
    if isinstance(event, Ended):
        sink.reach_ended()
    elif isinstance(event, Broken):
        sink.reach_broken(event.code)
    else:
        sink.reach_data(event)
