"""The opposite direction on the wire: one connection, one stream, made local elsewhere. Pure.

A reach connection is a HELLO (name, token, version), an answer, and then DATA, FIN and RESET frames
with the lane's header, so that half-close survives TLS. It cannot be resumed, and the connection's
own back-pressure is its credit. Both ends use ``ReachChannel``.
"""

from __future__ import annotations

from typing import Final

import msgspec

from underpass.relay.protocol import frames
from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.parser import FrameParser
from underpass.relay.protocol.records import VERSION, Record, decoded, encode
from underpass.relay.protocol.stream import Buffer


class ReachHello(Record, frozen=True, kw_only=True, tag_field="t", tag="reach"):
    """The visitor's introduction; its token is judged by the gatehouse, not by the relay."""

    version: int = VERSION
    name: str
    token: str

    def __repr__(self) -> str:
        return f"ReachHello(name={self.name!r}, token=[hidden])"


class ReachAnswer(Record, frozen=True, kw_only=True, tag_field="t", tag="answer"):
    """The relay's answer. ``ok`` says that the gatehouse was found, not yet that it let pass:
    a refused token is a RESET with the gatehouse's code."""

    version: int = VERSION
    ok: bool
    code: str = ""
    message: str = ""
    hint: str = ""


class Ended(msgspec.Struct, frozen=True):
    """FIN: the peer sends no more."""


class Broken(msgspec.Struct, frozen=True):
    """RESET: the stream broke, or was refused."""

    code: str


ReachEvent = ReachHello | ReachAnswer | Buffer | Ended | Broken

_decoder: Final[msgspec.msgpack.Decoder[ReachHello | ReachAnswer]] = msgspec.msgpack.Decoder(
    ReachHello | ReachAnswer
)
_STREAM: Final = 0


class ReachChannel:
    """One end's reading of a reach connection."""

    __slots__ = ("_ended", "_greeted", "_parser")

    def __init__(self) -> None:
        self._parser = FrameParser()
        self._greeted = False
        self._ended = False

    def receive_data(self, data: bytes) -> list[ReachEvent]:
        """What ``data`` says, in order: a greeting first, then bytes. Raises
        ``ProtocolViolation``."""
        found: list[ReachEvent] = []
        for kind, _, payload, _ in self._parser.receive_data(data):
            if not self._greeted:
                found.append(self._greeting(kind, payload))
                continue
            base = kind & ~frames.END
            if self._ended and base != frames.RESET:
                raise ProtocolViolation(reason="a reach connection went on after its end")
            if base == frames.DATA:
                if payload:
                    found.append(payload)
                if kind & frames.END:
                    raise ProtocolViolation(reason="a reach connection ends with FIN")
            elif base == frames.FIN:
                self._ended = True
                found.append(Ended())
            elif base == frames.RESET:
                found.append(_broken(bytes(payload)))
            else:
                raise ProtocolViolation(reason="a reach connection carries DATA, FIN and RESET")
        return found

    def _greeting(self, kind: int, payload: Buffer) -> ReachHello | ReachAnswer:
        if kind != frames.GREETING:
            raise ProtocolViolation(reason="a reach connection begins with a greeting")
        try:
            record = decoded(_decoder, payload)
        except msgspec.DecodeError:
            raise ProtocolViolation(reason="a greeting is not a well-formed record") from None
        self._greeted = True
        return record


def _broken(payload: bytes) -> Broken:
    try:
        direction, code = frames.read_reset(payload)
    except ValueError:
        direction = 0
    if direction != frames.ABORT:
        raise ProtocolViolation(reason="a RESET is malformed")
    return Broken(code=code)


def greeting(record: ReachHello | ReachAnswer) -> bytes:
    """A greeting as bytes to send."""
    payload = encode(record)
    return frames.header(frames.GREETING, _STREAM, len(payload)) + payload


def data_header(size: int) -> bytes:
    """What stands before ``size`` (at most 256 KiB) bytes of data."""
    return frames.header(frames.DATA, _STREAM, size)


FIN_FRAME: Final = frames.frame(frames.FIN, _STREAM)


def reset(code: str) -> bytes:
    """The stream broke, as bytes to send."""
    return frames.reset_frame(_STREAM, frames.ABORT, code)
