"""The first words on a link, before it carries a lane: GREETING frames, one at a time."""

from __future__ import annotations

import msgspec

from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.frames import (
    GREETING,
    GREETING_LIMIT,
    HEADER,
    HEADER_SIZE,
    LENGTH_MASK,
)
from underpass.relay.protocol.records import Greeting, Record, decode_greeting, encode


class GreetingReader:
    """Collects GREETING frames and leaves every later byte for the lane."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def receive_data(self, data: bytes) -> None:
        """Add bytes. Raises ``ProtocolViolation`` when they cannot be a greeting."""
        if not data:
            return  # an empty WebSocket message
        self._buffer += data
        if self._buffer[0] != GREETING:
            raise ProtocolViolation(reason="the link does not begin with a greeting")
        if len(self._buffer) > 4 * GREETING_LIMIT:
            raise ProtocolViolation(reason="too much was said before the link was agreed")

    def next_record(self) -> tuple[Greeting, bytes] | None:
        """The next greeting and its payload as it stood on the wire, or None if incomplete.

        Raises ``ProtocolViolation`` for what is not a greeting.
        """
        buffer = self._buffer
        if len(buffer) < HEADER_SIZE:
            return None
        word, _ = HEADER.unpack_from(buffer)
        length = word & LENGTH_MASK
        if word >> 24 != GREETING or length > GREETING_LIMIT:
            raise ProtocolViolation(reason="a greeting was expected")
        if len(buffer) < HEADER_SIZE + length:
            return None
        payload = buffer[HEADER_SIZE : HEADER_SIZE + length]
        self._buffer = buffer[HEADER_SIZE + length :]
        try:
            return decode_greeting(payload), payload
        except msgspec.DecodeError:
            raise ProtocolViolation(reason="a greeting is not a well-formed record") from None

    def rest(self) -> bytes:
        """Bytes after the last greeting taken: they belong to the lane."""
        rest, self._buffer = self._buffer, b""
        return rest


def greeting_frame(record: Record) -> bytes:
    """A handshake record as a link frame."""
    payload = encode(record)
    return HEADER.pack(GREETING << 24 | len(payload), 0) + payload
