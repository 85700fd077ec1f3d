"""TLS ended at the door: the protocol of a plain transport, and a transport that hides it.

asyncio's own TLS, uvloop's too, keeps a buffer of 256 KiB for each connection, and calls written
what the transport below it still holds. Here all connections of a door take turns with one pair of
``MemoryBIO``s, so that an idle one holds its keys and little else, and what waits to be written
waits in the plain transport alone, whose back-pressure is passed on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from underpass.relay.edges.sweeper import Sweeper

READ_SIZE: Final = 64 * 1024
"""Records taken from a socket at once: four of the largest."""


class TlsRoom:
    """What all TLS connections of one event loop share: each leaves it empty before anybody else
    is called. Only records pass through the two BIOs, so a mistake here would break connections
    and show nobody anything."""

    __slots__ = ("incoming", "outgoing", "plain", "records", "sweeper", "timeout")

    def __init__(self, sweeper: Sweeper, *, timeout: float) -> None:
        """``timeout``: seconds a handshake may take; ``sweeper`` looks at that."""
        self.sweeper = sweeper
        self.timeout = timeout
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.records = memoryview(bytearray(READ_SIZE))
        """Where sockets are read into."""
        self.plain = memoryview(bytearray(READ_SIZE))
        """Where is decrypted for protocols that bring no buffer of their own."""


class TlsShell(asyncio.BufferedProtocol, asyncio.Transport):
    """One connection. ``factory`` makes the protocol above as soon as the handshake is done;
    ``failed`` is called instead if it never is. A visitor that ends its side ends the connection,
    as with asyncio's TLS."""

    __slots__ = (
        "_above",
        "_below",
        "_closing",
        "_deadline",
        "_factory",
        "_failed",
        "_is_buffered",
        "_loop",
        "_paused",
        "_rest",
        "_room",
        "_tls",
    )

    def __init__(
        self,
        room: TlsRoom,
        context: ssl.SSLContext,
        factory: Callable[[], asyncio.BaseProtocol],
        failed: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._room = room
        self._factory: Callable[[], asyncio.BaseProtocol] | None = factory
        self._failed = failed
        self._loop = loop
        # typeshed says `bytes` of `read` into a buffer, too
        self._tls: Any = context.wrap_bio(room.incoming, room.outgoing, server_side=True)
        self._above: Any = None
        """The protocol; None until the handshake is done."""
        self._below: asyncio.Transport | None = None
        self._is_buffered = False
        self._paused = False
        self._rest = b""
        """Records that came before a pause and have not been decrypted."""
        self._closing = False
        self._deadline = 0.0

    # -- the protocol of the transport below --------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.BaseProtocol``."""
        self._below = cast(asyncio.Transport, transport)
        self._deadline = self._loop.time() + self._room.timeout
        self._room.sweeper.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See ``asyncio.BufferedProtocol``."""
        return self._room.records

    def buffer_updated(self, nbytes: int) -> None:
        """Records came."""
        room = self._room
        if self._paused:
            self._rest += room.records[:nbytes]
        elif not self._closing:
            room.incoming.write(room.records[:nbytes])
            if self._above is not None or self._shake_hands():
                self._decrypt()

    def eof_received(self) -> None:
        """The visitor sends no more records; what it had said is already passed on."""
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.BaseProtocol``."""
        self._closing = True
        self._below = None
        self._rest = b""
        self._room.sweeper.discard(self)
        if self._above is not None:
            self._above.connection_lost(exc)
        else:
            self._failed()

    def pause_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""
        if self._above is not None:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""
        if self._above is not None:
            self._above.resume_writing()

    def tick(self, now: float) -> None:
        """Called about once a second during the handshake."""
        if now >= self._deadline:
            self.abort()

    # -- the transport of the protocol above --------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See ``asyncio.BaseTransport``: of the transport below, and ``ssl_object``."""
        if name == "ssl_object":
            return self._tls
        return default if self._below is None else self._below.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See ``asyncio.BaseTransport``."""
        self._above = protocol
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See ``asyncio.BaseTransport``."""
        return cast(asyncio.BaseProtocol, self._above)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See ``asyncio.WriteTransport``. After the end nothing is written."""
        if self._closing or not data:
            return
        written = self._tls.write(data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[self._tls.write(rest) :]
        self._send_records()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """See ``asyncio.WriteTransport``: joined, since each write makes records of its own."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """See ``asyncio.WriteTransport``."""
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See ``asyncio.WriteTransport``: records are what is counted."""
        if self._below is not None:
            self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """See ``asyncio.WriteTransport``."""
        return 0 if self._below is None else self._below.get_write_buffer_size()

    def is_reading(self) -> bool:
        """See ``asyncio.ReadTransport``."""
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        """See ``asyncio.ReadTransport``. Idempotent."""
        self._paused = True
        if self._below is not None and self._below.is_reading():
            self._below.pause_reading()

    def resume_reading(self) -> None:
        """See ``asyncio.ReadTransport``. What waits is passed on in the loop's next turn."""
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._go_on)

    def is_closing(self) -> bool:
        """See ``asyncio.BaseTransport``."""
        return self._closing

    def close(self) -> None:
        """See ``asyncio.BaseTransport``: says goodbye, and does not wait for the visitor's."""
        if self._closing:
            return
        self._closing = True
        if self._above is not None:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # it wants the visitor's goodbye too, which need not come
            self._room.incoming.read()
            self._send_records()
        if self._below is not None:
            self._below.close()

    def abort(self) -> None:
        """See ``asyncio.WriteTransport``."""
        self._closing = True
        if self._below is not None:
            self._below.abort()

    # -- inside -------------------------------------------------------------------------------

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done."""
        room = self._room
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send_records()
            return False
        except ssl.SSLError:
            self._give_up()
            return False
        self._rest = room.incoming.read()  # nobody else may find it there
        self._send_records()
        room.sweeper.discard(self)
        assert self._factory is not None
        protocol = self._factory()
        self._factory = None  # it holds what is needed only here
        self.set_protocol(protocol)
        protocol.connection_made(self)
        if self._paused or self._closing:
            return False
        rest, self._rest = self._rest, b""
        room.incoming.write(rest)
        return True

    def _decrypt(self) -> None:
        """Pass on what the records in ``incoming`` hold, which is empty afterwards."""
        room, tls = self._room, self._tls
        incoming = room.incoming
        while True:
            is_buffered = self._is_buffered
            buffer = self._above.get_buffer(-1) if is_buffered else room.plain
            size, has_ended = 0, False
            try:
                size = tls.read(len(buffer), buffer)
                has_ended = not size
                while size < len(buffer) and not has_ended and (incoming.pending or tls.pending()):
                    more = tls.read(len(buffer) - size, buffer[size:])
                    has_ended = not more
                    size += more
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                has_ended = True
            except ssl.SSLError:
                self._give_up()
                return
            rest = incoming.read() if incoming.pending else b""
            if room.outgoing.pending:
                self._send_records()
            if size:
                if is_buffered:
                    self._above.buffer_updated(size)
                else:
                    self._above.data_received(bytes(buffer[:size]))
            if self._closing:
                return
            if has_ended:
                self._ended()
                return
            if self._paused:
                self._rest = rest + self._rest
                return
            if not rest and not tls.pending():
                return
            incoming.write(rest)

    def _go_on(self) -> None:
        if self._paused or self._closing:
            return
        rest, self._rest = self._rest, b""
        if rest or self._tls.pending():
            self._room.incoming.write(rest)
            self._decrypt()
        if not self._paused and not self._closing and self._below is not None:
            self._below.resume_reading()

    def _send_records(self) -> None:
        records = self._room.outgoing.read()
        if records and self._below is not None:
            self._below.write(records)

    def _ended(self) -> None:
        if not self._closing:
            if self._above is not None:
                self._above.eof_received()
            self.close()

    def _give_up(self) -> None:
        """What came is no TLS, or not of this connection: send the alert, if there is one."""
        self._closing = True
        self._room.incoming.read()
        self._send_records()
        if self._below is not None:
            self._below.close()
