"""Requests that wait for a gate: nothing reaches the origin before, everything after."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import cast

import pytest
from tests.gatehouse.conftest import DEADLINE, RecordingVisitor, raw_origin, request, settle

from underpass.gatehouse import held
from underpass.gatehouse.exchange_http import MAX_EARLY_BYTES
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.held_budget import HELD_BYTES, HeldBudget
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor, open_door
from underpass.guard.gates import Deny, Guard, Later, Materials, NeedsBody, Outcome, Pass, forge
from underpass.http.messages import UNKNOWN_LENGTH, RequestHead
from underpass.model.gates import parse_gate

Make = Callable[..., Gatehouse]
PEER = Peer("203.0.113.9", 40_000)
LIMIT = 300_000


class Collector:
    """An origin that answers when a request is whole, with what it got."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.port = 0
        self.slow = asyncio.Event()
        self.slow.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            await self.slow.wait()
            self.bodies.append(await self._body(head.lower(), reader))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> bytes:
        if b"transfer-encoding: chunked" in head:
            body = b""
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readuntil(b"\r\n")
            return body
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return await reader.readexactly(int(line.split(b":")[1]))
        return b""


@pytest.fixture
async def origin() -> AsyncIterator[Collector]:
    made = Collector()
    async with raw_origin(made.serve) as raw:
        made.port = raw.port
        yield made


class Asking:
    """A gate that says what the test makes it say."""

    kind = text = "asking"

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        return self.outcome


def wants(secret: bytes = b"", limit: int = LIMIT, verdict: Outcome | None = None) -> Guard:
    """A guard that lets bodies in which contain ``secret``."""

    def decide(body: bytes) -> Outcome:
        return (verdict or Pass(identity="body")) if secret in body else Deny(403, "gate-refused")

    return Guard([Asking(NeedsBody(limit, decide))])


def waits(wait: Callable[[], Awaitable[Outcome]], seconds: float = 5.0) -> Guard:
    return Guard([Asking(Later(wait, seconds))])


def post(size: int, **changes: object) -> RequestHead:
    return request(b"POST", body=size, **changes)


async def test_nothing_reaches_the_origin_before_the_body_is_whole_and_right(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants(b"right"))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(10), PEER)
    exchange.data_received(b"right")
    await settle()
    assert origin.heads == []
    assert visitor.drained_bytes == 5, "the visitor may go on sending"
    exchange.data_received(b"right")
    exchange.end_received()
    assert await visitor.answer() == (200, b"ok")
    assert origin.bodies == [b"rightright"]
    assert visitor.drained_bytes == 10, "credit is given once"
    assert gatehouse._house.held._left == HELD_BYTES


async def test_a_body_that_is_wrong_never_reaches_the_origin(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants(b"right"))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(5), PEER)
    exchange.data_received(b"wrong")
    exchange.end_received()
    status, _ = await visitor.answer()
    assert (status, visitor.field(b"Underpass-Error")) == (403, b"gate-refused")
    assert origin.heads == []
    statistics = gatehouse.statistics()
    assert (statistics.denied, statistics.open_http, statistics.http_exchanges) == (1, 0, 1)
    assert gatehouse._house.held._left == HELD_BYTES


async def test_a_chunked_body_and_its_trailers_go_on_as_they_came(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants(b"right"))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(UNKNOWN_LENGTH), PEER)
    for part in (b"ri", b"", b"gh", b"t"):
        exchange.data_received(memoryview(part))
    exchange.trailers_received([])
    exchange.end_received()
    assert await visitor.answer() == (200, b"ok")
    assert origin.bodies == [b"right"]
    assert b"transfer-encoding: chunked" in origin.heads[0].lower()


@pytest.mark.parametrize("size", [LIMIT + 1, UNKNOWN_LENGTH])
async def test_a_body_above_the_limit_is_413_and_not_judged(
    make_gatehouse: Make, origin: Collector, size: int
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants())
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(size), PEER)
    for _ in range(7):
        if not visitor.ended:
            exchange.data_received(b"x" * 50_000)
    status, _ = await visitor.answer()
    assert (status, visitor.field(b"Underpass-Error")) == (413, b"body-too-large")
    assert visitor.stopped
    assert origin.heads == []
    assert gatehouse._house.held._left == HELD_BYTES


