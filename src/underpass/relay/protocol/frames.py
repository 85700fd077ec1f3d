"""The alphabet of the wire: frame types, flags, the 8-byte header, and the limits.

A header is two big-endian 32-bit words: type and flags in the top 8 bits of the first word, the
payload's length in its lower 24; the stream's number in the second word. Lane frames form one byte
sequence per direction that survives links; link frames stand between them, are not counted and
never replayed. ``docs/wire.md`` is the specification.
"""

from __future__ import annotations

import re
import struct
from typing import Final

HEADER: Final = struct.Struct("!II")
HEADER_SIZE: Final = HEADER.size
U32: Final = struct.Struct("!I")
U64: Final = struct.Struct("!Q")

# flags, in the top byte of a header
END: Final = 0x80
"""On DATA: this is the last of the stream's direction."""
LINK: Final = 0x40
"""Marks a link frame."""
MORE: Final = 0x20
"""On HEAD and TRAILERS: the next frame of this type continues the block."""
TYPE_MASK: Final = 0x1F
LENGTH_MASK: Final = 0xFFFFFF

# lane frames
OPEN: Final = 1
DATA: Final = 2
HEAD: Final = 3
TRAILERS: Final = 4
FULL: Final = 5
"""A whole small message: u32 length of the head, head, body; ends the direction."""
CREDIT: Final = 6
RESET: Final = 7
LIMIT: Final = 8
LEASE: Final = 9
FIN: Final = 10
"""The end of a direction without data: the message is complete, or TCP's FIN."""

# link frames
GREETING: Final = LINK | 1
PING: Final = LINK | 2
PONG: Final = LINK | 3
ACK: Final = LINK | 4
DRAIN: Final = LINK | 5

# directions in RESET
ABORT: Final = 1
"""I send no more, and dropped what I had queued."""
STOP: Final = 2
"""I read no more: send no more to me."""

QUANTUM: Final = 16 * 1024
"""A DATA frame's limit while another stream waits, and the deficit's quantum (WIRE.md)."""
ALONE: Final = 256 * 1024
"""A DATA frame's limit when its stream is alone."""
JOIN_LIMIT: Final = 4 * 1024
"""A payload up to this size is copied behind its header: cheaper than one more buffer to write."""
FULL_LIMIT: Final = QUANTUM
"""Largest FULL payload: one quantum, so that it never holds others back longer than DATA would."""
BLOCK_LIMIT: Final = 64 * 1024
"""Largest head or trailer block."""
CODE_LIMIT: Final = 64
"""Longest error code in RESET, bytes."""
_CODE: Final = re.compile(rb"[a-z0-9-]{1,%d}" % CODE_LIMIT)
OPEN_LIMIT: Final = BLOCK_LIMIT + FULL_LIMIT + 4096
"""Largest OPEN payload: a head, a small body and the record around them."""
GREETING_LIMIT: Final = 16 * 1024
"""Largest handshake record: read before anybody has proved anything."""

LINK_MAGIC: Final = b"UPLINK1\n"
REACH_MAGIC: Final = b"UREACH1\n"
ALPN_LINK: Final = "underpass/1"
ALPN_REACH: Final = "underpass-reach/1"

CONTROL_LIMITS: Final = {
    OPEN: OPEN_LIMIT,
    HEAD: BLOCK_LIMIT,
    TRAILERS: BLOCK_LIMIT,
    FULL: FULL_LIMIT + U32.size,
    CREDIT: U32.size,
    RESET: 1 + CODE_LIMIT,
    LIMIT: U32.size,
    LEASE: 256,
    FIN: 0,
    GREETING: GREETING_LIMIT,
    PING: U64.size,
    PONG: U64.size,
    ACK: U64.size,
    DRAIN: 256,
}
"""Largest payload of every frame but DATA. A frame that is larger, or of a type that is not here,
breaks the protocol."""

_pack = HEADER.pack


def header(kind: int, stream: int, length: int) -> bytes:
    """The eight bytes before a payload of ``length`` bytes; ``kind`` includes flags."""
    return _pack(kind << 24 | length, stream)


def frame(kind: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame with a small payload."""
    return _pack(kind << 24 | len(payload), stream) + payload


def credit_frame(stream: int, amount: int) -> bytes:
    """CREDIT: the peer may send ``amount`` bytes more on this stream."""
    return frame(CREDIT, stream, U32.pack(amount))


def reset_frame(stream: int, direction: int, code: str) -> bytes:
    """RESET of one direction, with a stable code."""
    return frame(RESET, stream, bytes((direction,)) + code.encode("ascii")[:CODE_LIMIT])


def read_reset(payload: bytes) -> tuple[int, str]:
    """Direction and code of a RESET. Raises ``ValueError``: the code ends up in header fields, on
    terminals and in logs, so it may hold nothing but lower-case letters, digits and hyphens."""
    direction, code = payload[:1], payload[1:]
    if direction not in (b"\x01", b"\x02") or not _CODE.fullmatch(code):
        raise ValueError("a RESET is malformed")
    return direction[0], code.decode("ascii")


def ack_frame(offset: int) -> bytes:
    """ACK: everything before ``offset`` is in this process's memory."""
    return frame(ACK, 0, U64.pack(offset))
