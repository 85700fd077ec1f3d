"""Byte streams: bytes, FIN and reset pass as what they are; nobody is dialled before the gate."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest
from tests.gatehouse.conftest import KEY, RecordingVisitor, raw_origin

from underpass.gatehouse.books import ExchangeRecord
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.proof import check_tcp_answer
from underpass.guard.gates import BearerGate, Guard, IpGate
from underpass.guard.secrets import hash_token

Make = Callable[..., Gatehouse]
PEER = Peer("203.0.113.9", 40_000)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def until_eof_then_count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    data = await reader.read()
    writer.write(b"%d bytes" % len(data))


def reset(writer: asyncio.StreamWriter) -> None:
    """Make the close of ``writer`` a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_bytes_sent_before_the_dial_is_done_arrive_in_order(make_gatehouse: Make):
    async with raw_origin(echo) as origin:
        visitor = RecordingVisitor()
        exchange = make_gatehouse(f"tcp://{origin.text}").open_bytes(visitor, PEER)
        exchange.data_received(b"one ")
        exchange.data_received(memoryview(b"two"))
        await visitor.until(lambda visitor: visitor.body == b"one two")
        assert visitor.drained_bytes == 7
        exchange.data_received(b" three")
        exchange.end_received()
        await visitor.until(lambda visitor: visitor.ended)
        assert visitor.body == b"one two three"
        assert visitor.aborted is None


async def test_half_close_is_carried(make_gatehouse: Make):
    records: list[ExchangeRecord] = []
    async with raw_origin(until_eof_then_count) as origin:
        visitor = RecordingVisitor()
        gatehouse = make_gatehouse(f"tcp://{origin.text}", on_exchange=records.append)
        exchange = gatehouse.open_bytes(visitor, PEER)
        exchange.data_received(b"x" * 1000)
        exchange.end_received()
        await visitor.until(lambda visitor: visitor.ended)
        assert visitor.body == b"1000 bytes"
        await origin.until(lambda origin: origin.closed)
        numbers = gatehouse.statistics()
        assert (numbers.byte_exchanges, numbers.open_bytes) == (1, 0)
        assert (numbers.bytes_up, numbers.bytes_down) == (1000, 10)
    assert [(record.status, record.code) for record in records] == [(0, "")]
    assert records[0].completed is not None


async def test_origin_may_end_first_and_still_listen(make_gatehouse: Make):
    got = asyncio.get_running_loop().create_future()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.write_eof()
        got.set_result(await reader.read())

    async with raw_origin(greet) as origin:
        visitor = RecordingVisitor()
        exchange = make_gatehouse(f"tcp://{origin.text}").open_bytes(visitor, PEER)
        await visitor.until(lambda visitor: visitor.ended)
        assert visitor.body == b"hello"
        exchange.data_received(b"still here")
        exchange.end_received()
        assert await asyncio.wait_for(got, 5) == b"still here"


async def test_server_that_speaks_first_waits_for_room(make_gatehouse: Make):
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready" * 2000)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async with raw_origin(greet) as origin:
        visitor = RecordingVisitor(room=0)
        exchange = make_gatehouse(f"tcp://{origin.text}").open_bytes(visitor, PEER)
        await origin.until(lambda origin: origin.accepted)
        while not visitor.ended:
            visitor.room = 5000
            exchange.resume_writing()
            await visitor.until(lambda visitor: visitor.room <= 0 or visitor.ended)
        assert visitor.body == b"220 ready" * 2000
        assert max(map(len, visitor.parts)) <= 5000


async def test_reset_of_the_origin_breaks_the_stream(make_gatehouse: Make):
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset(writer)

    async with raw_origin(slam) as origin:
        visitor = RecordingVisitor()
        exchange = make_gatehouse(f"tcp://{origin.text}").open_bytes(visitor, PEER)
        exchange.data_received(b"x")
        await visitor.until(lambda visitor: visitor.aborted)
        assert (visitor.aborted, visitor.stopped) == ("origin-broke", "origin-broke")


async def test_reset_is_seen_within_a_second_while_reading_is_paused(make_gatehouse: Make):
    slam = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(100_000))
        await slam.wait()
        reset(writer)

    async with raw_origin(flood) as origin:
        visitor = RecordingVisitor(room=10_000)
        make_gatehouse(f"tcp://{origin.text}").open_bytes(visitor, PEER)
        await visitor.until(lambda visitor: visitor.room <= 0)
        slam.set()
        async with asyncio.timeout(1.5):
            await visitor.until(lambda visitor: visitor.aborted)
        assert visitor.aborted == "origin-broke"


