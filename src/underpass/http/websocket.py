"""Where in the frames of a WebSocket another may be put, and what closes one (RFC 6455). Pure.

Knows lengths, not messages: a control frame may stand between the fragments of a message, and none
may follow a close.
"""

from __future__ import annotations

from typing import Final

POLICY: Final = 1008
"""The code of a close for whom policy no longer admits (RFC 6455, 7.4.1)."""

_CLOSE: Final = 0x8
_LONGEST_REASON: Final = 123


def close_frame(code: int, reason: str) -> bytes:
    """A close as a server sends it; ``reason`` is ASCII of at most 123 bytes."""
    told = code.to_bytes(2, "big") + reason.encode("ascii")[:_LONGEST_REASON]
    return bytes((0x80 | _CLOSE, len(told))) + told


class FrameBoundary:
    """Follows the bytes of one direction and knows whether a frame may be put in behind them."""

    __slots__ = ("_head", "_is_closed", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._is_closed = False

    def receive_data(self, data: bytes) -> None:
        """The next bytes of this direction."""
        at, size = 0, len(data)
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                continue
            step = _head_size(self._head) - len(self._head)
            self._head += data[at : at + step]
            at += step
            if len(self._head) == _head_size(self._head):
                self._is_closed = self._is_closed or self._head[0] & 0x0F == _CLOSE
                self._left, self._head = _payload_size(self._head), b""

    @property
    def is_between_frames(self) -> bool:
        """Whether a frame may be put in now."""
        return not (self._left or self._head or self._is_closed)


def _head_size(head: bytes) -> int:
    """How many bytes the head has that begins so, as far as that can be told yet."""
    if len(head) < 2:
        return 2
    extended = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
    return 2 + extended + (4 if head[1] & 0x80 else 0)


def _payload_size(head: bytes) -> int:
    size = head[1] & 0x7F
    extended = {126: 2, 127: 8}.get(size, 0)
    return int.from_bytes(head[2 : 2 + extended], "big") if extended else size
