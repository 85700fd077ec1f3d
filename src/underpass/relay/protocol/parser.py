"""From bytes to frames, with a state that outlives links.

The parser belongs to the lane: when a link dies inside a header or a payload, the next link goes
on at the very next byte. DATA payloads are handed out as they arrive, in views of the buffer that
was fed, without reassembly; every other payload is small and collected whole. Lane bytes are
counted in ``received``; link frames are not, and a link frame cut short is dropped with its link.
"""

from __future__ import annotations

from typing import Final, NoReturn

from underpass.relay.protocol.errors import ProtocolViolation
from underpass.relay.protocol.frames import (
    ALONE,
    CONTROL_LIMITS,
    DATA,
    END,
    HEAD,
    HEADER,
    HEADER_SIZE,
    LENGTH_MASK,
    LINK,
    MORE,
    TRAILERS,
)

_unpack_from = HEADER.unpack_from

Item = tuple[int, int, "bytes | memoryview", bool]
"""Type with flags, stream, payload, and whether the payload is complete (only DATA comes in
parts; an empty last part is never left out)."""

COPY_BELOW: Final = 4 * 1024
"""A payload of fewer bytes is handed out as bytes: copying costs less than a view of it."""
_DATA: Final = (DATA, DATA | END)
_LIMITS: Final = {
    **CONTROL_LIMITS,
    HEAD | MORE: CONTROL_LIMITS[HEAD],
    TRAILERS | MORE: CONTROL_LIMITS[TRAILERS],
}
"""Largest payload by type with its flags; only HEAD and TRAILERS may continue."""


class FrameParser:
    """One direction of one lane, as received."""

    __slots__ = ("_kind", "_left", "_partial", "_stream", "received")

    def __init__(self) -> None:
        self.received = 0
        """Lane bytes accepted so far: the offset to resume at."""
        self._partial = b""
        """Bytes of a header or of a collected payload, with its header, that is not complete."""
        self._left = 0
        """Bytes of a DATA payload still to come."""
        self._kind = 0
        self._stream = 0

    @property
    def between_frames(self) -> bool:
        """Whether the next byte begins a frame."""
        return not self._left and not self._partial

    def link_lost(self) -> None:
        """Forget a link frame that was cut short; lane bytes stay."""
        if self._partial and self._partial[0] & LINK:
            self._partial = b""

    def receive_data(self, data: bytes) -> list[Item]:
        """Parse ``data``; raises ``ProtocolViolation``, after which the lane must be given up."""
        items: list[Item] = []
        position = 0
        if self._partial:
            data, position = self._complete(data, items)
        total = len(data)
        view: memoryview | None = None
        left = self._left
        while position < total:
            if left:
                take = min(left, total - position)
                left -= take
                self.received += take
                if take == total:
                    items.append((self._kind, self._stream, data, not left))
                else:
                    if view is None:
                        view = memoryview(data)
                    part = view[position : position + take]
                    items.append((self._kind, self._stream, part, not left))
                position += take
                continue
            if total - position < HEADER_SIZE:
                self._keep(data[position:])
                break
            word, stream = _unpack_from(data, position)
            kind = word >> 24
            length = word & LENGTH_MASK
            if kind in _DATA:
                position += HEADER_SIZE
                end = position + length
                if length < COPY_BELOW and end <= total:  # the common case, in one go
                    items.append((kind, stream, data[position:end], True))
                    self.received += HEADER_SIZE + length
                    position = end
                    continue
                if length > ALONE:
                    _refuse(kind)
                self.received += HEADER_SIZE
                self._kind, self._stream, left = kind, stream, length
                continue
            if length > _LIMITS.get(kind, -1):
                _refuse(kind)
            end = position + HEADER_SIZE + length
            if end > total:
                self._keep(data[position:])
                break
            items.append((kind, stream, data[position + HEADER_SIZE : end], True))
            if not kind & LINK:
                self.received += end - position
            position = end
        self._left = left
        return items

    def _keep(self, rest: bytes) -> None:
        self._partial = rest
        if not rest[0] & LINK:
            self.received += len(rest)

    def _complete(self, data: bytes, items: list[Item]) -> tuple[bytes, int]:
        """Join kept bytes with new ones; returns the buffer and where to go on in it."""
        kept = self._partial
        have = len(kept)
        counted = not kept[0] & LINK
        if have < HEADER_SIZE:
            need = HEADER_SIZE - have
            kept += data[:need]
            if len(kept) < HEADER_SIZE:
                self._partial = kept
                if counted:
                    self.received += len(data)
                return b"", 0
        word, stream = _unpack_from(kept, 0)
        kind, length = word >> 24, word & LENGTH_MASK
        if kind in _DATA:
            if length > ALONE:
                _refuse(kind)
            self._partial = b""
            self.received += HEADER_SIZE - have
            if length:
                self._kind, self._stream, self._left = kind, stream, length
            else:
                items.append((kind, stream, b"", True))
            return data, HEADER_SIZE - have
        if length > _LIMITS.get(kind, -1):
            _refuse(kind)
        whole = HEADER_SIZE + length
        used = whole - have
        kept = self._partial + data[:used]
        if len(kept) < whole:
            self._partial = kept
            if counted:
                self.received += len(data)
            return b"", 0
        self._partial = b""
        if counted:
            self.received += used
        items.append((kind, stream, kept[HEADER_SIZE:], True))
        return data, used


def _refuse(kind: int) -> NoReturn:
    known = kind in _LIMITS or kind in _DATA
    why = "is too long" if known else "is not known"
    raise ProtocolViolation(reason=f"a frame of type {kind:#x} {why}")
