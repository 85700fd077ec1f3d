"""One agent's session at the test edge: calls, heartbeats, and a channel for each visitor."""

from __future__ import annotations

import asyncio
import json
import struct
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from tests.edges.ngrok_channel import FRAME, Channel
from tests.edges.ngrok_muxado import (
    Data,
    GoneAway,
    Mux,
    MuxError,
    Opened,
    Reset,
    Room,
)

if TYPE_CHECKING:
    from tests.edges.ngrok import NgrokEdge

AUTH, BIND, UNBIND, PROXY, STOP, HEARTBEAT = 0, 1, 2, 3, 5, 0xFFFFFFFF
MAX_CALL = 256 * 1024


class AgentSession(asyncio.Protocol):
    """One connection of an agent or SDK."""

    def __init__(self, edge: NgrokEdge) -> None:
        self.edge = edge
        self.client: dict[str, Any] = {}
        """What it said of itself when it signed in."""
        self.signed_in = False
        self.frozen = False
        self.beats = 0
        self._mux = Mux()
        self._early = b""
        self._channels: dict[int, Channel] = {}
        self._owed: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._transport: asyncio.Transport | None = None

    # For the edge

    def open_channel(self) -> Channel:
        """A new stream of ours."""
        stream = self._mux.open()
        channel = self._channels[stream] = Channel(self, stream)
        return channel

    async def open_proxy(self, bind: str, proto: str, client: str) -> Channel:
        """Announce a visitor. Raises ``ConnectionError``."""
        is_http = proto in {"http", "https"}
        header = {
            "Id": bind,
            "ClientAddr": client,
            "Proto": proto,
            "EdgeType": "3" if is_http else "1",
            "PassthroughTLS": proto == "tls",
        }
        text = json.dumps(header).encode()
        channel = self.open_channel()
        # This one length is little-endian.
        await channel.write(struct.pack(">I", PROXY) + struct.pack("<q", len(text)) + text)
        return channel

    async def push_stop(self) -> Any:
        """Ask the client to stop; what it answers."""
        channel = self.open_channel()
        await channel.write(struct.pack(">I", STOP) + b"{}")
        return await self._read_call(channel)

    def freeze(self) -> None:
        """Do nothing more, without closing anything. Idempotent."""
        self.frozen = True
        self._thawed.clear()
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def thaw(self) -> None:
        """Go on. Idempotent."""
        self.frozen = False
        self._thawed.set()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self.data_received(b"")

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def go(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do ``work`` as long as the session stands; what breaks in it ends it alone."""

        async def guarded() -> None:
            with suppress(OSError, MuxError, ValueError, KeyError):
                await work

        task = asyncio.create_task(guarded(), name=f"ngrok edge: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def closed(self) -> None:
        """Wait until nothing of it runs."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # For channels

    def room(self, stream: int) -> int:
        """Bytes that may be sent."""
        state = self._mux.streams.get(stream)
        return 0 if state is None else state.room

    async def send(self, stream: int, content: bytes, *, end: bool) -> None:
        """Send one frame, when the connection has room; never while frozen."""
        while self.frozen or not self._writable.is_set():
            await (self._thawed if self.frozen else self._writable).wait()
        if stream not in self._mux.streams or self._transport is None:
            raise ConnectionResetError
        self._transport.write(self._mux.send_data(stream, content, end=end))

    def consumed(self, stream: int, count: int) -> None:
        """Give room back, a quarter of the window at a time at least."""
        owed = self._owed.get(stream, 0) + count
        if owed >= FRAME and stream in self._mux.streams:
            self._write(self._mux.give_back(stream, owed))
            owed = 0
        self._owed[stream] = owed

    def unread(self, stream: int, count: int) -> None:
        """It was not consumed after all."""
        self._owed[stream] = self._owed.get(stream, 0) - count

    def reset(self, stream: int) -> None:
        """Break a stream off."""
        if stream in self._mux.streams:
            self._write(self._mux.reset(stream))
        self._channels.pop(stream, None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=4 * FRAME)
        self.edge.sessions.add(self)
        if self.edge.frozen:
            self.freeze()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.edge.forget(self)
        for channel in self._channels.values():
            channel.break_off()
        for task in self._tasks:
            task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        # uvloop may deliver what it had read before it was told to pause.
        self._early += data
        if self.frozen:
            return
        data, self._early = self._early, b""
        try:
            events = self._mux.receive_data(data)
        except MuxError:
            self.abort()
            return
        for event in events:
            if isinstance(event, Opened):
                channel = self._channels[event.stream] = Channel(self, event.stream)
                self.go(self._serve(channel), "a call")
            elif isinstance(event, Data):
                if event.stream in self._channels:
                    self._channels[event.stream].receive(event.content, end=event.end)
            elif isinstance(event, Room):
                if event.stream in self._channels:
                    self._channels[event.stream].wake()
            elif isinstance(event, Reset):
                channel_ = self._channels.pop(event.stream, None)
                if channel_ is not None:
                    channel_.break_off()
            elif isinstance(event, GoneAway) and self._transport is not None:
                self._transport.close()

    # Calls

    async def _serve(self, channel: Channel) -> None:
        kind = int.from_bytes(await channel.read_exactly(4), "big")
        if kind == HEARTBEAT:
            while True:
                await channel.write(await channel.read_exactly(4))
                self.beats += 1
        asked = await self._read_call(channel)
        answer = await self._answer(kind, asked)
        await channel.write(json.dumps(answer).encode(), end=True)

    async def _answer(self, kind: int, asked: dict[str, Any]) -> dict[str, Any]:
        edge = self.edge
        if kind == AUTH:
            self.client = {key.lower(): value for key, value in asked["Extra"].items()}
            error = edge.judge_client(self)
            self.signed_in = not error
            extra = {"Version": "test", "Region": "lo", "AccountName": "test", "Cookie": "c"}
            extra |= {"SessionDuration": 0, "PlanName": "Free", "Banner": ""}
            known = asked.get("ClientId") or uuid.uuid4().hex
            return {
                "Version": asked["Version"][0],
                "ClientId": known,
                "Extra": extra,
                "Error": error,
            }
        if not self.signed_in:
            return {"Error": "not signed in\r\n\r\nERR_NGROK_4018\r\n"}
        if kind == BIND:
            return await edge.bind(self, asked)
        if kind == UNBIND:
            await edge.unbind(asked["Id"])
            return {"Error": ""}
        return {"Error": "unknown call\r\n\r\nERR_NGROK_800\r\n"}

    async def _read_call(self, channel: Channel) -> Any:
        content = b""
        while len(content) < MAX_CALL:
            part = await channel.read()
            content += part
            try:
                return json.loads(content)
            except ValueError:
                if not part:
                    raise
        raise ValueError("a call that is too long")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self.frozen:
            self._transport.write(data)
