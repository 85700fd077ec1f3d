"""MySQL's handshake, as far as one sign-in without a password needs it. Pure.

https://dev.mysql.com/doc/dev/mysql-internals/ (protocol 10, handshake response 41). A sign-in that
is refused changes nothing; one that is admitted is left without a statement.
"""

from __future__ import annotations

import struct
from typing import Final

_PROTOCOL_41: Final = 0x0200
_SECURE: Final = 0x8000
_PLUGIN_AUTH: Final = 0x80000
_UTF8: Final = 33
_LARGEST_PACKET: Final = 1 << 24

OK: Final = 0x00
SWITCH: Final = 0xFE
ERROR: Final = 0xFF


def payload(data: bytes) -> bytes | None:
    """The first packet's payload, once it is whole."""
    if len(data) < 4:
        return None
    length = int.from_bytes(data[:3], "little")
    return data[4 : 4 + length] if len(data) >= 4 + length else None


def is_greeting(data: bytes) -> bool:
    """Whether a service introduces itself as MySQL or MariaDB."""
    packet = payload(data)
    if packet is None or data[3] != 0 or len(packet) < 40 or packet[0] != 10:
        return False
    version = packet[1:].split(b"\0", 1)[0]
    return version[:1].isdigit() and version.isascii()


def answer_mysql(greeting: bytes) -> bytes:
    """Sign in as root without a password, in the words of the oldest plugin that all know."""
    flags = _PROTOCOL_41 | _SECURE | _PLUGIN_AUTH
    body = struct.pack("<IIB23x", flags, _LARGEST_PACKET, _UTF8)
    body += b"root\0" + b"\0" + b"mysql_native_password\0"
    return _packet(1, body)


def answer_switch(answer: bytes) -> bytes:
    """No password in the words of the plugin that the service would rather have; b"" when it asks
    for nothing of the kind."""
    packet = payload(answer)
    if not packet or packet[0] != SWITCH:
        return b""
    return _packet(answer[3] + 1, b"")


def is_admitted(answer: bytes) -> bool:
    """Whether the last answer says that anybody is root."""
    packet = payload(answer)
    return bool(packet) and packet is not None and packet[0] == OK and answer[3] >= 2


def _packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body
