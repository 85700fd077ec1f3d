"""A visitor's socket at our own door: strict in, at once out, and never a cut answer as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.gatehouse.conftest import answering, raw_origin

from underpass.gatehouse import reader, reader_answer
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor, open_door
from underpass.guard.gates import Guard, IpGate

Make = Callable[..., Gatehouse]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: tools.example\r\n\r\n"
DEADLINE = 5.0


class Client:
    """A visitor on a real socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def expect(self, *parts: bytes) -> bytes:
        """Read until all ``parts`` have come, in order; everything read."""
        data = b""
        async with asyncio.timeout(DEADLINE):
            for part in parts:
                at = 0
                while (found := data.find(part, at)) < 0:
                    more = await self.reader.read(65536)
                    assert more, f"ended before {part!r}: {data!r}"
                    data += more
                at = found + len(part)
        return data

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()


@asynccontextmanager
async def door_to(
    gatehouse: Gatehouse,
    *,
    heartbeats: bool = False,
    fin_departs: bool = False,
    peer: Peer | None = None,
    unix: Path | None = None,
) -> AsyncIterator[Callable[[], object]]:
    """A door on a loopback port; gives a function that makes clients."""
    door = SocketDoor(
        gatehouse,
        DoorSettings(heartbeats=heartbeats, fin_departs=fin_departs),
        **({"peer_of": lambda transport: peer} if peer else {}),
    )
    server = await open_door(door, unix=unix)
    clients: list[Client] = []

    async def connect() -> Client:
        if unix is not None:
            made = await asyncio.open_unix_connection(str(unix))
        else:
            made = await asyncio.open_connection(*server.sockets[0].getsockname())
        clients.append(Client(*made))
        return clients[-1]

    try:
        yield connect
    finally:
        server.close()
        door.close()
        for client in clients:
            client.writer.close()


async def test_requests_follow_each_other_on_one_connection(make_gatehouse: Make):
    async with raw_origin(answering(OK, OK)) as origin:
        async with door_to(make_gatehouse(origin.text)) as connect:
            client = await connect()
            for _ in range(2):
                client.send(GET)
                answer = await client.expect(b"\r\n\r\nok")
                assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        assert origin.accepted == 1


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(make_gatehouse: Make):
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            target = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target) + target)

    async with raw_origin(echo) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        count = 50
        client.send(
            b"".join(
                b"GET /%03d HTTP/1.1\r\nHost: tools.example\r\n\r\n" % number
                for number in range(count)
            )
        )
        data = await client.expect(b"/%03d" % (count - 1))
        assert [part[:4] for part in data.split(b"\r\n\r\n")[1:]] == [
            b"/%03d" % number for number in range(count)
        ]
        assert origin.accepted == 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET //evil HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (b"GET / HTTP/1.1\nHost: a\n\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1\r\n\r\n", b"400"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"501"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
async def test_what_is_ambiguous_is_refused_and_the_connection_ends(
    make_gatehouse: Make, request_bytes: bytes, status: bytes
):
    async with raw_origin(answering(OK)) as origin:
        async with door_to(make_gatehouse(origin.text)) as connect:
            client = await connect()
            client.send(request_bytes + GET)
            answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"Connection: close" in answer
            assert answer.count(b"HTTP/1.1") == 1
        assert origin.accepted == 0


async def test_bad_chunk_after_a_good_head_is_refused(make_gatehouse: Make):
    async with raw_origin(answering(OK)) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 400")


async def test_upload_and_answer_flow_together(make_gatehouse: Make):
    async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (size := int(await reader.readline(), 16)) > 0:
            part = (await reader.readexactly(size + 2))[:-2].upper()
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        await reader.readline()
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async with raw_origin(upper) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for word in (b"one", b"two", b"three"):
            client.send(b"%x\r\n%b\r\n" % (len(word), word))
            await client.expect(word.upper())
        client.send(b"0\r\n\r\n")
        await client.expect(b"0\r\n\r\n")


async def test_large_upload_waits_for_a_slow_origin(make_gatehouse: Make):
    go = asyncio.Event()
    size = 32 * 1024 * 1024

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        await reader.readexactly(size)
        writer.write(OK)
        await reader.read()

    async with raw_origin(slow) as origin:
        gatehouse = make_gatehouse(origin.text)
        async with door_to(gatehouse) as connect:
            client = await connect()
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            client.send(bytes(size))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.writer.drain()
            go.set()
            await client.expect(b"\r\n\r\nok")
            assert gatehouse.statistics().bytes_up == size


