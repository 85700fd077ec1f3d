"""One connection to a relay's reach door: the introduction, then bytes both ways for a sink."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

from underpass.guard.secrets import Secret
from underpass.model.errors import Refused, UnderpassError
from underpass.model.errors_relay import RelayUnreachable
from underpass.model.errors_run import NoSuchTunnel
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.frames import ALONE
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


def _deliver(sink: ReachSink, event: bytes | memoryview | Ended | Broken) -> None:
    if isinstance(event, Ended):
        sink.reach_ended()
    elif isinstance(event, Broken):
        sink.reach_broken(event.code)
    else:
        sink.reach_data(event)
