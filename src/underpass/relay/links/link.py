"""One transport connection between connector and relay.

A link begins with greetings, which go to its ``LinkOwner``; once a ``LaneRunner`` has taken it, it
carries that lane. It watches its own liveness. It works on any asyncio transport: TCP, TLS, or
``websocket.WebSocketTransport``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Final, Protocol, cast

import msgspec

from underpass.relay.links.runner import LaneRunner
from underpass.relay.protocol import frames
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.greeting import GreetingReader, greeting_frame
from underpass.relay.protocol.liveness import Doubt, Liveness
from underpass.relay.protocol.records import (
    Drain,
    Greeting,
    Record,
    decode_drain,
    decode_greeting,
    encode,
)
from underpass.relay.protocol.stream import Buffer

NOTSENT_LOWAT: Final = 64 * 1024
"""WIRE.md: what the kernel has not yet sent of a link stays this small."""
WRITE_HIGH: Final = 512 * 1024
"""Bytes a transport may hold before the lane keeps its frames, so that turns stay fresh."""
JOIN_LIMIT: Final = 64 * 1024
"""Buffers smaller than this are joined before a TLS write: each write makes records of its own."""


class LinkOwner(Protocol):
    """Who led or accepted the link."""

    def greeting_received(self, link: Link, record: Greeting, raw: bytes) -> None:
        """A greeting came; ``raw`` is its payload as it stood on the wire."""

    def link_late(self, link: Link) -> None:
        """Nothing was heard for 4.5 s, a PING included."""

    def drain_received(self, link: Link, drain: Drain) -> None:
        """The relay is about to stop."""

    def link_lost(self, link: Link, reason: str) -> None:
        """The connection ended. Called once, whatever the cause, unless the link was released."""


class Link(asyncio.Protocol):
    """One connection; see the module. ``transport`` is None before and after its life."""

    def __init__(self, owner: LinkOwner, loop: asyncio.AbstractEventLoop) -> None:
        self.owner = owner
        self.transport: asyncio.Transport | None = None
        self.secure = False
        """Whether bytes are encrypted below: they are then joined before they are written."""
        self.writing_paused = False
        self._loop = loop
        self._reader: GreetingReader | None = GreetingReader()
        self._runner: LaneRunner | None = None
        self._liveness = Liveness(loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._released = False
        self._ping_sent = 0.0
        self._ping_word = b""
        self._reason = ""

    # -- transport ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a transport; also called by hand after ``transport.set_protocol``."""
        self.transport = cast(asyncio.Transport, transport)
        self.secure = transport.get_extra_info("ssl_object") is not None
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        now = self._loop.time()
        self._liveness.heard(now)
        if self._runner is not None:
            self._runner.data_received(self, data, now)
            return
        reader = self._reader
        if reader is None:
            return
        try:
            reader.receive_data(data)
            while self._reader is reader and self._runner is None:
                taken = reader.next_record()
                if taken is None:
                    return
                self.owner.greeting_received(self, *taken)
        except ProtocolViolation as error:
            self.abort(error.reason)

    def eof_received(self) -> None:
        """The peer sends no more: a link has no half-close."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended."""
        self.transport = None
        self._reader = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._released:
            return
        self._released = True
        reason = self._reason or (str(exc) if exc else "closed by the peer")
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.link_lost(self)
        self.owner.link_lost(self, reason)

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self.writing_paused = False
        if self._runner is not None:
            self._runner.flush()

    # -- for the owner ------------------------------------------------------------------------

    def send_greeting(self, record: Record) -> None:
        """Say a handshake record; on a link that carries a lane it waits for the frame's end."""
        if self._runner is not None:
            self._say(greeting_frame(record))
        elif self.transport is not None:
            self.transport.write(greeting_frame(record))

    def send_drain(self, grace: float) -> None:
        """Tell the connector to move (relay only)."""
        self._say(frames.frame(frames.DRAIN, 0, encode(Drain(grace=grace))))

    @property
    def last_heard(self) -> float:
        """When the last byte came, in the loop's time."""
        return self._liveness.last

    def suspect(self) -> None:
        """Ask at once whether the link is alive: the machine slept, or the network changed."""
        self._liveness.suspect(self._loop.time())
        self._watch()

    def close(self) -> None:
        """End the connection after what was written; the owner hears ``link_lost``."""
        if self.transport is not None:
            self.transport.close()

    def abort(self, reason: str) -> None:
        """End the connection at once; the owner hears ``link_lost`` with ``reason``."""
        self._reason = reason
        if self.transport is not None:
            self.transport.abort()

    def release(self) -> None:
        """End the connection without telling anybody: it was replaced, or its lane is over."""
        self._released = True
        self._runner = None
        self._reader = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.transport is not None:
            self.transport.close()
            # a dead path would hold a polite close, and its buffers, for minutes
            self._loop.call_later(1.0, self._abort_released)

    def _abort_released(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # -- for the runner -----------------------------------------------------------------------

    def carry(self, runner: LaneRunner) -> None:
        """Carry ``runner``'s lane; bytes already read after the greetings are its first."""
        self._runner = runner
        reader, self._reader = self._reader, None
        self._ping()
        rest = reader.rest() if reader is not None else b""
        if rest:
            runner.data_received(self, rest, self._loop.time())

    def write(self, buffers: list[Buffer]) -> None:
        """Write frames."""
        transport = self.transport
        if transport is None:
            return
        if len(buffers) == 1:
            transport.write(buffers[0])
        elif self.secure:
            for chunk in _joined(buffers):
                transport.write(chunk)
        else:
            transport.writelines(buffers)

    def link_frame_received(self, kind: int, payload: bytes) -> None:
        """A link frame stood between the lane's."""
        try:
            self._act_on(kind, payload)
        except msgspec.DecodeError:
            self.abort("a control frame is not a well-formed record")

    def _act_on(self, kind: int, payload: bytes) -> None:
        if kind == frames.PING:
            self._say(frames.frame(frames.PONG, 0, payload))
        elif kind == frames.PONG:
            # an older PING's answer would make the round trip look shorter than it is
            if payload == self._ping_word and self._runner is not None:
                now = self._loop.time()
                self._runner.lane.round_trip(now - self._ping_sent, now)
                self._ping_word = b""
        elif kind == frames.DRAIN:
            self.owner.drain_received(self, decode_drain(payload))
        else:
            self.owner.greeting_received(self, decode_greeting(payload), payload)

    # -- liveness -----------------------------------------------------------------------------

    def _say(self, frame: bytes) -> None:
        if self._runner is not None:
            self._runner.lane.send_link_frame(frame)

    def _linger_not(self) -> None:
        """Let the connection end with a RST. When only the way to us is dead, a FIN would wait
        behind bytes that are never acknowledged, and the peer, who hears us, would not know."""
        assert self.transport is not None
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:  # already gone
                pass

    def _ping(self) -> None:
        self._ping_sent = self._loop.time()
        self._ping_word = os.urandom(8)
        self._say(frames.frame(frames.PING, 0, self._ping_word))

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = max(self._liveness.next_deadline(), self._loop.time())
        self._timer = self._loop.call_at(deadline, self._doubt)

    def _doubt(self) -> None:
        self._timer = None
        doubt = self._liveness.tick(self._loop.time())
        if doubt is Doubt.DEAD:
            self._linger_not()
            self.abort("nothing was heard for 9 s")
            return
        if doubt is Doubt.PING:
            self._ping()
        elif doubt is Doubt.LATE:
            self.owner.link_late(self)
        if self.transport is not None and not self._released:
            self._watch()


def _joined(buffers: list[Buffer]) -> list[Buffer]:
    chunks: list[Buffer] = []
    small: list[Buffer] = []
    size = 0
    for buffer in buffers:
        if len(buffer) >= JOIN_LIMIT:
            if small:
                chunks.append(b"".join(small))
                small, size = [], 0
            chunks.append(buffer)
            continue
        small.append(buffer)
        size += len(buffer)
        if size >= JOIN_LIMIT:
            chunks.append(b"".join(small))
            small, size = [], 0
    if small:
        chunks.append(b"".join(small))
    return chunks
