"""A visitor whose TLS ends here: real clients, a stream in between that sees only records."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trustme
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions
from tests.gatehouse.conftest import RecordingVisitor, answering, raw_origin

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.ports import Exchange, Peer
from underpass.guard.gates import Guard, Hold, Outcome, Pass
from underpass.http.messages import RequestHead

Make = Callable[..., Gatehouse]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: tools.example\r\n\r\n"


class Relay(asyncio.Protocol):
    """What a lane is to the gatehouse: takes sockets, passes bytes, gives room and credit."""

    def __init__(self, gatehouse: Gatehouse) -> None:
        self.gatehouse = gatehouse
        self.seen = bytearray()
        self.blocked = False
        self.credit = 64 * 1024
        self.exchange: Exchange | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.exchange = self.gatehouse.open_tls(self, Peer("203.0.113.9", 1))

    def data_received(self, data: bytes) -> None:
        self.seen += data
        self.credit -= len(data)
        if self.credit <= 0:
            self.transport.pause_reading()
        self.exchange.data_received(memoryview(data))

    def eof_received(self) -> bool:
        self.exchange.end_received()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.exchange.visitor_left("visitor-left")

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        self.exchange.resume_writing()

    # ports.Visitor

    @property
    def room(self) -> int:
        return 0 if self.blocked else 64 * 1024

    def send_data(self, data: bytes) -> bool:
        self.transport.write(data)
        return not self.blocked

    def send_end(self) -> None:
        if not self.transport.is_closing():
            self.transport.write_eof()

    def abort(self, code: str) -> None:
        self.transport.abort()

    def stop(self, code: str) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def drained(self, count: int) -> None:
        self.credit += count
        if self.credit > 0 and not self.transport.is_closing():
            self.transport.resume_reading()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("tools.example").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def relay_to(gatehouse: Gatehouse) -> AsyncIterator[tuple[int, list[Relay]]]:
    relays: list[Relay] = []

    def make() -> Relay:
        relays.append(Relay(gatehouse))
        return relays[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], relays
    finally:
        server.close()
        for relay in relays:
            relay.transport.abort()


async def test_requests_come_through_and_the_relay_sees_no_word_of_them(
    make_gatehouse: Make, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
):
    async with raw_origin(answering(OK, OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        gatehouse.set_tls(server_tls)
        async with relay_to(gatehouse) as (port, relays):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_tls, server_hostname="tools.example"
            )
            for _ in range(2):
                writer.write(GET)
                async with asyncio.timeout(5):
                    head = await reader.readuntil(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 200 OK")
                    assert await reader.readexactly(2) == b"ok"
            assert b"Host" not in relays[0].seen
            writer.close()
            await writer.wait_closed()
        assert origin.accepted == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_large_bodies_both_ways_within_the_credit(
    make_gatehouse: Make,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    version: ssl.TLSVersion,
):
    size = 4 * 1024 * 1024

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body)
        await writer.drain()
        await reader.read()

    client_tls.maximum_version = client_tls.minimum_version = version
    async with raw_origin(echo) as origin:
        gatehouse = make_gatehouse(origin.text)
        gatehouse.set_tls(server_tls)
        async with relay_to(gatehouse) as (port, _):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_tls, server_hostname="tools.example"
            )
            body = bytes(range(256)) * (size // 256)
            writer.write(
                b"PUT / HTTP/1.1\r\nHost: tools.example\r\nContent-Length: %d\r\n\r\n" % size
            )
            writer.write(body)
            async with asyncio.timeout(20):
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(size) == body
            writer.close()
            await writer.wait_closed()


async def test_visitor_that_leaves_takes_the_stream_along(
    make_gatehouse: Make, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
):
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\n"
    for way in ("close", "reset"):
        async with raw_origin(answering(stream)) as origin:
            gatehouse = make_gatehouse(origin.text)
            gatehouse.set_tls(server_tls)
            async with relay_to(gatehouse) as (port, _):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=client_tls, server_hostname="tools.example"
                )
                writer.write(GET)
                async with asyncio.timeout(5):
                    await reader.readuntil(b": hi")
                if way == "reset":
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                else:
                    writer.close()
                async with asyncio.timeout(1):
                    await origin.until(lambda origin: origin.closed)


async def test_noise_instead_of_tls_breaks_the_stream(
    make_gatehouse: Make, server_tls: ssl.SSLContext
):
    gatehouse = make_gatehouse("127.0.0.1:1")
    gatehouse.set_tls(server_tls)
    visitor = RecordingVisitor()
    gatehouse.open_tls(visitor, Peer("")).data_received(GET)
    assert (visitor.aborted, visitor.stopped) == ("tls-handshake-failed", "tls-handshake-failed")


async def test_without_a_certificate_of_ours_the_stream_is_refused(make_gatehouse: Make):
    gatehouse = make_gatehouse("127.0.0.1:1")
    visitor = RecordingVisitor()
    exchange = gatehouse.open_tls(visitor, Peer(""))
    assert visitor.aborted == "tls-not-ours"
    exchange.data_received(b"\x16\x03\x01")
    exchange.end_received()


async def test_malformed_request_is_refused_over_tls_too(
    make_gatehouse: Make, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
):
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        gatehouse.set_tls(server_tls)
        async with relay_to(gatehouse) as (port, _):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_tls, server_hostname="tools.example"
            )
            writer.write(b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: a\r\n\r\n")
            async with asyncio.timeout(5):
                assert (await reader.read()).startswith(b"HTTP/1.1 400")
            writer.close()
        assert origin.accepted == 0


async def test_websocket_over_passthrough(
    make_gatehouse: Make, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
):
    async def shout(socket: websockets.asyncio.server.ServerConnection) -> None:
        async for message in socket:
            await socket.send(message.upper())

    async with websockets.asyncio.server.serve(shout, "127.0.0.1", 0) as server:
        gatehouse = make_gatehouse(f"{server.sockets[0].getsockname()[1]}")
        gatehouse.set_tls(server_tls)
        async with (
            relay_to(gatehouse) as (port, _),
            websockets.asyncio.client.connect(
                "wss://tools.example/", host="127.0.0.1", port=port, ssl=client_tls
            ) as client,
        ):
            for message in ("hello", "x" * 300_000):
                await client.send(message)
                async with asyncio.timeout(5):
                    assert await client.recv() == message.upper()


class Held:
    """A gate whose passes the test takes back."""

    kind = text = "held"

    def __init__(self) -> None:
        self.hold = Hold()

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        return Pass(holds=(self.hold,))


async def test_a_websocket_over_passthrough_is_told_by_1008(
    make_gatehouse: Make, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
):
    async def wait(socket: websockets.asyncio.server.ServerConnection) -> None:
        with suppress(websockets.exceptions.ConnectionClosedError):
            await socket.send(await socket.recv())
            await socket.recv()

    async with websockets.asyncio.server.serve(wait, "127.0.0.1", 0) as server:
        gate = Held()
        port = server.sockets[0].getsockname()[1]
        gatehouse = make_gatehouse(f"{port}", guard=Guard([gate]))
        gatehouse.set_tls(server_tls)
        async with relay_to(gatehouse) as (public, _), asyncio.timeout(5):
            client = await websockets.asyncio.client.connect(
                "wss://tools.example/", host="127.0.0.1", port=public, ssl=client_tls
            )
            await client.send("hello")
            assert await client.recv() == "hello"
            gate.hold.cut()
            with pytest.raises(websockets.exceptions.ConnectionClosedError):
                await client.recv()
            assert (client.close_code, client.close_reason) == (1008, "admission-revoked")
