"""What the gatehouse shows of itself, and how long it stays armed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest
from tests.gatehouse.conftest import KEY, RecordingVisitor, answering, raw_origin, request

from underpass.gatehouse.allow_list import public_names
from underpass.gatehouse.arm import MAX_ARMED, ProbeArm
from underpass.gatehouse.books import ExchangeRecord, GatehouseStatistics
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.gatehouse.ports import Carrier, Peer
from underpass.guard.checks import BearerGate, IpGate
from underpass.guard.gates import Guard, Rule
from underpass.guard.secrets import hash_token
from underpass.model.origin import Kind, parse_origin

Make = Callable[..., Gatehouse]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_statistics_are_whole_and_frozen(make_gatehouse: Make):
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        visitor = RecordingVisitor()
        exchange = gatehouse.open_http(visitor, request(b"POST", body=3), Peer(""))
        exchange.data_received(b"abc")
        exchange.end_received()
        await visitor.answer()
        numbers = gatehouse.statistics()
        assert numbers == GatehouseStatistics(
            http_exchanges=1,
            byte_exchanges=0,
            open_http=0,
            open_bytes=0,
            bytes_up=3,
            bytes_down=2,
            denied=0,
            proofs=0,
            origin_failures=0,
            dialled=1,
            reused=0,
            connections=1,
            idle=1,
        )
        with pytest.raises(FrozenInstanceError):
            numbers.denied = 1  # type: ignore[misc]


async def test_exchange_is_reported_with_its_times(make_gatehouse: Make):
    records: list[ExchangeRecord] = []
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(origin.text, on_exchange=records.append)
        visitor = RecordingVisitor()
        before = asyncio.get_running_loop().time()
        gatehouse.open_http(visitor, request(), Peer(""))
        await visitor.answer()
    (record,) = records
    assert record.first_byte is not None
    assert record.completed is not None
    assert before <= record.started <= record.first_byte <= record.completed
    assert (record.status, record.code) == (200, "")


async def test_gatehouse_is_a_carrier(make_gatehouse: Make):
    carrier: Carrier = make_gatehouse("3001")
    assert carrier is not None


def test_settings_never_show_their_key():
    settings = GatehouseSettings(parse_origin("3001"), Kind.HTTP, "tools", "i1", KEY)
    assert "proof_key" not in repr(settings)
    assert repr(KEY) not in repr(settings)


@pytest.mark.parametrize(
    ("url", "hosts", "origins"),
    [
        (
            "https://Tools.example/mcp",
            {b"tools.example", b"tools.example:443"},
            {b"https://tools.example"},
        ),
        ("https://tools.example:8443", {b"tools.example:8443"}, {b"https://tools.example:8443"}),
        (
            "http://127.0.0.1:4000",
            {b"127.0.0.1:4000", b"localhost:4000", b"tools.localhost:4000"},
            {
                b"http://127.0.0.1:4000",
                b"http://localhost:4000",
                b"http://tools.localhost:4000",
            },
        ),
        ("http://[::1]:4000", {b"[::1]:4000"}, {b"http://[::1]:4000"}),
    ],
)
def test_public_names_of_a_url(url: str, hosts: set[bytes], origins: set[bytes]):
    assert public_names([url], "tools") == (hosts, origins)


class SteppedLoop:
    """A clock in the shape of a loop."""

    now = 100.0

    def time(self) -> float:
        return self.now


def test_arm_lasts_two_seconds_at_most():
    loop = SteppedLoop()
    arm = ProbeArm(loop)  # type: ignore[arg-type]
    assert not arm.is_armed
    prefix = arm.arm(60, "")
    loop.now += 1.9
    assert arm.is_armed
    assert arm.could_become(prefix[:31])
    loop.now += 0.2
    assert not arm.is_armed
    assert not arm.could_become(prefix[:31])
    assert arm.take(prefix) is None


def test_arm_is_bounded_and_can_be_taken_back():
    arm = ProbeArm(SteppedLoop())  # type: ignore[arg-type]
    prefixes = [arm.arm(2, f"192.0.2.{number}") for number in range(MAX_ARMED + 1)]
    assert arm.take(prefixes[0]) is None
    assert arm.take(prefixes[1]) == "192.0.2.1"
    arm.disarm(prefixes[2])
    assert arm.take(prefixes[2]) is None


@pytest.mark.parametrize("turns", range(10))
async def test_a_visitor_who_leaves_at_any_turn_of_the_dial_leaves_nothing(
    make_gatehouse: Make, turns: int
):
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_origin(silent) as origin:
        gatehouse = make_gatehouse(origin.text)
        head = request(b"POST", body=5)
        exchange = gatehouse.open_http(RecordingVisitor(), head, Peer("203.0.113.9"))
        for _ in range(turns):
            await asyncio.sleep(0)
        exchange.visitor_left("visitor-left")
        assert gatehouse.statistics().open_http == 0
        gatehouse.close()
        async with asyncio.timeout(5.0):
            await gatehouse.wait_closed()
        assert gatehouse.statistics().connections == 0
        await origin.until(lambda origin: origin.closed == origin.accepted)


@pytest.mark.parametrize("scheme", ["", "mcp+http://"])
@pytest.mark.parametrize(
    "guard",
    [
        Guard((), public=True),
        Guard([IpGate(["203.0.113.0/24"])]),
        Guard([BearerGate(hash_token("up_right"))]),
        Guard([IpGate(["192.0.2.0/24"]), BearerGate(hash_token("up_right"))]),
    ],
    ids=["public", "ip", "bearer", "both"],
)
async def test_no_bytes_reach_an_origin_of_http_past_what_judges_heads(
    make_gatehouse: Make, guard: Guard, scheme: str
) -> None:
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(f"{scheme}{origin.text}", guard=guard)
        peer = Peer("203.0.113.9", 4711)
        for begin in (
            lambda visitor: gatehouse.open_bytes(visitor, peer),
            lambda visitor: gatehouse.open_reach(visitor, peer, "up_right"),
        ):
            visitor = RecordingVisitor()
            exchange = begin(visitor)
            exchange.data_received(b"GET / HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n")
            exchange.end_received()
            assert (visitor.aborted, visitor.stopped) == ("bytes-not-carried",) * 2
        assert gatehouse.statistics().dialled == origin.accepted == 0


def test_a_token_alone_reaches_only_what_a_token_alone_guards() -> None:
    bearer = BearerGate(hash_token("up_right"))
    assert Guard([bearer]).judge_token("up_right")
    assert not Guard([bearer, IpGate(["192.0.2.0/24"])]).judge_token("up_right")
    assert not Guard([], rules=[Rule(("/a",), ((bearer,),))]).judge_token("up_right")
