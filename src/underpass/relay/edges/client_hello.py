"""What a TLS ClientHello says before anybody answers it: the server name and the ALPN list.

Pure and strict: bytes that have merely been looked at go in, the two facts come out. Whatever is
not exactly a ClientHello of TLS 1.0 to 1.3, whose lengths all agree, is refused; nothing else in
it is judged, that is the TLS library's work. The message may span several records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from underpass.model.errors import PeerFault

MAX_BYTES: Final = 16 * 1024
_RECORD_HEADER: Final = 5
_MESSAGE_HEADER: Final = 4
_MAX_FRAGMENT: Final = 16 * 1024
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_HOST_NAME: Final = 0

_NAME_BYTES: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-.")


@dataclass(eq=False)
class ClientHelloRefused(PeerFault):
    """The first bytes on a TLS port are not a ClientHello that can be told apart."""

    reason: str

    code = "client-hello-refused"
    sentence = "cannot tell which name the TLS visitor wants: {reason}"
    hint_text = "the port speaks TLS: use https://"


@dataclass(frozen=True, slots=True)
class ClientHello:
    """The two facts that decide where a TLS connection goes."""

    server_name: str
    """Lower-case, or "" when the visitor named none."""
    protocols: tuple[bytes, ...]
    """The ALPN list in the visitor's order."""


def parse_client_hello(data: bytes, limit: int = MAX_BYTES) -> ClientHello | int:
    """Return the facts, or how many bytes are needed in all before asking again.

    Raises ``ClientHelloRefused`` as soon as it is clear that no ClientHello of at most ``limit``
    bytes, record headers included, can come of it.
    """
    message = bytearray()
    at = 0
    while True:
        if len(data) < at + _RECORD_HEADER:
            _check_record_start(data[at:])
            return _needed(at + _RECORD_HEADER, limit)
        _check_record_start(data[at : at + _RECORD_HEADER])
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if not 0 < length <= _MAX_FRAGMENT:
            raise ClientHelloRefused("a record of impossible length")
        start = at + _RECORD_HEADER
        message += data[start : start + length]
        at = start + length
        if message and message[0] != _CLIENT_HELLO:
            raise ClientHelloRefused("the handshake begins with another message")
        if len(message) >= _MESSAGE_HEADER:
            size = _MESSAGE_HEADER + int.from_bytes(message[1:4], "big")
            if size > limit:
                raise ClientHelloRefused("it is too large")
            if len(message) >= size:
                if len(message) > size:
                    raise ClientHelloRefused("something follows it unasked")
                return _parse_body(bytes(message[_MESSAGE_HEADER:]))
        if at > len(data):
            return _needed(at, limit)


def _needed(count: int, limit: int) -> int:
    if count > limit:
        raise ClientHelloRefused("it is too large")
    return count


def _check_record_start(start: bytes) -> None:
    """Judge as much of a record header as is there: an HTTP request is refused at its 1st byte."""
    if start and start[0] != _HANDSHAKE:
        raise ClientHelloRefused("this is not TLS")
    if len(start) > 1 and start[1] != 3:
        raise ClientHelloRefused("this is not TLS")
    if len(start) > 2 and start[2] > 4:
        raise ClientHelloRefused("this is not TLS")


class _Cursor:
    """Reads length-prefixed vectors from front to back; every overrun is a refusal."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise ClientHelloRefused("a length inside it points outside")
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))

    @property
    def more(self) -> bool:
        return self._at < len(self._data)


def _parse_body(body: bytes) -> ClientHello:
    hello = _Cursor(body)
    if hello.take(1) != b"\x03":
        raise ClientHelloRefused("it asks for an unknown version")
    hello.take(1 + 32)  # the minor version, which TLS 1.3 froze, and the random
    if len(hello.vector(1)) > 32:
        raise ClientHelloRefused("its session id is too long")
    suites = hello.vector(2)
    if len(suites) < 2 or len(suites) % 2:
        raise ClientHelloRefused("its cipher list is malformed")
    if not hello.vector(1):
        raise ClientHelloRefused("its compression list is empty")
    if not hello.more:
        return ClientHello("", ())
    extensions = _Cursor(hello.vector(2))
    if hello.more:
        raise ClientHelloRefused("something follows its extensions")
    seen: dict[int, bytes] = {}
    while extensions.more:
        kind = extensions.number(2)
        if kind in seen:
            raise ClientHelloRefused("an extension stands in it twice")
        seen[kind] = extensions.vector(2)
    name = _parse_server_name(seen[_SERVER_NAME]) if _SERVER_NAME in seen else ""
    protocols = _parse_alpn(seen[_ALPN]) if _ALPN in seen else ()
    return ClientHello(name, protocols)


def _parse_server_name(extension: bytes) -> str:
    """Exactly one entry of type host_name: two names could be read differently by two readers."""
    outer = _Cursor(extension)
    entries = _Cursor(outer.vector(2))
    if outer.more or not entries.more or entries.number(1) != _HOST_NAME:
        raise ClientHelloRefused("its server name is malformed")
    name = entries.vector(2).lower()
    if entries.more or not 0 < len(name) <= 253 or not _NAME_BYTES.issuperset(name):
        raise ClientHelloRefused("its server name is malformed")
    text = name.decode("ascii")
    if any(not 0 < len(label) <= 63 for label in text.split(".")):
        raise ClientHelloRefused("its server name is malformed")
    return text


def _parse_alpn(extension: bytes) -> tuple[bytes, ...]:
    outer = _Cursor(extension)
    names = _Cursor(outer.vector(2))
    protocols = []
    while names.more:
        name = names.vector(1)
        if not name:
            raise ClientHelloRefused("its protocol list is malformed")
        protocols.append(name)
    if outer.more or not protocols:
        raise ClientHelloRefused("its protocol list is malformed")
    return tuple(protocols)