async def test_a_body_at_the_limit_is_fed_no_faster_than_the_origin_takes_it(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants())
    origin.slow.clear()
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(LIMIT), PEER)
    body = os.urandom(LIMIT)
    for start in range(0, LIMIT, 30_000):
        exchange.data_received(body[start : start + 30_000])
    exchange.end_received()
    assert visitor.drained_bytes == LIMIT
    origin.slow.set()
    assert await visitor.answer() == (200, b"ok")
    assert origin.bodies == [body]
    assert visitor.drained_bytes == LIMIT
    assert gatehouse._house.held._left == HELD_BYTES


async def test_a_request_without_a_body_is_judged_by_an_empty_one_at_once(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants())
    visitor = RecordingVisitor()
    gatehouse.open_http(visitor, request(), PEER)
    assert await visitor.answer() == (200, b"ok")
    refused = RecordingVisitor()
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants(b"x"))
    gatehouse.open_http(refused, request(), PEER)
    assert (await refused.answer())[0] == 403


async def test_who_waits_to_be_told_to_send_is_told_by_us(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants(b"right"))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(5, expect_continue=True), PEER)
    assert [head.status for head in visitor.informational] == [100]
    exchange.data_received(b"right")
    exchange.end_received()
    assert await visitor.answer() == (200, b"ok")
    assert b"expect" not in origin.heads[0].lower()


async def test_who_is_refused_by_size_is_not_told_to_send(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants())
    visitor = RecordingVisitor()
    gatehouse.open_http(visitor, post(LIMIT + 1, expect_continue=True), PEER)
    assert (await visitor.answer())[0] == 413
    assert visitor.informational == []


async def test_a_body_that_does_not_come_ends_the_waiting(
    make_gatehouse: Make, origin: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "BODY_SECONDS", 0.01)
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants())
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(5), PEER)
    exchange.data_received(b"righ")
    status, _ = await visitor.answer()
    assert (status, visitor.field(b"Underpass-Error")) == (408, b"request-late")
    exchange.data_received(b"t")
    exchange.end_received()
    assert origin.heads == []
    assert gatehouse._house.held._left == HELD_BYTES


async def test_a_visitor_who_leaves_while_held_leaves_nothing(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants())
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(50), PEER)
    exchange.data_received(b"x" * 40)
    exchange.visitor_left("visitor-left")
    exchange.end_received()
    await settle()
    assert origin.heads == []
    assert visitor.head is None
    assert gatehouse._house.held._left == HELD_BYTES


async def test_what_all_who_wait_may_hold_is_bounded(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants())
    gatehouse._house.held = HeldBudget(1000)
    first, second = RecordingVisitor(), RecordingVisitor()
    holding = gatehouse.open_http(first, post(900), PEER)
    holding.data_received(b"x" * 800)
    gatehouse.open_http(second, post(900), PEER).data_received(b"x" * 800)
    status, _ = await second.answer()
    assert (status, second.field(b"Underpass-Error")) == (503, b"over-limit")
    holding.data_received(b"x" * 100)
    holding.end_received()
    assert await first.answer() == (200, b"ok")
    assert gatehouse._house.held.take(1000)


async def test_who_holds_most_gives_way_to_who_needs_less(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants())
    gatehouse._house.held = HeldBudget(1000)
    hoarders = [RecordingVisitor() for _ in range(3)]
    for hoarder, size in zip(hoarders, (300, 500, 200), strict=True):
        gatehouse.open_http(hoarder, post(900), PEER).data_received(b"x" * size)
    honest = RecordingVisitor()
    exchange = gatehouse.open_http(honest, post(100), PEER)
    exchange.data_received(b"y" * 100)
    assert [hoarder.head is not None for hoarder in hoarders] == [False, True, False]
    assert hoarders[1].field(b"Underpass-Error") == b"over-limit"
    exchange.end_received()
    assert await honest.answer() == (200, b"ok")
    assert origin.bodies == [b"y" * 100]
    assert gatehouse._house.held._left == 500
    # Nobody gives way to who needs more.
    greedy = RecordingVisitor()
    gatehouse.open_http(greedy, post(900), PEER).data_received(b"z" * 600)
    assert greedy.field(b"Underpass-Error") == b"over-limit"


# Gates that take a while.


