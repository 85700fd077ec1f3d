"""The chunked coding, read strictly: sizes, data, trailers.

A chunk line holds one hexadecimal size and nothing else. Chunk extensions are refused: nobody
needs them hop by hop, and they have hidden requests from one parser that another one saw (bare LF
inside, endless length: CVE-2024-1135 and its kin).
"""

from __future__ import annotations

import re
from typing import Final

from underpass.http.grammar import TOKEN
from underpass.http.head import Limits, Refusal, too_large
from underpass.http.messages import Headers, RequestEvent, ResponseEvent
from underpass.http.names import Kind, kind_of

_LONGEST_SIZE: Final = 15
# 15 hexadecimal digits stay below 2**60; zero-padding counts.

_is_size: Final = re.compile(rb"[0-9A-Fa-f]{1,15}").fullmatch
_trailer_line: Final = re.compile(
    rb"(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n"
).fullmatch

_NEVER_TRAILERS: Final = frozenset(
    b"authorization cache-control content-encoding content-range content-type cookie max-forwards "
    b"pragma proxy-authenticate proxy-authorization range set-cookie underpass-token "
    b"www-authenticate forwarded x-real-ip".split()
)
"""RFC 9110 6.5.1: what routes, authenticates or frames has no place behind the body; dropped."""
_NEVER_PREFIXES: Final = (b"x-forwarded-", b"underpass-", b"if-")
_FRAMING: Final = (Kind.HOST, Kind.LENGTH, Kind.CODING, Kind.INVALID)


class ChunkReader:
    """Reads one chunked body. ``done`` when its end, trailers included, has been seen."""

    __slots__ = ("_fields", "_left", "_limits", "_line", "_spent", "_step", "done", "trailers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = 0
        self._line = bytearray()
        self._step = _SIZE
        self._spent = 0
        self._fields = 0
        self.done = False
        self.trailers: Headers = []

    def receive_data(
        self, data: bytes, at: int, events: list[RequestEvent] | list[ResponseEvent]
    ) -> int:
        """Read on in ``data`` from ``at``, append the body's bytes to ``events`` as one part,
        answer how far the body reached. Raises ``Refusal``, after what came before it."""
        parts: list[bytes] = []
        try:
            return self._read(data, at, parts)
        finally:
            if parts:
                # Joined, so that a flood of tiny chunks is not a flood of events.
                events.append(parts[0] if len(parts) == 1 else b"".join(parts))

    def _read(self, data: bytes, at: int, parts: list[bytes]) -> int:
        size = len(data)
        while at < size and not self.done:
            if self._step == _DATA:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if not self._left:
                    self._step = _AFTER
            elif self._step == _SIZE:
                at = self._read_size(data, at)
            elif self._step == _AFTER:
                at = self._read_after(data, at)
            else:
                at = self._read_trailers(data, at)
        return at

    def _read_size(self, data: bytes, at: int) -> int:
        held = self._line
        room = _LONGEST_SIZE + 2 - len(held)
        end = data.find(b"\n", at, at + room)
        if end < 0:
            held += data[at : at + room]
            digits = held[:-1] if held.endswith(b"\r") else held
            if digits and not _is_size(digits):
                raise _refuse("a chunk size that is no plain number")
            if held.startswith(b"\r") or len(held) >= _LONGEST_SIZE + 2:
                raise _refuse("a chunk line that does not end")
            return min(at + room, len(data))
        line = data[at:end]
        if held:
            line = bytes(held) + line
            held.clear()
        if not line.endswith(b"\r") or not _is_size(line[:-1]):
            raise _refuse("a chunk size that is no plain number")
        self._left = int(line[:-1], 16)
        self._step = _DATA if self._left else _TRAILERS
        return end + 1

    def _read_after(self, data: bytes, at: int) -> int:
        held = self._line
        held += data[at : at + 2 - len(held)]
        if not b"\r\n".startswith(held):
            raise _refuse("a chunk that is longer than its size")
        if len(held) < 2:
            return len(data)
        taken = at + (2 if data.startswith(b"\r\n", at) else 1)
        held.clear()
        self._step = _SIZE
        return taken

    def _read_trailers(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1
        stop = end or len(data)
        self._spent += stop - at
        if self._spent > self._limits.head_bytes:
            raise too_large(f"trailers of more than {self._limits.head_bytes} bytes")
        self._line += data[at:stop]
        if end:
            line = bytes(self._line)
            self._line.clear()
            if line == b"\r\n":
                self.done = True
            else:
                self._take_trailer(line)
        return stop

    def _take_trailer(self, line: bytes) -> None:
        self._fields += 1
        if self._fields > self._limits.fields:
            raise too_large(f"more than {self._limits.fields} trailers")
        match = _trailer_line(line)
        if match is None:
            raise _refuse("a trailer that is no field")
        name, value = match.groups()
        kind = kind_of(name)
        if kind in _FRAMING:
            raise _refuse("a trailer that would frame the message")
        lower = name.lower()
        if not kind and lower not in _NEVER_TRAILERS and not lower.startswith(_NEVER_PREFIXES):
            self.trailers.append((name, value.rstrip(b" \t")))


_SIZE: Final = 0
_DATA: Final = 1
_AFTER: Final = 2
_TRAILERS: Final = 3


def _refuse(reason: str) -> Refusal:
    return Refusal(400, "body-malformed", reason)
