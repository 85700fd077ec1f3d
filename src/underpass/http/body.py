"""Framing of bodies as they are written: sized, chunked, ended by the close, or none.

Parts are never copied: a chunk is three buffers, for a transport's ``writelines``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol

from underpass.http.errors import BodyLengthWrong, HeadInvalid
from underpass.http.grammar import is_value
from underpass.http.messages import Headers
from underpass.http.names import kind_of

Buffers = Sequence[bytes | bytearray | memoryview]
"""Buffers to write in order."""


class BodyFraming(Protocol):
    """Writes one body."""

    closes: ClassVar[bool]
    """Whether only the end of the connection ends this body."""

    @abstractmethod
    def data(self, part: bytes | bytearray | memoryview) -> Buffers:
        """The buffers that carry ``part``. Raises ``BodyLengthWrong`` for a byte too many."""

    @abstractmethod
    def end(self, trailers: Headers | None = None) -> Buffers:
        """The buffers that end the body. Raises ``BodyLengthWrong`` when bytes are missing: then
        the connection must be broken off. Trailers are written where the framing can carry them;
        ``HeadInvalid`` when they are no fields."""


class NoBody:
    """No body follows the head: parts are refused."""

    closes: ClassVar[bool] = False

    def data(self, part: bytes | bytearray | memoryview) -> Buffers:
        """See ``BodyFraming``."""
        if len(part):
            raise BodyLengthWrong(expected=0, seen=len(part))
        return ()

    def end(self, trailers: Headers | None = None) -> Buffers:
        """See ``BodyFraming``."""
        return ()


class SizedBody:
    """Exactly ``size`` bytes."""

    closes: ClassVar[bool] = False
    __slots__ = ("_seen", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen = 0

    def data(self, part: bytes | bytearray | memoryview) -> Buffers:
        """See ``BodyFraming``."""
        self._seen += len(part)
        if self._seen > self._size:
            raise BodyLengthWrong(expected=self._size, seen=self._seen)
        return (part,)

    def end(self, trailers: Headers | None = None) -> Buffers:
        """See ``BodyFraming``."""
        if self._seen != self._size:
            raise BodyLengthWrong(expected=self._size, seen=self._seen)
        return ()


class ChunkedBody:
    """Any number of bytes, each part a chunk."""

    closes: ClassVar[bool] = False
    __slots__ = ()

    def data(self, part: bytes | bytearray | memoryview) -> Buffers:
        """See ``BodyFraming``."""
        size = len(part)
        # An empty chunk would end the body.
        return (b"%x\r\n" % size, part, b"\r\n") if size else ()

    def end(self, trailers: Headers | None = None) -> Buffers:
        """See ``BodyFraming``."""
        if not trailers:
            return (b"0\r\n\r\n",)
        lines = [b"0"]
        for name, value in trailers:
            if kind_of(name) or not is_value(value):
                raise HeadInvalid("a trailer is no field that may trail")
            lines.append(name + b": " + value)
        return (b"\r\n".join((*lines, b"", b"")),)


class CloseDelimitedBody:
    """Bytes until the connection ends: for visitors that speak HTTP/1.0."""

    closes: ClassVar[bool] = True
    __slots__ = ()

    def data(self, part: bytes | bytearray | memoryview) -> Buffers:
        """See ``BodyFraming``."""
        return (part,)

    def end(self, trailers: Headers | None = None) -> Buffers:
        """See ``BodyFraming``."""
        return ()