async def test_a_request_waits_for_its_verdict_and_then_goes_on(
    make_gatehouse: Make, origin: Collector
) -> None:
    verdict: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    gatehouse = make_gatehouse(f"{origin.port}", guard=waits(lambda: verdict))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(10), PEER)
    exchange.data_received(b"first")
    await settle()
    assert origin.heads == []
    assert visitor.drained_bytes == 0, "nothing is asked for before the verdict"
    verdict.set_result(Pass((b"x-key",)))
    await settle()
    exchange.data_received(b"later")
    exchange.end_received()
    assert await visitor.answer() == (200, b"ok")
    assert origin.bodies == [b"firstlater"]
    assert visitor.drained_bytes == 10


async def test_much_that_came_before_the_verdict_goes_on_whole(
    make_gatehouse: Make, origin: Collector
) -> None:
    verdict: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    gatehouse = make_gatehouse(f"{origin.port}", guard=waits(lambda: verdict))
    visitor = RecordingVisitor()
    body = os.urandom(250_000)  # as a door may read at once
    exchange = gatehouse.open_http(visitor, post(len(body)), PEER)
    exchange.data_received(body)
    exchange.end_received()
    await settle()
    verdict.set_result(Pass())
    assert await visitor.answer() == (200, b"ok")
    assert origin.bodies == [body]
    assert visitor.drained_bytes == len(body)
    assert gatehouse._house.held._left == HELD_BYTES


async def test_who_leaves_after_the_verdict_leaves_nothing_held(
    make_gatehouse: Make, origin: Collector
) -> None:
    verdict: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    gatehouse = make_gatehouse(f"{origin.port}", guard=waits(lambda: verdict))
    origin.slow.clear()
    exchange = gatehouse.open_http(RecordingVisitor(), post(900_000), PEER)
    exchange.data_received(b"x" * 900_000)
    exchange.end_received()
    await settle()
    verdict.set_result(Pass())
    await settle()
    exchange.visitor_left("visitor-left")
    assert gatehouse._house.held._left == HELD_BYTES
    origin.slow.set()


async def test_bytes_behind_the_end_are_not_passed_on_unjudged(
    make_gatehouse: Make, origin: Collector
) -> None:
    verdict: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def wait() -> Outcome:
        return await verdict

    gatehouse = make_gatehouse(f"{origin.port}", guard=wants(b"right", verdict=Later(wait)))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(UNKNOWN_LENGTH), PEER)
    exchange.data_received(b"right")
    exchange.end_received()
    await settle()
    exchange.data_received(b"and more that nobody has judged")
    await visitor.until(lambda seen: seen.aborted)
    await settle()
    assert verdict.cancelled()
    assert origin.heads == []
    assert gatehouse._house.held._left == HELD_BYTES


async def test_what_comes_too_early_for_a_verdict_is_bounded(
    make_gatehouse: Make, origin: Collector
) -> None:
    verdict: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    gatehouse = make_gatehouse(f"{origin.port}", guard=waits(lambda: verdict))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(UNKNOWN_LENGTH), PEER)
    await settle()
    for _ in range(MAX_EARLY_BYTES // 65_536 + 1):
        exchange.data_received(b"x" * 65_536)
    assert (await visitor.answer())[0] == 503
    await settle()
    assert verdict.cancelled(), "nobody waits for it any more"


async def test_leaving_cancels_what_the_gate_does(make_gatehouse: Make, origin: Collector) -> None:
    verdict: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    gatehouse = make_gatehouse(f"{origin.port}", guard=waits(lambda: verdict))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, request(), PEER)
    await settle()
    exchange.visitor_left("visitor-left")
    await settle()
    assert verdict.cancelled()
    assert visitor.head is None


async def fails() -> Outcome:
    raise RuntimeError("the gate is broken")


async def never() -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("wait", [fails, never])
async def test_a_gate_that_breaks_or_hangs_lets_nobody_in(
    make_gatehouse: Make, origin: Collector, wait: Callable[[], Awaitable[Outcome]]
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=waits(wait, 0.02))
    visitor = RecordingVisitor()
    gatehouse.open_http(visitor, request(), PEER)
    status, _ = await visitor.answer()
    assert (status, visitor.field(b"Underpass-Error")) == (503, b"gate-away")
    assert visitor.field(b"Retry-After") == b"2"
    assert origin.heads == []


async def says_nothing() -> Outcome:
    return cast(Outcome, None)


def chokes(body: bytes) -> Outcome:
    raise RuntimeError("the gate is broken")


