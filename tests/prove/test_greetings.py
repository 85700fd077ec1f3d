"""How services greet, and what is taken for a greeting."""

from __future__ import annotations

import asyncio

import pytest

from underpass.prove.greeting_probe import greet
from underpass.prove.greetings import GREETINGS, SERVICES, greeting_at, greeting_of, is_answered
from underpass.testing.origins.tcp import TcpEcho

SEEN = {
    "postgresql": b"N",
    "mysql": b"\x4a\x00\x00\x00\x0a8.0.36\x00",
    "redis": b"-NOAUTH Authentication required.\r\n",
    "memcached": b"VERSION 1.6.18\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n",
    "smtp": b"220 mail.example.com ESMTP\r\n",
    "ftp": b"220 (vsFTPd 3.0.3)\r\n",
    "imap": b"* OK [CAPABILITY IMAP4rev1]\r\n",
    "pop3": b"+OK ready\r\n",
    "amqp": b"\x01\x00\x00\x00\x00\x01\xf6\x00\x0a\x00\x0a",
    "http": b"HTTP/1.1 200 OK\r\n",
    "tls": b"\x15\x03\x03\x00\x02\x02\x28",
    "socks": b"\x05\x00",
}


@pytest.mark.parametrize("service", [each.service for each in GREETINGS])
def test_a_service_is_known_by_its_greeting_and_by_no_other(service: str) -> None:
    greeting = greeting_of(service)
    assert greeting is not None
    assert is_answered(greeting, SEEN[service])
    alike = {frozenset({"smtp", "ftp"}), frozenset({"amqp", "http"})}
    for other, said in SEEN.items():
        if other != service and frozenset({service, other}) not in alike:
            assert not is_answered(greeting, said), other


def test_usual_ports_name_one_service_each() -> None:
    ports = [port for each in GREETINGS for port in each.ports]
    assert len(ports) == len(set(ports))
    assert greeting_at(5432) is greeting_of("postgresql")
    assert greeting_at(9) is None
    assert greeting_of("any") is None
    assert SERVICES[-1] == "any"


async def test_a_port_that_takes_and_drops_connections_proves_nothing() -> None:
    server = await asyncio.start_server(lambda r, w: w.transport.abort(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for service in ("postgresql", "any"):
            assert not (await greet("127.0.0.1", port, greeting_of(service))).ok
    assert (await greet("127.0.0.1", port, None)).detail == "connection refused"


async def test_a_connection_that_stays_open_is_all_that_is_known_of_a_silent_service() -> None:
    async with TcpEcho() as silent:
        found = await greet(silent.host, silent.port, None)
    assert found.ok
    assert found.detail == "the connection stays open; no greeting of it is known"
