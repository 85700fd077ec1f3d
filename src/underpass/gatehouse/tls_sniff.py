"""Finding out that an origin on a plain port wants TLS, which looks like an origin that hangs up.

Most TLS servers close on plain HTTP without a word. So an origin that has never spoken HTTP to us
is first given empty lines, which HTTP servers skip (RFC 9112 2.2) and TLS servers close on; only
one that closes is given a ClientHello, and a TLS record in answer settles it. Neither is a request.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from underpass.gatehouse.house import Dial, House
from underpass.gatehouse.origin.connection import OriginConnection

EMPTY_LINES: Final = b"\r\n" * 4
# More than the five bytes of a TLS record's header.

EMPTY_LINES_SECONDS: Final = 0.1
HELLO_SECONDS: Final = 0.5
# Both are answered within a millisecond on the same machine; the visitor of a hanging-up origin
# waits for the second.

SPEAKS_TLS: Final = "origin-speaks-tls"
_TLS_RECORD: Final = (b"\x16\x03", b"\x15\x03")
# Handshake or alert, version 3.x (RFC 8446 5.1).


class TlsSniff:
    """One look at the origin; ``done`` is called once: with "" when it is not TLS, with
    ``origin-speaks-tls``, or with the code of a refused dial. Never after ``cancel``."""

    room = 1024

    def __init__(self, house: House, done: Callable[[str], None]) -> None:
        self._house = house
        self._done: Callable[[str], None] | None = done
        self._says_hello = False
        self._dial: Dial | None = None
        self._connection: OriginConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._seen = b""

    def begin(self) -> None:
        """Begin with empty lines."""
        self._dial = self._house.pool.dial(self)

    def begin_hello(self) -> None:
        """Begin with a ClientHello: the origin has already closed on something."""
        self._says_hello = True
        self._dial = self._house.pool.dial(self)

    def cancel(self) -> None:
        """Look no further. Idempotent."""
        self._done = None
        self._hang_up()

    def origin_ready(self, connection: OriginConnection) -> None:
        """Say something that is no request."""
        self._dial = None
        self._connection = connection
        said = _client_hello() if self._says_hello else EMPTY_LINES
        seconds = HELLO_SECONDS if self._says_hello else EMPTY_LINES_SECONDS
        self._timer = self._house.loop.call_later(seconds, self._answer, "")
        connection.write(said, 0)

    def origin_refused(self, code: str) -> None:
        """Nobody is there."""
        self._answer(code)

    def origin_waits(self) -> None:
        """Never: there is room."""

    def origin_data(self, data: memoryview) -> None:
        """Two bytes tell."""
        self._seen += bytes(data)
        if len(self._seen) >= 2:
            self._answer(SPEAKS_TLS if self._seen.startswith(_TLS_RECORD) else "")

    def origin_ended(self) -> None:
        """It closes on empty lines: ask in its own language. On a ClientHello: it is just rude."""
        if self._says_hello:
            self._answer("")
        else:
            self._hang_up()
            self.begin_hello()

    def origin_lost(self, error: Exception | None) -> None:
        """As good as a close."""
        self._connection = None
        self.origin_ended()

    def origin_drained(self, count: int) -> None:
        """Nothing is counted."""

    def _answer(self, code: str) -> None:
        done, self._done = self._done, None
        self._hang_up()
        if done is not None:
            self._house.origin_is_plain = not code
            done(code)

    def _hang_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


def _client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is said over it, and nothing believed
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