async def test_visitor_that_leaves_resets_nothing_else(make_gatehouse: Make):
    async with raw_origin(echo) as origin:
        gatehouse = make_gatehouse(f"tcp://{origin.text}")
        visitor, other = RecordingVisitor(), RecordingVisitor()
        leaving = gatehouse.open_bytes(visitor, PEER)
        staying = gatehouse.open_bytes(other, PEER)
        await origin.until(lambda origin: origin.accepted == 2)
        leaving.visitor_left("visitor-left")
        async with asyncio.timeout(1):
            await origin.until(lambda origin: origin.closed == 1)
        staying.data_received(b"still")
        await other.until(lambda visitor: visitor.body == b"still")


async def test_origin_that_refuses_aborts_the_stream(make_gatehouse: Make):
    async with raw_origin(echo) as origin:
        pass
    visitor = RecordingVisitor()
    make_gatehouse(f"tcp://{origin.text}").open_bytes(visitor, PEER)
    await visitor.until(lambda visitor: visitor.aborted)
    assert visitor.aborted == "origin-away"


async def test_origin_that_accepts_and_closes_is_an_end_not_a_break(make_gatehouse: Make):
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async with raw_origin(close) as origin:
        visitor = RecordingVisitor()
        make_gatehouse(f"tcp://{origin.text}").open_bytes(visitor, PEER)
        await visitor.until(lambda visitor: visitor.ended)
        assert visitor.aborted is None


async def test_stranger_is_refused_before_the_origin_is_dialled(make_gatehouse: Make):
    guard = Guard([IpGate(["203.0.113.0/24"])])
    async with raw_origin(echo) as origin:
        gatehouse = make_gatehouse(f"tcp://{origin.text}", guard=guard)
        visitor = RecordingVisitor()
        gatehouse.open_bytes(visitor, Peer("198.51.100.1"))
        assert visitor.aborted == "gate-refused"
        assert gatehouse.statistics().denied == 1
        welcome = RecordingVisitor()
        exchange = gatehouse.open_bytes(welcome, PEER)
        exchange.data_received(b"hi")
        await welcome.until(lambda visitor: visitor.body == b"hi")
        assert origin.accepted == 1


async def test_reach_is_judged_by_its_token_before_the_origin_is_dialled(make_gatehouse: Make):
    guard = Guard([BearerGate(hash_token("up_right"))])
    async with raw_origin(echo) as origin:
        gatehouse = make_gatehouse(f"tcp://{origin.text}", guard=guard)
        for token in ("", "up_wrong"):
            visitor = RecordingVisitor()
            gatehouse.open_reach(visitor, PEER, token)
            assert visitor.aborted == "token-refused"
        by_address = RecordingVisitor()
        gatehouse.open_bytes(by_address, PEER)
        assert by_address.aborted == "gate-refused"
        welcome = RecordingVisitor()
        exchange = gatehouse.open_reach(welcome, PEER, "up_right")
        exchange.data_received(b"hi")
        await welcome.until(lambda visitor: visitor.body == b"hi")
        assert origin.accepted == 1


async def test_unix_socket_carries_bytes(make_gatehouse: Make, tmp_path):
    path = tmp_path / "pg.sock"
    async with raw_origin(until_eof_then_count, unix=path):
        visitor = RecordingVisitor()
        exchange = make_gatehouse(f"tcp+unix://{path}").open_bytes(visitor, PEER)
        exchange.data_received(b"12345")
        exchange.end_received()
        await visitor.until(lambda visitor: visitor.ended)
        assert visitor.body == b"5 bytes"


