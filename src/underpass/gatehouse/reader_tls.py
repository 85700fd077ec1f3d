"""The door behind ``--tls passthrough``: a visitor's own TLS connection, ended here.

The relay sees this stream as bytes it cannot read. Records come in through the ``Exchange`` face,
are decrypted by an ``ssl.MemoryBIO`` pair, and the plain bytes go to the strict reader; answers go
the other way through the ``Visitor`` the carrier gave us.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from underpass.gatehouse.ports import Carrier, Peer, Visitor
from underpass.gatehouse.reader import DoorSettings, VisitorConnection
from underpass.gatehouse.tls_facts import known_by_tls
from underpass.http.messages import Headers

HANDSHAKE_SECONDS: Final = 10.0
# DEPENDENCIES, Traps: as long as a ClientHello may take.

READ_BYTES: Final = 64 * 1024
# Plain bytes taken from the TLS layer at once: four records.


class TlsVisitor:
    """Both faces of one passthrough stream: ``ports.Exchange`` and ``Outlet``."""

    def __init__(
        self,
        carrier: Carrier,
        visitor: Visitor,
        peer: Peer,
        context: ssl.SSLContext,
        settings: DoorSettings,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._carrier = carrier
        self._visitor = visitor
        self._peer = peer
        self._settings = settings
        self._loop = loop
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._connection: VisitorConnection | None = None
        """None until the handshake is done."""
        self._uncredited = 0
        self._paused = False
        self._blocked = False
        self._ended = False
        self._fin = False
        self._over = False
        self._timer = loop.call_later(HANDSHAKE_SECONDS, self._fail, "tls-handshake-late")

    # ports.Exchange: records from the visitor.

    def data_received(self, data: bytes | memoryview) -> None:
        """A part of the visitor's TLS stream."""
        if self._over:
            return
        self._incoming.write(data)
        self._uncredited += len(data)
        self._decrypt()

    def trailers_received(self, trailers: Headers) -> None:
        """A byte stream has none."""

    def end_received(self) -> None:
        """FIN of the visitor's TCP connection. Without a close_notify before it the request may be
        cut short: the reader knows whether it was."""
        if self._over:
            return
        self._fin = True
        if self._connection is None:
            self._fail("tls-handshake-failed")
        elif not self._paused:
            self._connection.receive_eof()

    def visitor_left(self, code: str) -> None:
        """The visitor is gone."""
        if not self._over:
            self._finish()
            self._visitor.abort(code)

    def answer_unwanted(self, code: str) -> None:
        """The visitor takes no more: it is gone as far as HTTP goes."""
        self.visitor_left(code)
        self._visitor.stop(code)

    def resume_writing(self) -> None:
        """There is room again."""
        self._blocked = False
        if self._connection is not None:
            self._connection.writable()

    # Outlet: plain bytes for the visitor.

    @property
    def room(self) -> int:
        """See ``Outlet``. Records add 22 bytes to 16 KiB: within what a visitor's queue allows."""
        return 0 if self._blocked or self._over else self._visitor.room

    def write(self, data: bytes) -> None:
        """See ``Outlet``."""
        if self._ended or self._over:
            return
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError:
            self.abort()
            return
        self._send_records()

    def write_end(self) -> None:
        """See ``Outlet``: close_notify; the visitor may still send."""
        if self._ended or self._over:
            return
        self._ended = True
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it wants the other side's close_notify too, which need not come
        self._send_records()
        self._visitor.send_end()

    def pause_reading(self) -> None:
        """See ``Outlet``."""
        self._paused = True

    def resume_reading(self) -> None:
        """See ``Outlet``."""
        self._paused = False
        self._loop.call_soon(self._decrypt)

    def close(self) -> None:
        """See ``Outlet``."""
        self.write_end()
        if not self._over:
            self._finish()
            self._visitor.stop("answer-complete")

    def abort(self) -> None:
        """See ``Outlet``."""
        self._fail("exchange-broken")

    # Inside.

    def _decrypt(self) -> None:
        try:
            if self._connection is None and not self._shake_hands():
                return
            while not self._paused and not self._over:
                plain = self._tls.read(READ_BYTES)
                if not plain:
                    raise ssl.SSLZeroReturnError
                assert self._connection is not None
                self._connection.receive_data(plain)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            if self._connection is not None:
                self._connection.receive_eof()
        except ssl.SSLError:
            self._send_records()  # the alert
            self._fail("tls-handshake-failed" if self._connection is None else "tls-broken")
            return
        if self._over:
            return
        self._send_records()
        if not self._paused:
            uncredited, self._uncredited = self._uncredited, 0
            if uncredited:
                self._visitor.drained(uncredited)
            if self._fin and self._connection is not None:
                self._connection.receive_eof()

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send_records()
            self._visitor.drained(self._uncredited)
            self._uncredited = 0
            return False
        self._timer.cancel()
        peer = known_by_tls(self._peer, self._tls)
        self._connection = VisitorConnection(self._carrier, self, peer, self._settings, self._loop)
        return True

    def _send_records(self) -> None:
        records = self._outgoing.read()
        if records and not self._visitor.send_data(records):
            self._blocked = True

    def _fail(self, code: str) -> None:
        if self._over:
            return
        self._finish()
        self._visitor.abort(code)
        self._visitor.stop(code)

    def _finish(self) -> None:
        self._over = True
        self._timer.cancel()
        if self._connection is not None:
            self._connection.lost()
