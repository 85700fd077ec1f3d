"""What databases and debuggers answer, byte by byte: who lets strangers in and who does not."""

from __future__ import annotations

import struct

import pytest

from underpass.guard.preflight.services import (
    SERVICES,
    is_greeting_whole,
    read_greeting,
    read_mysql,
)
from underpass.guard.preflight.services_mongodb import LIST_DATABASES, is_whole
from underpass.guard.preflight.services_mysql import answer_switch

pytestmark = pytest.mark.pure

BY_CODE = {service.code: service for service in SERVICES}


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("database-redis", b"+PONG\r\n"),
        ("database-memcached", b"VERSION 1.6.18\r\n"),
        ("database-postgresql", b"R\0\0\0\x08\0\0\0\0S\0\0\0\x16"),
    ],
)
def test_a_service_that_lets_strangers_in_is_found(code: str, answer: bytes):
    finding = BY_CODE[code].find(answer, "connect localhost:1")
    assert finding is not None
    assert finding.code == code
    assert "underpass reach" in finding.hint


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("database-redis", b"-NOAUTH Authentication required.\r\n"),
        ("database-redis", b"-DENIED Redis is running in protected mode\r\n"),
        ("database-redis", b"PING\r\n"),  # an echo
        ("database-memcached", b"version\r\n"),
        ("database-memcached", b"ERROR unauthenticated\r\n"),
        ("database-memcached", b"VERSION of the century\r\n"),
        ("database-postgresql", b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"),
        ("database-postgresql", b"R\0\0\0\x0c\0\0\0\x05salt"),
        ("database-postgresql", b"E\0\0\0\x10SFATAL\0"),
        ("database-mongodb", b""),
        ("database-mongodb", LIST_DATABASES),  # an echo
    ],
)
def test_a_service_that_does_not_is_let_be(code: str, answer: bytes):
    assert BY_CODE[code].find(answer, "connect localhost:1") is None


def mongodb(body: bytes) -> bytes:
    body = struct.pack("<I", 0) + b"\0" + struct.pack("<i", len(body) + 5) + body + b"\0"
    number = struct.unpack_from("<i", LIST_DATABASES, 4)[0]
    return struct.pack("<iiii", len(body) + 16, 99, number, 2013) + body


def test_a_mongodb_that_lists_its_databases_is_found_and_one_that_refuses_is_not():
    ok = b"\x01ok\0" + struct.pack("<d", 1.0)
    listed = mongodb(b"\x04databases\0\x05\0\0\0\0" + ok)
    refused = mongodb(b"\x01ok\0" + struct.pack("<d", 0.0) + b"\x10code\0\x0d\0\0\0")
    service = BY_CODE["database-mongodb"]
    assert is_whole(listed)
    assert not is_whole(listed[:-1])
    assert service.find(listed, "connect") is not None
    assert service.find(refused, "connect") is None


def mysql(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


GREETING = mysql(0, b"\x0a10.11.19-MariaDB\0" + bytes(60))


def test_a_mysql_that_introduces_itself_is_asked_for_a_session_without_a_password():
    greeted = read_greeting(GREETING, "connect")
    assert is_greeting_whole(GREETING)
    assert greeted.finding is None
    assert b"root\0" in greeted.reply
    switch = mysql(2, b"\xfecaching_sha2_password\0salt")
    assert answer_switch(switch) == mysql(3, b"")
    found = read_mysql(mysql(4, b"\0\0\0\x02\0\0\0"), "connect")
    assert found is not None
    assert found.code == "database-mysql"


def test_a_mysql_that_refuses_root_is_let_be():
    refused = mysql(2, b"\xff\x15\x04#28000Access denied for user 'root'")
    assert answer_switch(refused) == b""
    assert read_mysql(refused, "connect") is None
    assert read_mysql(b"", "connect") is None


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"220 mail.example.com ESMTP\r\n", b"", b"\0" * 80]
)
def test_other_greetings_tell_nothing(said: bytes):
    greeted = read_greeting(said, "connect")
    assert (greeted.finding, greeted.reply) == (None, b"")


def test_a_debug_adapter_is_known_by_its_first_event():
    event = b'{"seq": 1, "type": "event", "event": "output", "body": {"category": "telemetry"}}'
    said = b"Content-Length: %d\r\n\r\n%b" % (len(event), event)
    greeted = read_greeting(said, "connect")
    assert greeted.finding is not None
    assert greeted.finding.code == "debugger-debugpy"