async def test_slow_visitor_holds_the_origin_back(make_gatehouse: Make):
    size = 16 * 1024 * 1024
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        for _ in range(size // 65536):
            writer.write(bytes(65536))
            await writer.drain()
            written += 65536

    async with raw_origin(flood) as origin:
        visitor = RecordingVisitor(room=65536)
        exchange = make_gatehouse(f"tcp://{origin.text}").open_bytes(visitor, PEER)
        await visitor.until(lambda visitor: visitor.room <= 0)
        assert len(visitor.body) <= 65536
        assert written < size
        visitor.room = 1 << 30
        exchange.resume_writing()
        await visitor.until(lambda visitor: visitor.ended)
        assert len(visitor.body) == size


async def test_early_flood_is_refused(make_gatehouse: Make):
    async with raw_origin(echo) as origin:
        visitor = RecordingVisitor()
        exchange = make_gatehouse(f"tcp://{origin.text}").open_bytes(visitor, PEER)
        for _ in range(11):
            exchange.data_received(bytes(100_000))
        assert visitor.aborted == "over-limit"


# The proof on byte streams.


async def test_armed_prefix_is_answered_without_the_origin(make_gatehouse: Make):
    records: list[ExchangeRecord] = []
    async with raw_origin(echo) as origin:
        gatehouse = make_gatehouse(f"tcp://{origin.text}", on_exchange=records.append)
        prefix = gatehouse.arm_probe()
        visitor = RecordingVisitor()
        exchange = gatehouse.open_bytes(visitor, PEER)
        exchange.data_received(prefix[:7])
        assert not visitor.ended
        exchange.data_received(prefix[7:])
        assert visitor.ended
        answer = bytes(visitor.body)
        assert check_tcp_answer(KEY, prefix, "tools", "i1", answer) == "skipped"
        assert origin.accepted == 0
        numbers = gatehouse.statistics()
        assert (numbers.proofs, numbers.byte_exchanges, numbers.open_bytes) == (1, 0, 0)
    assert records == []


async def test_prefix_is_good_once(make_gatehouse: Make):
    async with raw_origin(echo) as origin:
        gatehouse = make_gatehouse(f"tcp://{origin.text}")
        prefix = gatehouse.arm_probe()
        gatehouse.open_bytes(RecordingVisitor(), PEER).data_received(prefix)
        visitor = RecordingVisitor()
        gatehouse.open_bytes(visitor, PEER).data_received(prefix)
        await visitor.until(lambda visitor: visitor.body == prefix)


@pytest.mark.parametrize(
    ("guard", "foreign", "expected"),
    [
        (Guard([IpGate(["203.0.113.0/24"])]), "198.51.100.7", "passed"),
        (Guard([IpGate(["0.0.0.0/0"])]), "198.51.100.7", "failed"),
        (Guard((), public=True), "198.51.100.7", "open"),
        (Guard([IpGate(["203.0.113.0/24"])]), "", "skipped"),
    ],
)
async def test_answer_says_how_a_foreign_address_fares(
    make_gatehouse: Make, guard: Guard, foreign: str, expected: str
):
    gatehouse = make_gatehouse("tcp://127.0.0.1:1", guard=guard)
    prefix = gatehouse.arm_probe(foreign=foreign)
    visitor = RecordingVisitor()
    gatehouse.open_bytes(visitor, Peer("192.0.2.1")).data_received(prefix)
    assert check_tcp_answer(KEY, prefix, "tools", "i1", bytes(visitor.body)) == expected


async def test_while_armed_a_silent_visitor_waits_a_moment_only(make_gatehouse: Make):
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read()

    async with raw_origin(greet) as origin:
        gatehouse = make_gatehouse(f"tcp://{origin.text}")
        gatehouse.arm_probe()
        loop = asyncio.get_running_loop()
        visitor = RecordingVisitor()
        started = loop.time()
        gatehouse.open_bytes(visitor, PEER)
        await visitor.until(lambda visitor: visitor.body == b"hello")
        assert 0.19 < loop.time() - started < 1.0


async def test_while_armed_other_bytes_are_passed_on_at_once(make_gatehouse: Make):
    async with raw_origin(echo) as origin:
        gatehouse = make_gatehouse(f"tcp://{origin.text}")
        prefix = gatehouse.arm_probe()
        visitor = RecordingVisitor()
        loop = asyncio.get_running_loop()
        started = loop.time()
        exchange = gatehouse.open_bytes(visitor, PEER)
        exchange.data_received(prefix[:31] + bytes([prefix[31] ^ 1]))
        await visitor.until(lambda visitor: len(visitor.body) == 32)
        assert loop.time() - started < 0.15


async def test_gate_is_asked_when_armed_bytes_are_no_proof(make_gatehouse: Make):
    async with raw_origin(echo) as origin:
        gatehouse = make_gatehouse(
            f"tcp://{origin.text}", guard=Guard([IpGate(["203.0.113.0/24"])])
        )
        gatehouse.arm_probe()
        visitor = RecordingVisitor()
        gatehouse.open_bytes(visitor, Peer("198.51.100.1")).data_received(b"?")
        assert visitor.aborted == "gate-refused"
        assert origin.accepted == 0
