"""Asking services that do not speak HTTP whether they let strangers in. Pure.

A service is one or more messages, each with what its answer means. None writes: Redis is pinged,
Memcached asked for its version, PostgreSQL and MySQL for a session that is left at once, MongoDB
for the names of its databases. What a debugger says unasked is only read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from underpass.guard.preflight.findings import REACH, Finding
from underpass.guard.preflight.services_mongodb import LIST_DATABASES, is_listed, is_whole
from underpass.guard.preflight.services_mysql import answer_mysql, is_admitted, is_greeting

MOST_BYTES: Final = 64 * 1024
"""Read of one answer."""

_ADAPTER: Final = re.compile(
    rb'\AContent-Length: \d+\r\n\r\n\s*\{[^{}]{0,60}"type":\s*"event",\s*"event":\s*"output"'
)


@dataclass(frozen=True, slots=True)
class Service:
    """One question to a port."""

    code: str
    what: str
    question: bytes
    is_whole: Callable[[bytes], bool]
    """Whether the answer has come."""
    is_open: Callable[[bytes], bool]
    """Whether it says that anybody is let in."""
    asked: str
    harmless: str
    """Why the question changes nothing."""

    def find(self, answer: bytes, where: str) -> Finding | None:
        """What ``answer`` shows."""
        if not self.is_open(answer):
            return None
        return Finding(self.code, self.what, where, self._seen(answer), REACH)

    def _seen(self, answer: bytes) -> str:
        first = answer.split(b"\n", 1)[0].strip()[:40]
        return first.decode() if first.isascii() and first.decode().isprintable() else "let in"


def _startup() -> bytes:
    body = struct.pack(">I", 196_608) + b"user\0postgres\0database\0postgres\0\0"  # protocol 3.0
    return struct.pack(">I", len(body) + 4) + body


SERVICES: Final = (
    Service(
        "database-redis",
        "a Redis that asks for no password",
        b"PING\r\n",
        lambda data: b"\r\n" in data,
        lambda data: data == b"+PONG\r\n",
        "PING",
        "Redis answers and does nothing",
    ),
    Service(
        "database-memcached",
        "a Memcached, which asks for no password",
        b"version\r\n",
        lambda data: b"\r\n" in data,
        lambda data: re.fullmatch(rb"VERSION \d[\w.-]*\r\n", data) is not None,
        "version",
        "Memcached answers and does nothing",
    ),
    Service(
        "database-postgresql",
        "a PostgreSQL that trusts whoever comes",
        _startup(),
        lambda data: len(data) >= 9,
        lambda data: data.startswith(b"R\0\0\0\x08\0\0\0\0"),
        "a session of postgres without a password",
        "PostgreSQL begins a session that is left without a statement",
    ),
    Service(
        "database-mongodb",
        "a MongoDB that asks for no password",
        LIST_DATABASES,
        is_whole,
        is_listed,
        "listDatabases",
        "MongoDB reads names",
    ),
)
"""Asked of whatever does not speak first."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """What can be said to a service that speaks first."""

    finding: Finding | None = None
    reply: bytes = b""
    """To be sent on the same connection; b"" for nothing."""


def is_greeting_whole(data: bytes) -> bool:
    """Whether nothing more need be waited for."""
    return bool(_ADAPTER.match(data)) or is_greeting(data)


def read_greeting(data: bytes, where: str) -> Greeted:
    """Judge what a service says unasked."""
    if _ADAPTER.match(data):
        what = "a debugger (debugpy), which runs what it is told"
        return Greeted(Finding("debugger-debugpy", what, where, "its first event", REACH))
    if is_greeting(data):
        return Greeted(reply=answer_mysql(data))
    return Greeted()


def read_mysql(answer: bytes, where: str) -> Finding | None:
    """Judge what MySQL answers to ``Greeted.reply``."""
    if not is_admitted(answer):
        return None
    what = "a MySQL or MariaDB whose root has no password"
    return Finding("database-mysql", what, where, "let in as root", REACH)