async def test_visitor_that_resets_is_a_departure_within_a_second(make_gatehouse: Make):
    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\n")
        await reader.read()

    async with raw_origin(events) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        client.send(GET)
        await client.expect(b": hi")
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        async with asyncio.timeout(1):
            await origin.until(lambda origin: origin.closed)


@pytest.mark.parametrize(("accept", "fin_departs"), [(b"text/event-stream", False), (b"*/*", True)])
async def test_fin_is_a_departure_where_nobody_half_closes(
    make_gatehouse: Make, accept: bytes, fin_departs: bool
):
    async with (
        raw_origin(answering()) as origin,
        door_to(make_gatehouse(origin.text), fin_departs=fin_departs) as connect,
    ):
        client = await connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: " + accept + b"\r\n\r\n")
        await origin.until(lambda origin: origin.accepted)
        client.writer.write_eof()
        async with asyncio.timeout(1):
            await origin.until(lambda origin: origin.closed)


async def test_fin_after_a_plain_request_is_a_half_close(make_gatehouse: Make):
    go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        writer.write(OK)
        await reader.read()

    async with raw_origin(slow) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        client.send(GET)
        client.writer.write_eof()
        await origin.until(lambda origin: origin.accepted)
        go.set()
        answer = await client.rest()
        assert answer.endswith(b"\r\n\r\nok")
        assert b"Connection: close" in answer


async def test_reset_is_seen_while_the_upload_is_paused(make_gatehouse: Make):
    left = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with raw_origin(never) as origin:
        gatehouse = make_gatehouse(origin.text, on_exchange=lambda record: left.set())
        async with door_to(gatehouse) as connect:
            client = await connect()
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
            client.send(bytes(32 * 1024 * 1024))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.writer.drain()
            sock = client.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.writer.transport.abort()
            async with asyncio.timeout(1.5):
                await left.wait()


async def test_answer_cut_short_ends_the_connection_without_its_last_chunk(make_gatehouse: Make):
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    async with raw_origin(cut) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        client.send(GET)
        data = b""
        with contextlib.suppress(ConnectionError):
            while more := await client.reader.read(65536):
                data += more
        assert data.endswith(b"abc\r\n")
        assert b"0\r\n\r\n" not in data


async def test_expect_continue_reaches_the_visitor(make_gatehouse: Make):
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(4) == b"body"
        writer.write(OK)
        await reader.read()

    async with raw_origin(handle) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        client.send(
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        await client.expect(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"body")
        await client.expect(b"\r\n\r\nok")


async def test_refused_upload_gets_its_answer_before_the_close(make_gatehouse: Make):
    guard = Guard([IpGate(["10.0.0.0/8"])])
    async with raw_origin(answering()) as origin:
        async with door_to(make_gatehouse(origin.text, guard=guard)) as connect:
            client = await connect()
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
            client.send(bytes(1_000_000))
            answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 403")
        assert origin.accepted == 0


async def test_http10_visitor_gets_no_chunks(make_gatehouse: Make):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with (
        raw_origin(answering(chunked)) as origin,
        door_to(make_gatehouse(origin.text)) as connect,
    ):
        client = await connect()
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        answer = await client.rest()
        assert answer == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"


async def test_upgrade_becomes_bytes_both_ways(make_gatehouse: Make):
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Upgrade: shout/1" in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
            b"Upgrade: shout/1\r\n\r\nWELCOME"
        )
        while data := await reader.read(65536):
            writer.write(data.upper())
        writer.write(b"BYE")

    async with raw_origin(shout) as origin:
        gatehouse = make_gatehouse(origin.text)
        async with door_to(gatehouse) as connect:
            client = await connect()
            client.send(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout/1\r\n\r\nearly"
            )
            await client.expect(b"101", b"WELCOME")
            client.send(b"hello")
            await client.expect(b"HELLO")
            client.writer.write_eof()
            assert (await client.rest()).endswith(b"BYE")
            await origin.until(lambda origin: origin.closed)
            numbers = gatehouse.statistics()
            assert (numbers.open_http, numbers.open_bytes) == (0, 0)


