"""Reading WebSocket frames out of recorded bytes (RFC 6455), as far as those go.

A reader of what has passed, not an endpoint: it judges nothing, answers nothing, and stops where
the bytes stop. What is compressed by an extension, or belongs to a message that began so, is marked
opaque: it cannot be looked into for secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_KINDS: Final = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_CONTROL: Final = 0x8


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, with as much of its payload as was recorded."""

    kind: str
    final: bool
    """The last of its message."""
    opaque: bool
    size: int
    """Of the payload as the frame's head says."""
    payload: bytes
    """Unmasked; of a control frame empty but for the code of a close."""
    end: int
    """Offset behind its last recorded byte."""
    message: int
    """Which message it belongs to, counted from 0; -1 for control frames."""

    @property
    def cut(self) -> bool:
        """Whether some of the payload was not recorded."""
        return not self.is_control and len(self.payload) < self.size

    @property
    def is_control(self) -> bool:
        """Ping, pong or close."""
        return self.message < 0


def read_frames(data: bytes) -> list[Frame]:
    """The frames in ``data``. A head that is not whole at the end is left out."""
    frames: list[Frame] = []
    at, message, opaque, compressed = 0, -1, False, False
    while (head := _head(data, at)) is not None:
        first, size, mask, start = head
        opcode = first & 0x0F
        end = min(start + size, len(data))
        control = bool(opcode & _CONTROL)
        if not control:
            if opcode:
                message += 1
                compressed = bool(first & 0x70)
            opaque = compressed
            payload = b"" if opaque else _unmasked(data[start:end], mask)
        else:
            opaque = False
            payload = _unmasked(data[start : min(end, start + 2)], mask) if opcode == 8 else b""
        frames.append(
            Frame(
                kind=_KINDS.get(opcode, f"opcode-{opcode}"),
                final=bool(first & 0x80),
                opaque=opaque,
                size=size,
                payload=payload,
                end=end,
                message=-1 if control else max(message, 0),
            )
        )
        at = start + size
    return frames


def _head(data: bytes, at: int) -> tuple[int, int, bytes, int] | None:
    """First byte, payload's size, mask and where the payload begins; None if it is not whole."""
    if at + 2 > len(data):
        return None
    size = data[at + 1] & 0x7F
    start = at + 2
    wide = {126: 2, 127: 8}.get(size, 0)
    if wide:
        size = int.from_bytes(data[start : start + wide], "big")
        start += wide
    mask = b""
    if data[at + 1] & 0x80:
        mask = data[start : start + 4]
        start += 4
    if start > len(data):
        return None
    return data[at], size, mask, start


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    if not mask or not payload:
        return payload
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes(size, "big")
