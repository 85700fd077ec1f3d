"""One question in MongoDB's words: which databases are there. Pure.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/ (OP_MSG). Answered with the
names when nobody must sign in, else by the error Unauthorized.
"""

from __future__ import annotations

import struct
from typing import Final

_MSG: Final = 2013
_NUMBER: Final = 0x7570
# Answers name the question; an echo does not.

_OK: Final = b"\x01ok\0" + struct.pack("<d", 1.0)


def _int(name: bytes, value: int) -> bytes:
    return b"\x10" + name + b"\0" + struct.pack("<i", value)


def _string(name: bytes, value: bytes) -> bytes:
    return b"\x02" + name + b"\0" + struct.pack("<i", len(value) + 1) + value + b"\0"


def _document(*members: bytes) -> bytes:
    body = b"".join(members)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _question() -> bytes:
    only_names = b"\x08nameOnly\0\x01"
    command = _document(_int(b"listDatabases", 1), only_names, _string(b"$db", b"admin"))
    body = struct.pack("<I", 0) + b"\0" + command
    return struct.pack("<iiii", len(body) + 16, _NUMBER, 0, _MSG) + body


LIST_DATABASES: Final = _question()


def is_whole(data: bytes) -> bool:
    """Whether all of a message has come."""
    return len(data) >= 16 and len(data) >= struct.unpack_from("<i", data)[0]


def is_listed(data: bytes) -> bool:
    """Whether it is an answer to our question, and names databases."""
    if len(data) < 21 or struct.unpack_from("<ii", data, 8) != (_NUMBER, _MSG):
        return False
    return b"\x04databases\0" in data and _OK in data