def forgets(body: bytes) -> Outcome:
    return cast(Outcome, None)


@pytest.mark.parametrize(
    "outcome", [Later(says_nothing), NeedsBody(10, chokes), NeedsBody(10, forgets)]
)
async def test_a_gate_that_breaks_with_its_last_word_lets_nobody_in(
    make_gatehouse: Make, origin: Collector, outcome: Outcome
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=Guard([Asking(outcome)]))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(2), PEER)
    exchange.data_received(b"ab")
    exchange.end_received()
    status, _ = await visitor.answer()
    assert (status, visitor.field(b"Underpass-Error")) == (503, b"gate-away")
    assert origin.heads == []


async def test_a_gate_can_want_a_body_and_then_time(
    make_gatehouse: Make, origin: Collector
) -> None:
    async def wait() -> Outcome:
        await asyncio.sleep(0)
        return Pass(identity="both")

    gatehouse = make_gatehouse(f"{origin.port}", guard=wants(b"right", verdict=Later(wait)))
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(5), PEER)
    exchange.data_received(b"right")
    exchange.end_received()
    assert await visitor.answer() == (200, b"ok")
    assert origin.bodies == [b"right"]


async def test_an_origin_that_is_away_is_said_and_nothing_is_kept(make_gatehouse: Make) -> None:
    async with raw_origin(Collector().serve) as raw:
        port = raw.port
    gatehouse = make_gatehouse(f"{port}", guard=wants())
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, post(LIMIT), PEER)
    for _ in range(6):
        exchange.data_received(b"x" * 50_000)
    exchange.end_received()
    assert (await visitor.answer())[0] == 503
    await settle()
    assert gatehouse._house.held._left == HELD_BYTES


# Through a real door, with a real gate.

SECRET = "It's a Secret to Everybody"


async def through_the_door(gatehouse: Gatehouse, raw: bytes) -> bytes:
    """What the door answers to ``raw``, sent in small pieces."""
    door = SocketDoor(gatehouse, DoorSettings(heartbeats=True, fin_departs=False))
    server = await open_door(door)
    try:
        async with asyncio.timeout(DEADLINE):
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for start in range(0, len(raw), 1000):
                writer.write(raw[start : start + 1000])
                await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            return answer
    finally:
        server.close()
        door.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_webhook_comes_through_the_door_as_it_was_signed(
    make_gatehouse: Make, origin: Collector, chunked: bool
) -> None:
    materials = Materials(environment={"GITHUB_WEBHOOK_SECRET": SECRET})
    guard = forge([parse_gate("signature:github")], materials=materials).guard
    gatehouse = make_gatehouse(f"{origin.port}", guard=guard)
    body = b'{"ref":"refs/heads/main"}' * 8000
    mac = hmac.new(SECRET.encode(), body, sha256).hexdigest()
    if chunked:
        framing = "Transfer-Encoding: chunked"
        parts = [body[at : at + 7777] for at in range(0, len(body), 7777)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        framing, sent = f"Content-Length: {len(body)}", body
    head = (
        f"POST /hooks HTTP/1.1\r\nHost: tools.example\r\n{framing}\r\n"
        f"X-Hub-Signature-256: sha256={mac}\r\n\r\n"
    ).encode()
    answer = await through_the_door(gatehouse, head + sent)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert origin.bodies == [body]
    # The same again is a replay; with one byte changed it is another body.
    assert (await through_the_door(gatehouse, head + sent)).startswith(b"HTTP/1.1 403 ")
    other = sent.replace(b"main", b"evil", 1)
    assert (await through_the_door(gatehouse, head + other)).startswith(b"HTTP/1.1 403 ")
    assert len(origin.heads) == 1


async def test_the_connection_goes_on_after_a_held_request(
    make_gatehouse: Make, origin: Collector
) -> None:
    gatehouse = make_gatehouse(f"{origin.port}", guard=wants(b"right"))
    door = SocketDoor(gatehouse, DoorSettings(heartbeats=True, fin_departs=False))
    server = await open_door(door)
    try:
        async with asyncio.timeout(DEADLINE):
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for body, status in ((b"right", b"200"), (b"wrong", b"403"), (b"right", b"200")):
                writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n" + body)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.split(b" ")[1] == status
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
            writer.close()
            await writer.wait_closed()
    finally:
        server.close()
        door.close()
    assert origin.bodies == [b"right", b"right"]
