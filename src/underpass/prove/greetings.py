"""How services greet: what to say first, and what their first bytes look like. Pure.

The proof of a service that was made local is its own greeting: a connection that is merely taken
proves nothing, since what listens here takes every connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_GREETING: Final = 512
"""More than the first bytes that any of them needs."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """One kind of service."""

    service: str
    say: bytes
    """What the visitor says first; b"" when the service does."""
    hears: re.Pattern[bytes]
    """What its answer begins with."""
    ports: tuple[int, ...] = ()
    """Where it usually listens."""


def _greeting(service: str, say: bytes, hears: bytes, *ports: int) -> Greeting:
    return Greeting(service, say, re.compile(hears, re.DOTALL), ports)


ANY: Final = "any"
"""No greeting is known: a connection that stays open for a moment is all that can be seen."""

# A TLS 1.2 ClientHello with one suite, which any server answers by a record: a hello or an alert.
_HELLO = bytes.fromhex("0303") + bytes(32) + b"\x00\x00\x02\xc0\x2f\x01\x00"
_CLIENT_HELLO: Final = (
    b"\x16\x03\x01"
    + (len(_HELLO) + 4).to_bytes(2, "big")
    + b"\x01"
    + len(_HELLO).to_bytes(3, "big")
    + _HELLO
)

GREETINGS: Final = (
    # SSLRequest: answered by one byte, without a login that a log would show as failed.
    _greeting("postgresql", bytes.fromhex("0000000804d2162f"), rb"[SN]\Z|E\x00", 5432, 5433, 6432),
    _greeting("mysql", b"", rb"....(?:\x0a|\xff)", 3306),
    _greeting("redis", b"PING\r\n", rb"\+PONG|-NOAUTH|-DENIED|-ERR", 6379),
    _greeting("memcached", b"version\r\n", rb"VERSION ", 11211),
    _greeting("ssh", b"", rb"SSH-", 22, 2222),
    _greeting("smtp", b"", rb"220[ -]", 25, 587),
    _greeting("ftp", b"", rb"220[ -]", 21),
    _greeting("imap", b"", rb"\* OK", 143),
    _greeting("pop3", b"", rb"\+OK", 110),
    _greeting("amqp", b"AMQP\x00\x00\x09\x01", rb"AMQP|\x01", 5672),
    _greeting("http", b"HEAD / HTTP/1.0\r\n\r\n", rb"HTTP/1\.", 80, 3000, 8000, 8080, 9200),
    _greeting("tls", _CLIENT_HELLO, rb"[\x15\x16]\x03", 443, 8443, 993, 995, 465, 636),
    _greeting("socks", b"\x05\x01\x00", rb"\x05\x00", 1080),
)

SERVICES: Final = (*(each.service for each in GREETINGS), ANY)


def greeting_of(service: str) -> Greeting | None:
    """The greeting of ``service``; None for ``any``. Raises ``KeyError``."""
    return None if service == ANY else {each.service: each for each in GREETINGS}[service]


def greeting_at(port: int) -> Greeting | None:
    """The greeting of what usually listens at ``port``."""
    return next((each for each in GREETINGS if port in each.ports), None)


def is_answered(greeting: Greeting, heard: bytes) -> bool | None:
    """Whether ``heard`` is the greeting; None while more bytes could make it one."""
    if greeting.hears.match(heard):
        return True
    return False if len(heard) >= 16 else None
