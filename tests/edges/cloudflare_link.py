"""One connection of a cloudflared to the edge: it dials, and then serves HTTP/2 to whom it dialled.

So the edge accepts and is the HTTP/2 client. Bytes go through as they come: what a visitor has not
taken is not acknowledged, and what cloudflared has no window for is not sent.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Sequence
from typing import Final, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

UPGRADE: Final = "cf-cloudflared-proxy-connection-upgrade"
TCP_SOURCE: Final = "cf-cloudflared-proxy-src"
ANSWER_FIELDS: Final = "cf-cloudflared-response-headers"
ANSWER_SOURCE: Final = "cf-cloudflared-response-meta"

STREAM_WINDOW: Final = 1 << 20
LINK_WINDOW: Final = 1 << 28
# The link's own window is never in the way: a slow visitor holds its own stream.

# It would write every header of every visitor into the log that tests look for secrets in.
logging.getLogger("hpack").setLevel(logging.INFO)

Fields = list[tuple[str, str]]


class StreamCut(Exception):
    """The stream, or the link below it, ended before its end."""


class LinkStream:
    """One request to cloudflared, and its answer."""

    def __init__(self, link: Link, number: int) -> None:
        self.number = number
        self.link = link
        self.head: asyncio.Future[tuple[int, Fields]] = asyncio.get_running_loop().create_future()
        self.may_send = asyncio.Event()
        self._parts: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()
        self._taken = 0
        self.is_cut = False
        self.is_over = False

    async def receive(self) -> bytes:
        """The next bytes of the answer, b"" at its end; the ones before have been dealt with."""
        if self._taken:
            self.link.acknowledge(self._taken, self.number)
            self._taken = 0
        part = await self._parts.get()
        if part is None:
            self._parts.put_nowait(None)
            if self.is_cut:
                raise StreamCut
            return b""
        data, self._taken = part
        return data

    async def send(self, data: bytes) -> None:
        """Send all of ``data`` as cloudflared has room for it."""
        view = memoryview(data)
        while view:
            if self.is_cut:
                raise StreamCut
            room = self.link.room(self.number)
            if room <= 0:
                self.may_send.clear()
                await self.may_send.wait()
                continue
            self.link.send(self.number, bytes(view[:room]))
            view = view[room:]

    def send_end(self) -> None:
        """Nothing more comes from here."""
        if not self.is_cut:
            self.link.send(self.number, b"", end=True)

    def reset(self) -> None:
        """The visitor has left."""
        if not (self.is_cut or self.is_over):
            self.cut()
            self.link.reset(self.number)

    def received_head(self, status: int, fields: Fields) -> None:
        """Called by the link."""
        if not self.head.done():
            self.head.set_result((status, fields))

    def received(self, data: bytes, size: int) -> None:
        """Called by the link; ``size`` is what it cost of the window."""
        self._parts.put_nowait((data, size))

    def ended(self) -> None:
        """Called by the link."""
        self.is_over = True
        self._parts.put_nowait(None)

    def cut(self) -> None:
        """Called by the link, or when the visitor leaves."""
        self.is_cut = True
        self.may_send.set()
        self._parts.put_nowait(None)
        if not self.head.done():
            self.head.set_exception(StreamCut())
            self.head.exception()  # nobody need be waiting


class Link(asyncio.Protocol):
    """The connection. Three callbacks tell the edge of it."""

    def __init__(
        self,
        on_open: Callable[[Link], None],
        on_registered: Callable[[Link], None],
        on_lost: Callable[[Link], None],
    ) -> None:
        self.is_registered = False
        self.index = -1
        self.tunnel = ""
        self.streams: dict[int, LinkStream] = {}
        self._on_open = on_open
        self._on_registered = on_registered
        self._on_lost = on_lost
        self._frozen = False
        self._is_blocked = False
        self._transport: asyncio.Transport | None = None
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        )
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.MAX_FRAME_SIZE: 1 << 16,
            },
        )

    # What the edge does with it

    def register(self) -> None:
        """Visitors may come by it."""
        self.is_registered = True
        self._on_registered(self)

    def open(self, fields: Fields, *, end: bool = False) -> LinkStream:
        """Send a request's head. Raises ``StreamCut`` when there is no connection any more."""
        if self._transport is None:
            raise StreamCut
        number = self._h2.get_next_available_stream_id()
        stream = self.streams[number] = LinkStream(self, number)
        self._h2.send_headers(number, fields, end_stream=end)
        self._flush()
        return stream

    def freeze(self) -> None:
        """Neither read nor write any more, as a stopped process; the connection stays."""
        self._frozen = True
        if self._transport is not None:
            self._transport.pause_reading()

    def thaw(self) -> None:
        """Go on."""
        self._frozen = False
        if self._transport is not None:
            self._transport.resume_reading()
            self._flush()

    def kill(self) -> None:
        """Gone without a word, as with the process."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Say goodbye and go."""
        if self._transport is not None and not self._frozen:
            self._h2.close_connection()
            self._flush()
            self._transport.close()
        else:
            self.kill()

    # What streams do with it

    def room(self, number: int) -> int:
        """What may be sent on a stream now, of all windows and in one frame."""
        if self._transport is None or self._frozen or self._is_blocked:
            return 0
        try:
            window = self._h2.local_flow_control_window(number)
        except h2.exceptions.ProtocolError:
            return 0
        return min(window, self._h2.max_outbound_frame_size)

    def send(self, number: int, data: bytes, *, end: bool = False) -> None:
        """Send what ``room`` allows."""
        try:
            self._h2.send_data(number, data, end_stream=end)
        except h2.exceptions.ProtocolError:
            return  # it has answered and closed meanwhile
        self._flush()

    def reset(self, number: int) -> None:
        """RST_STREAM, as for a visitor who has gone."""
        self.streams.pop(number, None)
        try:
            self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        except h2.exceptions.ProtocolError:
            return
        self._flush()

    def acknowledge(self, size: int, number: int) -> None:
        """Give the window back."""
        try:
            self._h2.acknowledge_received_data(size, number)
        except h2.exceptions.ProtocolError:
            return
        self._flush()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(LINK_WINDOW)
        self._flush()
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.kill()
            return
        for event in events:
            self._take(event)
        self._flush()

    def pause_writing(self) -> None:
        self._is_blocked = True

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for stream in list(self.streams.values()):
            stream.cut()
        self.streams.clear()
        self._on_lost(self)

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._wake()
            return
        if isinstance(event, h2.events.ConnectionTerminated):
            return
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.DataReceived) and stream is None:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            fields = cast(Fields, list(event.headers))
            stream.received_head(int(dict(fields)[":status"]), fields)
        elif isinstance(event, h2.events.DataReceived):
            stream.received(event.data, event.flow_controlled_length)
        elif isinstance(event, h2.events.StreamEnded):
            del self.streams[stream.number]
            stream.ended()
        elif isinstance(event, h2.events.StreamReset):
            del self.streams[stream.number]
            stream.cut()

    def _wake(self) -> None:
        for stream in self.streams.values():
            stream.may_send.set()

    def _flush(self) -> None:
        if self._transport is not None and not self._frozen:
            data = self._h2.data_to_send()
            if data:
                self._transport.write(data)


def read_fields(text: str) -> Fields:
    """What ``cf-cloudflared-response-headers`` holds: pairs in base64 without padding."""

    def plain(part: str) -> str:
        return base64.b64decode(part + "=" * (-len(part) % 4)).decode("latin-1")

    pairs: Sequence[list[str]] = [pair.split(":") for pair in text.split(";") if pair]
    return [(plain(name), plain(value)) for name, value in pairs]
