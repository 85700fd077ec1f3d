from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from underpass.testing.clock import SteppedLoop, run_stepped
from underpass.testing.fault_proxy import Direction, FaultProxy, Side
from underpass.testing.origins import HalfCloseRecorder, Refuser, TcpEcho

DEADLINE = 10.0
"""Seconds of real time after which a test of something prompt has failed."""

Relay = Callable[..., Any]
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[tuple[TcpEcho, FaultProxy, Ends]]:
    async with (
        TcpEcho() as echo,
        FaultProxy("127.0.0.1", echo.port) as proxy,
        connected(proxy.port) as ends,
    ):
        yield echo, proxy, ends


@asynccontextmanager
async def client_relay_proxy_echo(
    naive_relay: Relay, patience: float | None = None
) -> AsyncIterator[tuple[Any, FaultProxy, TcpEcho, Ends]]:
    """client, naive relay, fault proxy, echo; one exchange has gone through."""
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(TcpEcho())
        proxy = await stack.enter_async_context(FaultProxy("127.0.0.1", echo.port))
        relay = await stack.enter_async_context(naive_relay("127.0.0.1", proxy.port, patience))
        ends = await stack.enter_async_context(connected(relay.port))
        assert await ask(ends, b"hello") == b"hello"
        yield relay, proxy, echo, ends


async def ask(ends: Ends, question: bytes) -> bytes:
    ends[1].write(question)
    return await ends[0].readexactly(len(question))