async def test_refused_upgrade_goes_on_as_http(make_gatehouse: Make):
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    async with (
        raw_origin(answering(refusal, OK)) as origin,
        door_to(make_gatehouse(origin.text)) as connect,
    ):
        client = await connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + GET)
        await client.expect(b"HTTP/1.1 400", b"\r\n\r\nok")


async def test_silent_event_stream_gets_comments_between_events_only(
    make_gatehouse: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reader_answer, "AFTER_SILENCE", 0.05)
    turn = asyncio.Queue[bytes]()

    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while part := await turn.get():
            writer.write(part)

    async with (
        raw_origin(events) as origin,
        door_to(make_gatehouse(origin.text), heartbeats=True) as connect,
    ):
        client = await connect()
        client.send(GET)
        await client.expect(b"3\r\n:\n\n\r\n", b"3\r\n:\n\n\r\n")
        turn.put_nowait(b"data: half")
        await client.expect(b"half")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.expect(b":\n\n")
        turn.put_nowait(b"\n\n")
        await client.expect(b"\n\n", b":\n\n")
        turn.put_nowait(b"")
        await client.expect(b"0\r\n\r\n")


async def test_door_without_heartbeats_inserts_none(
    make_gatehouse: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reader_answer, "AFTER_SILENCE", 0.05)
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: first\n\n"
    async with (
        raw_origin(answering(stream)) as origin,
        door_to(make_gatehouse(origin.text)) as connect,
    ):
        client = await connect()
        client.send(GET)
        await client.expect(b"first\n\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.reader.read(1000)


async def test_unix_socket_door(make_gatehouse: Make, tmp_path: Path):
    async with (
        raw_origin(answering(OK)) as origin,
        door_to(make_gatehouse(origin.text), unix=tmp_path / "d.sock") as connect,
    ):
        client = await connect()
        client.send(GET)
        await client.expect(b"\r\n\r\nok")


async def test_door_believes_no_address_unless_told(make_gatehouse: Make):
    guard = Guard([IpGate(["127.0.0.0/8"])])
    async with raw_origin(answering(OK, OK)) as origin:
        gatehouse = make_gatehouse(origin.text, guard=guard)
        async with door_to(gatehouse) as connect:
            client = await connect()
            client.send(GET)
            await client.expect(b"HTTP/1.1 403")
        async with door_to(gatehouse, peer=Peer("127.0.0.1", 1)) as connect:
            client = await connect()
            client.send(GET)
            await client.expect(b"HTTP/1.1 200")


# Visitors that take their time (faults.md T15).


async def test_head_that_drips_is_late_however_often_it_drips(
    make_gatehouse: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reader, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(reader, "TICK_SECONDS", 0.05)
    async with raw_origin(answering()) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        client.send(b"GET / HTTP/1.1\r\n")
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not client.reader.at_eof() and loop.time() - started < DEADLINE:
            client.send(b"A: b\r\n")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    answer = await client.reader.read(65536)
                    break
        assert answer.startswith(b"HTTP/1.1 408")
        assert origin.accepted == 0


async def test_silent_connection_is_closed(make_gatehouse: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(reader, "IDLE_SECONDS", 0.1)
    async with raw_origin(answering(OK)) as origin, door_to(make_gatehouse(origin.text)) as connect:
        silent = await connect()
        assert await silent.rest() == b""
        client = await connect()
        client.send(GET)
        assert (await client.rest()).endswith(b"ok")


async def test_body_that_stalls_is_broken_off(
    make_gatehouse: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reader, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(reader, "STALL_SECONDS", 0.1)
    async with raw_origin(answering()) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        with contextlib.suppress(ConnectionError):
            assert await client.rest() == b""
        await origin.until(lambda origin: origin.closed)


async def test_slow_answer_is_nobodys_fault(make_gatehouse: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "HEAD_SECONDS", 0.02)
    monkeypatch.setattr(reader, "STALL_SECONDS", 0.02)
    monkeypatch.setattr(reader, "IDLE_SECONDS", 0.02)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)  # the wait itself is what is tested
        writer.write(OK)
        await reader.read()

    async with raw_origin(slow) as origin, door_to(make_gatehouse(origin.text)) as connect:
        client = await connect()
        client.send(GET)
        assert (await client.rest()).endswith(b"ok")
