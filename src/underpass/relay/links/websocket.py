"""A WebSocket that looks like a transport: bytes written leave as binary messages.

``websockets``' sans-I/O protocol does the framing; this shell sits between it and a real
transport. Used for links and reach connections where raw TLS is blocked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, cast

from websockets.exceptions import InvalidHandshake, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN, Protocol

LINK_PATH: Final = "/underpass/v1/link"
"""Where links are taken, on the relay's own host."""
REACH_PATH: Final = "/underpass/v1/reach"
"""Where reach connections are taken, on the relay's own host."""
MAX_MESSAGE: Final = 1024 * 1024
"""Largest message taken: four of the largest frames of a lane."""


class WebSocketTransport(asyncio.Transport):
    """The transport that the inner protocol sees."""

    def __init__(self, outer: WebSocketShell, transport: asyncio.Transport) -> None:
        super().__init__()
        self._outer = outer
        self._transport = transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the transport below."""
        return self._transport.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send one binary message."""
        self._outer.send(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send everything, in as few binary messages as their limit allows."""
        joined = memoryview(b"".join(list_of_data))
        for start in range(0, len(joined), MAX_MESSAGE):
            self._outer.send(joined[start : start + MAX_MESSAGE])

    def close(self) -> None:
        """Say goodbye, then end the connection once everything is written."""
        self._outer.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Take no more bytes for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        """Whether bytes are taken."""
        return self._transport.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of the transport below."""
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Bytes not yet written."""
        return self._transport.get_write_buffer_size()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Change the inner protocol."""
        self._outer.inner = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The inner protocol."""
        return self._outer.inner


class WebSocketShell(asyncio.Protocol):
    """The protocol on the real transport.

    ``ws`` is a client protocol whose request this shell sends, or a server protocol that has
    already answered. ``opened`` is set once messages may flow, or fails with ``ConnectionError``.
    """

    def __init__(
        self, ws: Protocol, inner: asyncio.Protocol, opened: asyncio.Future[None] | None = None
    ) -> None:
        self.ws = ws
        self.inner = inner
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._facade: WebSocketTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the real transport; also called by hand after ``transport.set_protocol``."""
        self._transport = cast(asyncio.Transport, transport)
        self._facade = WebSocketTransport(self, self._transport)
        self._flush()
        if self.ws.state is OPEN:
            self._begin()

    @property
    def facade(self) -> WebSocketTransport:
        """The transport for the inner protocol."""
        assert self._facade is not None
        return self._facade

    def data_received(self, data: bytes) -> None:
        """Bytes of the WebSocket."""
        self.ws.receive_data(data)
        for event in self.ws.events_received():
            if isinstance(event, Frame):
                if event.opcode in (Opcode.BINARY, Opcode.CONT):
                    self.inner.data_received(bytes(event.data))
                elif event.opcode is Opcode.TEXT:
                    self.ws.fail(CloseCode.UNSUPPORTED_DATA, "binary messages only")
            elif isinstance(event, Response):
                if self.ws.handshake_exc is None:
                    self._begin()
                else:
                    self._failed(self.ws.handshake_exc)
        self._flush()

    def eof_received(self) -> None:
        """The peer sends no more."""
        self.ws.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended."""
        self._transport = None
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(ConnectionError("the connection ended before it was open"))
        elif self._facade is not None:
            self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """The transport takes more."""
        self.inner.resume_writing()

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send one binary message; nothing after the end."""
        if self._transport is not None and self.ws.state is OPEN:
            self.ws.send_binary(bytes(data))
            self._flush()

    def close(self) -> None:
        """Say goodbye and end the connection after what was written."""
        if self._transport is not None:
            if self.ws.state is OPEN:
                self.ws.send_close(CloseCode.NORMAL_CLOSURE)
                self._flush()
            self._transport.close()

    def _begin(self) -> None:
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)
        self.inner.connection_made(self.facade)

    def _failed(self, error: Exception) -> None:
        if self._opened is not None and not self._opened.done():
            kind = "the answer is not a WebSocket"
            if isinstance(error, InvalidHandshake | ProtocolError):
                kind = str(error)
            self._opened.set_exception(ConnectionError(kind))
            self._opened = None
            self._facade = None
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        for data in self.ws.data_to_send():
            if data:
                transport.write(data)
            else:
                transport.close()