async def everything(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end or a reset."""
    received = b""
    try:
        while data := await reader.read(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


async def turns(count: int = 50) -> None:
    """Lets everything that could happen on loopback happen."""
    for _ in range(count):
        await asyncio.sleep(0)


async def hears_nothing(reader: asyncio.StreamReader, loop: SteppedLoop, seconds: float) -> bool:
    """Whether a reader has heard nothing, not even an end, for so long (stepped, not waited)."""
    reading = asyncio.create_task(reader.read(1))
    await loop.advance(seconds)
    await turns()
    silent = not reading.done()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return silent


# Transparent


async def test_without_faults_every_byte_and_both_ends_pass() -> None:
    body = bytes(range(256)) * 20_000
    async with HalfCloseRecorder() as origin, FaultProxy("127.0.0.1", origin.port) as proxy:
        async with connected(proxy.port) as (reader, writer):
            writer.write(body)
            writer.write_eof()
            assert (await reader.read()).decode() == hashlib.sha256(body).hexdigest()
        seen = await origin.half_closes.get()
        assert seen.size == len(body)
        assert proxy.statistics().accepted == 1
        assert proxy.statistics().bytes_up == len(body)
        assert proxy.statistics().bytes_down == 64


async def test_a_closed_connection_is_forgotten() -> None:
    async with echo_behind_proxy() as (_, proxy, ends):
        assert await ask(ends, b"x") == b"x"
        (connection,) = proxy.connections
        ends[1].close()
        async with asyncio.timeout(DEADLINE):
            await connection.finished.wait()
        assert proxy.statistics().open == 0


async def test_a_refusing_upstream_is_a_reset_for_the_client() -> None:
    async with (
        Refuser() as nobody,
        FaultProxy("127.0.0.1", nobody.port) as proxy,
        connected(proxy.port) as (reader, _),
    ):
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


async def test_a_reset_by_one_party_reaches_the_other_as_a_reset() -> None:
    async with echo_behind_proxy() as (echo, _, ends):
        assert await ask(ends, b"x") == b"x"
        echo.cut_connections()
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(ConnectionResetError):
                await ends[0].read()


# Latency


async def test_latency_is_added_each_way() -> None:
    async with echo_behind_proxy() as (_, proxy, ends):
        await ask(ends, b"warm up")
        proxy.set_latency(0.05)
        start = time.monotonic()
        await ask(ends, b"x")
        assert 0.098 <= time.monotonic() - start < 1


async def test_a_new_connection_pays_for_its_handshake() -> None:
    async with TcpEcho() as echo, FaultProxy("127.0.0.1", echo.port) as proxy:
        proxy.set_latency(0.05)
        start = time.monotonic()
        async with connected(proxy.port) as ends:
            await ask(ends, b"x")
        assert 0.196 <= time.monotonic() - start < 2


async def test_latency_is_not_a_throttle() -> None:
    async with echo_behind_proxy() as (_, proxy, ends):
        proxy.set_latency(0.1)
        start = time.monotonic()
        body = bytes(8 << 20)
        ends[1].write(body)
        assert await ends[0].readexactly(len(body)) == body
        # A relay that sleeps for each read of 64 KiB would take 12 seconds and more.
        assert time.monotonic() - start < 4


async def test_control_stop_and_wait_pays_every_latency(naive_relay: Relay) -> None:
    async with client_relay_proxy_echo(naive_relay) as (_, proxy, _, ends):
        proxy.set_latency(0.02)
        start = time.monotonic()
        for _ in range(10):
            await ask(ends, b"x")
        assert time.monotonic() - start >= 10 * 0.038


# Bandwidth


async def test_bandwidth_limits_what_arrives_in_a_second() -> None:
    async with echo_behind_proxy() as (_, proxy, ends):
        proxy.limit_bandwidth(200_000, Direction.UP)
        start = time.monotonic()
        await ask(ends, bytes(60_000))
        assert time.monotonic() - start >= 0.28


async def test_a_full_bottleneck_makes_the_sender_wait() -> None:
    async with echo_behind_proxy() as (_, proxy, (_, writer)):
        proxy.limit_bandwidth(1000, Direction.UP)
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(bytes(64 << 20))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.2)
        (connection,) = proxy.connections
        assert connection.client.flow.line.held < 1 << 20


async def test_control_a_small_request_waits_behind_bulk(naive_relay: Relay) -> None:
    async with (
        client_relay_proxy_echo(naive_relay) as (relay, proxy, _, ends),
        connected(relay.port) as (_, bulk),
    ):
        proxy.limit_bandwidth(400_000, Direction.UP)
        start = time.monotonic()
        await ask(ends, b"alone")
        alone = time.monotonic() - start
        before = proxy.statistics().bytes_up
        bulk.write(bytes(1 << 20))
        async with asyncio.timeout(DEADLINE):
            await proxy.wait_passed(before + 1, Direction.UP)
            start = time.monotonic()
            await ask(ends, b"beside bulk")
        assert time.monotonic() - start >= max(0.1, 3 * alone)


# Black hole


@pytest.mark.parametrize("direction", [None, Direction.UP, Direction.DOWN])
async def test_bytes_sent_into_a_black_hole_arrive_after_it(direction: Direction | None) -> None:
    async with echo_behind_proxy() as (_, proxy, ends):
        assert await ask(ends, b"before") == b"before"
        proxy.black_hole(direction)
        answer = asyncio.create_task(ask(ends, b"in the hole"))
        await turns()
        assert not answer.done()
        proxy.heal()
        async with asyncio.timeout(DEADLINE):
            assert await answer == b"in the hole"


async def test_a_one_way_black_hole_leaves_the_other_way_alone() -> None:
    async with echo_behind_proxy() as (_, proxy, ends):
        await ask(ends, b"x")
        proxy.black_hole(Direction.DOWN)
        ends[1].write(b"goes up")
        async with asyncio.timeout(DEADLINE):
            await proxy.wait_passed(8, Direction.UP)
        assert proxy.statistics().bytes_down == 1


async def test_no_new_connection_gets_through_a_black_hole() -> None:
    async with TcpEcho() as echo, FaultProxy("127.0.0.1", echo.port) as proxy:
        proxy.black_hole()
        async with connected(proxy.port) as ends:
            answer = asyncio.create_task(ask(ends, b"x"))
            await turns()
            assert (echo.accepted, answer.done()) == (0, False)
            proxy.heal()
            async with asyncio.timeout(DEADLINE):
                assert await answer == b"x"


@pytest.mark.parametrize("direction", [None, Direction.UP, Direction.DOWN])
def test_control_a_naive_relay_never_notices_a_black_hole(
    naive_relay: Relay, direction: Direction | None
) -> None:
    async def main(loop: SteppedLoop) -> None:
        async with client_relay_proxy_echo(naive_relay) as (relay, proxy, _, (reader, writer)):
            proxy.black_hole(direction)
            writer.write(b"is anybody there?")
            assert await hears_nothing(reader, loop, 3600)
            assert not relay.noticed.is_set()
            assert relay.open == 1

    run_stepped(main)


def test_a_relay_with_a_deadline_notices_the_same_black_hole(naive_relay: Relay) -> None:
    async def main(loop: SteppedLoop) -> None:
        async with client_relay_proxy_echo(naive_relay, 10.0) as (relay, proxy, _, (_, writer)):
            proxy.black_hole()
            writer.write(b"is anybody there?")
            await loop.advance(9.9)
            assert not relay.noticed.is_set()
            await loop.advance(0.2)
            assert relay.noticed.is_set()

    run_stepped(main)


# Freeze


async def test_a_frozen_proxy_goes_on_where_it_stopped() -> None:
    async with echo_behind_proxy() as (_, proxy, ends):
        await ask(ends, b"x")
        proxy.freeze()
        body = bytes(range(256)) * 40_000
        answer = asyncio.create_task(ask(ends, body))
        await turns()
        assert not answer.done()
        assert proxy.statistics().bytes_up == 1
        proxy.thaw()
        async with asyncio.timeout(DEADLINE):
            assert await answer == body


def test_control_a_visitor_of_a_naive_relay_hangs_while_frozen(naive_relay: Relay) -> None:
    async def main(loop: SteppedLoop) -> None:
        async with client_relay_proxy_echo(naive_relay) as (relay, proxy, _, (reader, writer)):
            proxy.freeze()
            writer.write(b"is anybody there?")
            assert await hears_nothing(reader, loop, 3600)
            assert not relay.noticed.is_set()

    run_stepped(main)


# Reset


async def test_reset_reaches_both_parties() -> None:
    async with echo_behind_proxy() as (echo, proxy, ends):
        await ask(ends, b"x")
        assert proxy.reset() == 1
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(ConnectionResetError):
                await ends[0].read(1)
            await echo.wait_idle()


async def test_control_a_naive_relay_loses_an_answer_at_a_reset(naive_relay: Relay) -> None:
    async with client_relay_proxy_echo(naive_relay) as (relay, proxy, _, (reader, writer)):
        proxy.black_hole(Direction.DOWN)
        writer.write(b"x" * 1000)
        async with asyncio.timeout(DEADLINE):
            await proxy.wait_passed(1005, Direction.UP)
            proxy.reset()
            await relay.noticed.wait()
            assert await everything(reader) == b""


# Half-open


async def test_half_open_cuts_the_client_and_keeps_upstream() -> None:
    async with echo_behind_proxy() as (echo, proxy, ends):
        await ask(ends, b"x")
        assert proxy.half_open() == 1
        with pytest.raises(ConnectionResetError):
            await ends[0].read(1)
        await turns()
        assert (echo.open, proxy.statistics().open) == (1, 1)
        async with connected(proxy.port) as again:
            assert await ask(again, b"back beside my ghost") == b"back beside my ghost"
        assert echo.accepted == 2


def test_control_a_naive_relay_keeps_a_ghost_for_ever(naive_relay: Relay) -> None:
    async def main(loop: SteppedLoop) -> None:
        async with (
            TcpEcho() as echo,
            naive_relay("127.0.0.1", echo.port) as relay,
            FaultProxy("127.0.0.1", relay.port) as proxy,
            connected(proxy.port) as ends,
        ):
            await ask(ends, b"x")
            proxy.half_open()
            await loop.advance(3600)
            await turns()
            assert (relay.open, relay.noticed.is_set()) == (1, False)

    run_stepped(main)


def test_control_a_client_over_a_half_open_connection_hangs(naive_relay: Relay) -> None:
    async def main(loop: SteppedLoop) -> None:
        async with client_relay_proxy_echo(naive_relay) as (_, proxy, _, (reader, writer)):
            proxy.half_open(Side.UPSTREAM)
            writer.write(b"is anybody there?")
            assert await hears_nothing(reader, loop, 3600)

    run_stepped(main)


# Slice


async def test_slices_arrive_one_byte_at_a_time_and_complete() -> None:
    async with echo_behind_proxy() as (_, proxy, (reader, writer)):
        proxy.slice_writes(1, Direction.DOWN)
        writer.write(b"0123456789")
        parts = [await reader.read(100) for _ in range(3)]
        assert all(len(part) < 10 for part in parts)
        rest = await reader.readexactly(10 - sum(map(len, parts)))
        assert b"".join(parts) + rest == b"0123456789"


async def test_control_one_read_is_not_one_message_when_sliced(naive_relay: Relay) -> None:
    async with client_relay_proxy_echo(naive_relay) as (_, proxy, _, (reader, writer)):
        proxy.slice_writes(1)
        writer.write(b"a whole message")
        assert await reader.read(100) != b"a whole message"


# Cut


@pytest.mark.parametrize("size", [0, 1, 999, 65_536, 1_000_000])
async def test_exactly_the_given_number_of_bytes_arrives_before_a_cut(size: int) -> None:
    async with HalfCloseRecorder() as origin, FaultProxy("127.0.0.1", origin.port) as proxy:
        received = bytearray()

        async def collect(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(65536):
                    received.extend(data)
            except ConnectionResetError:
                gone.set()

        gone = asyncio.Event()
        server = await asyncio.start_server(collect, "127.0.0.1", 0)
        proxy.upstream = server.sockets[0].getsockname()
        proxy.cut_after(size, Direction.UP)
        body = bytes(range(250)) * 8000
        async with server, connected(proxy.port) as (reader, writer):
            writer.write(body)
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(ConnectionResetError):
                    await reader.read(1)
                await gone.wait()
        assert bytes(received) == body[:size]


async def test_a_cut_happens_once() -> None:
    async with echo_behind_proxy() as (_, proxy, ends):
        proxy.cut_after(3, Direction.DOWN)
        ends[1].write(b"123456")
        assert await everything(ends[0]) == b"123"
        async with connected(proxy.port) as again:
            assert await ask(again, b"123456") == b"123456"


async def test_control_a_naive_relay_loses_bytes_at_a_cut(naive_relay: Relay) -> None:
    async with client_relay_proxy_echo(naive_relay) as (_, proxy, _, (reader, writer)):
        proxy.cut_after(1000, Direction.DOWN)
        writer.write(bytes(5000))
        async with asyncio.timeout(DEADLINE):
            assert len(await everything(reader)) <= 1000


# New connections


async def test_refusing_new_connections_keeps_the_old_and_the_port() -> None:
    async with echo_behind_proxy() as (_, proxy, ends):
        await ask(ends, b"x")
        proxy.refuse_new()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await ask(ends, b"still here") == b"still here"
        await proxy.accept_new()
        async with connected(proxy.port) as again:
            assert await ask(again, b"y") == b"y"


async def test_leaving_the_proxy_closes_everything_even_in_a_black_hole() -> None:
    async with TcpEcho() as echo:
        async with FaultProxy("127.0.0.1", echo.port) as proxy:
            ends = await asyncio.open_connection("127.0.0.1", proxy.port)
            await ask(ends, b"x")
            proxy.black_hole()
            waiting = await asyncio.open_connection("127.0.0.1", proxy.port)
        for reader, writer in (ends, waiting):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            writer.close()
        assert proxy.statistics().open == 0
