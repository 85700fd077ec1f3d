"""What runs under an admission ends with it: how each kind of exchange ends, and what is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions
from tests.gatehouse.conftest import (
    DEADLINE,
    KEY,
    RawOrigin,
    RecordingVisitor,
    answering,
    raw_origin,
    request,
)

from underpass.gatehouse.books import ExchangeRecord
from underpass.gatehouse.endings import LOOK_SECONDS, MOST_SPENT, Ending, Endings
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor, open_door
from underpass.guard.gates import Deny, Gate, Guard, Later, NeedsBody, Outcome, Pass
from underpass.guard.holds import Hold
from underpass.http.messages import RequestHead
from underpass.http.websocket import close_frame
from underpass.model.origin import parse_origin
from underpass.observe.looking import Captures
from underpass.observe.observer import Capture, Observer
from underpass.observe.record import exchange_object
from underpass.observe.writer import CaptureWriter
from underpass.testing.clock import FakeClock, SteppedLoop, run_stepped

PEER = Peer("203.0.113.9", 40_000)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %b\r\n\r\n"
SECONDS = 100.0

Make = Callable[..., Gatehouse]


@dataclass(eq=False)
class Admission:
    """A gate whose passes the test ends, by time or by taking them back."""

    kind = text = "admission"
    clock: FakeClock = field(default_factory=FakeClock)
    hold: Hold = field(default_factory=Hold)
    until: float = 0.0

    def __post_init__(self) -> None:
        self.until = self.clock.wall() + SECONDS

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        return Pass(until=self.until, holds=(self.hold,))

    async def end(self, how: str, loop: SteppedLoop) -> None:
        """Have it end."""
        if how == "admission-revoked":
            self.hold.cut()
            await loop.settle()
        else:
            assert how == "admission-ended"
            self.clock.advance(SECONDS)
            await loop.advance(SECONDS)


@dataclass
class Site:
    """A gatehouse in front of an origin, and what it reports."""

    loop: SteppedLoop
    origin: RawOrigin
    admission: Admission
    house: Gatehouse
    records: list[ExchangeRecord]

    @property
    def endings(self) -> Endings:
        return self.house._house.endings


@contextlib.asynccontextmanager
async def site(
    loop: SteppedLoop,
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *gates: Gate,
    scheme: str = "",
    **settings: object,
) -> AsyncIterator[Site]:
    admission = Admission()
    records: list[ExchangeRecord] = []
    async with raw_origin(handler) as origin:
        where = parse_origin(f"{scheme}{origin.text}")
        house = Gatehouse(
            GatehouseSettings(where, where.kind, "tools", "i1", KEY, **settings),  # type: ignore[arg-type]
            Guard([admission, *gates]),
            on_exchange=records.append,
            wall_clock=admission.clock.wall,
        )
        try:
            yield Site(loop, origin, admission, house, records)
        finally:
            house.close()
            await house.wait_closed()
    assert house.statistics().open_http == house.statistics().open_bytes == 0
    assert not len(house._house.endings)
    assert admission.hold.watched == 0


BOTH = pytest.mark.parametrize("how", ["admission-ended", "admission-revoked"])


@BOTH
def test_an_answer_under_way_is_broken_off(how: str) -> None:
    async def main(loop: SteppedLoop) -> None:
        async with site(loop, answering(EVENTS)) as made:
            visitor = RecordingVisitor()
            made.house.open_http(visitor, request(), PEER)
            await visitor.until(lambda visitor: visitor.body == b"data: one\n\n")
            made.admission.clock.advance(SECONDS - 0.1)
            await loop.advance(SECONDS - 0.1)
            assert visitor.aborted is None, "the control: until then it goes on"
            await made.admission.end(how, loop)
            assert (visitor.aborted, visitor.ended) == (how, False)
            assert [record.code for record in made.records] == [how]
            assert made.records[0].completed is None
            await made.origin.until(lambda origin: origin.closed)

    run_stepped(main)


@BOTH
@pytest.mark.parametrize("scheme", ["", "mcp+http://"])
def test_before_the_answer_the_visitor_is_told_and_not_asked_to_come_again(
    how: str, scheme: str
) -> None:
    asked = asyncio.Event()

    async def think(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async def main(loop: SteppedLoop) -> None:
        async with site(loop, think, scheme=scheme) as made:
            visitor = RecordingVisitor()
            head = request(b"POST", headers=[(b"Content-Type", b"application/json")], body=9)
            exchange = made.house.open_http(visitor, head, PEER)
            exchange.data_received(b'{"id":7}')
            await asked.wait()
            await made.admission.end(how, loop)
            status, body = await visitor.answer()
            assert (status, visitor.field(b"underpass-error")) == (403, how.encode())
            assert (b'"jsonrpc"' in body) is bool(scheme)
            assert visitor.field(b"retry-after") is None
            assert visitor.stopped == how
            exchange.data_received(b"x")
            exchange.end_received()
            await made.origin.until(lambda origin: origin.closed)
            assert [record.code for record in made.records] == [how]

    run_stepped(main)


def test_a_dial_under_way_is_given_up() -> None:
    async def main(loop: SteppedLoop) -> None:
        async with site(loop, answering(OK)) as made:
            visitor = RecordingVisitor()
            made.house.open_http(visitor, request(), PEER)
            made.admission.hold.cut()
            assert (await visitor.answer())[0] == 403
            await loop.settle()
            assert made.house.statistics().connections == 0

    run_stepped(main)


@BOTH
def test_a_websocket_is_closed_by_a_frame_between_frames(how: str) -> None:
    hello = b"\x81\x05hello"

    async def main(loop: SteppedLoop) -> None:
        handler = answering(SWITCHED % b"websocket" + hello)
        async with site(loop, handler) as made:
            visitor = RecordingVisitor()
            exchange = made.house.open_http(visitor, request(upgrade=b"WebSocket"), PEER)
            await visitor.until(lambda visitor: visitor.body == hello)
            await made.admission.end(how, loop)
            assert visitor.body == hello + close_frame(1008, how)
            assert (visitor.ended, visitor.aborted, visitor.stopped) == (True, None, how)
            exchange.data_received(b"more")
            await made.origin.until(lambda origin: origin.closed)
            assert [record.code for record in made.records] == [how]

    run_stepped(main)


@BOTH
@pytest.mark.parametrize(
    ("protocol", "sent", "room"),
    [
        (b"websocket", b"\x81\x05hel", 1000),
        (b"websocket", b"\x81", 1000),
        (b"websocket", b"\x88\x02\x03\xe8", 1000),
        (b"websocket", b"\x81\x05hello", 7),
        (b"other", b"\x81\x05hello", 1000),
    ],
    ids=["in a frame", "in its head", "behind a close", "without room", "no WebSocket"],
)
def test_where_no_frame_may_stand_the_connection_is_cut(
    how: str, protocol: bytes, sent: bytes, room: int
) -> None:
    async def main(loop: SteppedLoop) -> None:
        async with site(loop, answering(SWITCHED % protocol + sent)) as made:
            visitor = RecordingVisitor(room)
            made.house.open_http(visitor, request(upgrade=protocol), PEER)
            await visitor.until(lambda visitor: visitor.body == sent)
            await made.admission.end(how, loop)
            assert (visitor.body, visitor.ended, visitor.aborted) == (sent, False, how)
            await made.origin.until(lambda origin: origin.closed)

    run_stepped(main)


def test_what_ends_by_itself_is_forgotten_and_what_has_no_end_is_never_known() -> None:
    async def main(loop: SteppedLoop) -> None:
        async with site(loop, answering(*[OK] * 10)) as made:
            for _ in range(5):
                visitor = RecordingVisitor()
                made.house.open_http(visitor, request(), PEER)
                assert made.admission.hold.watched == 1
                assert await visitor.answer() == (200, b"ok")
                assert made.admission.hold.watched == 0
            assert len(made.endings) == 5, "empty entries, until they are looked at"
            await loop.advance(LOOK_SECONDS)
            assert len(made.endings) == 0
            assert made.endings._timer is None
            made.admission.until, made.admission.hold = float("inf"), Hold()
            made.admission.judge = lambda head, peer: Pass()  # type: ignore[method-assign]
            visitor = RecordingVisitor()
            made.house.open_http(visitor, request(), PEER)
            assert len(made.endings) == 0
            assert await visitor.answer() == (200, b"ok")

    run_stepped(main)


@pytest.mark.parametrize("upgrade", [b"", b"websocket"])
def test_a_visitor_who_leaves_leaves_nothing(upgrade: bytes) -> None:
    async def main(loop: SteppedLoop) -> None:
        answer = SWITCHED % b"websocket" if upgrade else EVENTS
        async with site(loop, answering(answer)) as made:
            visitor = RecordingVisitor()
            exchange = made.house.open_http(visitor, request(upgrade=upgrade), PEER)
            await visitor.until(lambda visitor: visitor.head)
            exchange.visitor_left("visitor-left")
            assert made.admission.hold.watched == 0
            await made.admission.end("admission-ended", loop)
            assert [record.code for record in made.records] == ["visitor-left"]

    run_stepped(main)


# Requests that wait for another gate meanwhile.


@dataclass(eq=False)
class Slow:
    """A gate that wants the body, or waits."""

    outcome: Outcome
    kind = text = "slow"

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        return self.outcome


@BOTH
def test_what_ends_while_another_gate_is_waited_for_lets_nobody_in(how: str) -> None:
    async def main(loop: SteppedLoop) -> None:
        slow = Slow(NeedsBody(100, lambda body: Pass()))
        async with site(loop, answering(OK, OK), slow) as made:
            visitor = RecordingVisitor()
            exchange = made.house.open_http(visitor, request(b"POST", body=2), PEER)
            exchange.data_received(b"o")
            if how == "admission-revoked":
                made.admission.hold.cut()
            else:
                made.admission.clock.advance(SECONDS)
            again = Deny(401, "gate-unauthenticated", [(b"WWW-Authenticate", b"Bearer")])
            made.admission.judge = lambda head, peer: again  # type: ignore[method-assign]
            exchange.data_received(b"k")
            exchange.end_received()
            assert (await visitor.answer())[0] == 401, "judged again: it says how to come"
            assert made.origin.accepted == 0

    run_stepped(main)


def test_a_gate_whose_passes_are_over_when_they_are_given_refuses() -> None:
    async def main(loop: SteppedLoop) -> None:
        async with site(loop, answering(OK)) as made:
            made.admission.until = made.admission.clock.wall()
            visitor = RecordingVisitor()
            made.house.open_http(visitor, request(), PEER)
            assert (await visitor.answer())[0] == 403
            assert made.origin.accepted == 0

    run_stepped(main)


def test_an_end_that_comes_late_with_the_verdict_counts() -> None:
    async def main(loop: SteppedLoop) -> None:
        said: asyncio.Future[Outcome] = loop.create_future()

        async def wait() -> Outcome:
            return await said

        async with site(loop, answering(EVENTS), Slow(Later(wait, 500))) as made:
            visitor = RecordingVisitor()
            made.house.open_http(visitor, request(), PEER)
            said.set_result(Pass(until=made.admission.until - 50))
            await visitor.until(lambda visitor: visitor.body)
            made.admission.clock.advance(SECONDS - 50)
            await loop.advance(SECONDS - 50)
            assert visitor.aborted == "admission-ended"

    run_stepped(main)


# One timer for all.


@dataclass(eq=False)
class Running:
    """An exchange that writes down what ended it."""

    ended: list[str]
    name: str = ""

    def admission_over(self, code: str) -> None:
        self.ended.append(self.name or code)


def timers(loop: SteppedLoop) -> int:
    return sum(not each.cancelled() for each in loop._scheduled)  # type: ignore[attr-defined]


def test_each_ends_in_its_turn_whatever_order_they_came_in() -> None:
    async def main(loop: SteppedLoop) -> None:
        clock, ended = FakeClock(), []
        endings = Endings(loop, clock.wall)
        order = [50.0, 10.0, 90.0, 10.0, 70.0]
        for seconds in order:
            endings.enter(Running(ended, f"{seconds:g}"), clock.wall() + seconds, ())
        assert timers(loop) == 1
        for _ in range(100):
            clock.advance(1)
            await loop.advance(1)
            assert timers(loop) <= 1
        assert ended == ["10", "10", "50", "70", "90"]
        assert not len(endings)
        assert timers(loop) == 0

    run_stepped(main)


def test_a_machine_that_has_slept_finds_what_ended_within_half_a_minute() -> None:
    async def main(loop: SteppedLoop) -> None:
        clock, ended = FakeClock(), []
        endings = Endings(loop, clock.wall)
        endings.enter(Running(ended), clock.wall() + 3600, ())
        clock.sleep(7200)
        await loop.advance(LOOK_SECONDS)
        assert ended == ["admission-ended"]

    run_stepped(main)


def test_a_wall_clock_that_is_set_back_ends_nothing_early() -> None:
    async def main(loop: SteppedLoop) -> None:
        clock, ended = FakeClock(), []
        endings = Endings(loop, clock.wall)
        endings.enter(Running(ended), clock.wall() + 10, ())
        clock.set_wall(clock.wall() - 5)
        clock.advance(10)
        await loop.advance(10)
        assert ended == []
        clock.advance(5)
        await loop.advance(5)
        assert ended == ["admission-ended"]

    run_stepped(main)


def test_one_that_fails_to_end_keeps_no_other_from_it() -> None:
    class Broken:
        def admission_over(self, code: str) -> None:
            raise RuntimeError("it cannot end")

    async def main(loop: SteppedLoop) -> None:
        clock, ended, hold = FakeClock(), [], Hold()
        failed: list[object] = []
        loop.set_exception_handler(lambda loop, context: failed.append(context["exception"]))
        endings = Endings(loop, clock.wall)
        for exchange in (Broken(), Running(ended)):
            endings.enter(exchange, clock.wall() + 10, ())
            endings.enter(exchange, clock.wall() + 99, (hold,))
        clock.advance(10)
        await loop.advance(10)
        hold.cut()
        await loop.settle()
        assert ended == ["admission-ended", "admission-revoked"]
        assert len(failed) == 2
        endings.close()

    run_stepped(main)


def test_a_million_short_exchanges_beside_long_ones_leave_few_entries() -> None:
    async def main(loop: SteppedLoop) -> None:
        clock, ended = FakeClock(), []
        endings = Endings(loop, clock.wall)
        long = [endings.enter(Running(ended), clock.wall() + 50, ()) for _ in range(10)]
        most = 0
        for number in range(20_000):
            endings.enter(Running([]), clock.wall() + 3600 + number % 7, ()).over()
            most = max(most, len(endings))
        assert most <= len(long) + MOST_SPENT + 1
        for each in (*long[:5], long[0]):
            each.over()
        clock.advance(50)
        await loop.advance(50)
        assert ended == ["admission-ended"] * 5
        assert len(endings) <= MOST_SPENT
        endings.close()
        endings.close()

    run_stepped(main)


def test_what_was_cut_and_what_was_over_ends_once() -> None:
    async def main(loop: SteppedLoop) -> None:
        clock, ended, holds = FakeClock(), [], (Hold(), Hold())
        endings = Endings(loop, clock.wall)
        entry: Ending = endings.enter(Running(ended), clock.wall() + 5, (*holds, holds[0]))
        for hold in holds:
            hold.cut()
        entry.over()
        clock.advance(5)
        await loop.advance(5)
        assert ended == ["admission-revoked"]
        assert [hold.watched for hold in holds] == [0, 0]

    run_stepped(main)


# Real clients at a real door.


@contextlib.asynccontextmanager
async def door(gatehouse: Gatehouse) -> AsyncIterator[int]:
    made = SocketDoor(gatehouse, DoorSettings(heartbeats=True, fin_departs=False))
    server = await open_door(made)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        made.close()


async def test_a_websocket_client_is_told_by_1008(make_gatehouse: Make) -> None:
    gone = asyncio.Event()

    async def echo(socket: websockets.asyncio.server.ServerConnection) -> None:
        with contextlib.suppress(websockets.exceptions.ConnectionClosedError):
            async for message in socket:
                await socket.send(message)
        gone.set()

    admission = Admission()
    async with websockets.asyncio.server.serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        house = make_gatehouse(f"{port}", guard=Guard([admission]), wall_clock=admission.clock.wall)
        async with door(house) as public, asyncio.timeout(DEADLINE):
            client = await websockets.asyncio.client.connect(f"ws://127.0.0.1:{public}/")
            await client.send("hello" * 100)
            assert await client.recv() == "hello" * 100
            admission.hold.cut()
            with pytest.raises(websockets.exceptions.ConnectionClosedError):
                await client.recv()
            assert (client.close_code, client.close_reason) == (1008, "admission-revoked")
            await client.wait_closed()
            await gone.wait()


async def test_an_event_streams_client_sees_no_end_but_a_reset(make_gatehouse: Make) -> None:
    admission = Admission()
    async with raw_origin(answering(EVENTS)) as origin:
        house = make_gatehouse(
            origin.text, guard=Guard([admission]), wall_clock=admission.clock.wall
        )
        async with door(house) as public, asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", public)
            writer.write(b"GET / HTTP/1.1\r\nHost: tools.example\r\n\r\n")
            await reader.readuntil(b"data: one\n\n\r\n")
            admission.hold.cut()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()


@BOTH
def test_the_record_says_why_a_websocket_was_closed(how: str, tmp_path: Path) -> None:
    async def main(loop: SteppedLoop) -> None:
        admission = Admission()
        writer = CaptureWriter(tmp_path / "captures.db")
        observer = Observer("tools", writer=writer, capture=Capture.FULL, meter=None)
        async with raw_origin(answering(SWITCHED % b"websocket")) as origin:
            where = parse_origin(origin.text)
            house = Gatehouse(
                GatehouseSettings(where, where.kind, "tools", "i1", KEY),
                Guard([admission]),
                wall_clock=admission.clock.wall,
                observer=observer,
            )
            visitor = RecordingVisitor()
            carried = house.open_http(visitor, request(upgrade=b"websocket"), PEER)
            await visitor.until(lambda visitor: visitor.head)
            await admission.end(how, loop)
            carried.visitor_left("visitor-left")
            house.close()
            await house.wait_closed()
        await observer.close()
        await writer.close()
        with Captures(tmp_path / "captures.db") as captures:
            (outline,) = captures.newest("tools", most=9)
            seen = exchange_object(*captures.find(outline.key))
        assert (seen["kind"], seen["outcome"], seen["code"]) == ("websocket", "broken", how)
        assert [part["kind"] for part in seen["response"]["body"]["parts"]] == ["close"]

    run_stepped(main)
