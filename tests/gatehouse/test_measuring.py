"""The measuring origin: for the owner's own questions, within bounds, and for nobody else."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import pytest

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.gatehouse.measuring.notes import MAX_AT_ONCE
from underpass.gatehouse.measuring.questions import (
    Close,
    Question,
    Send,
    Task,
    Until,
    block,
    body,
    filler,
    script,
)
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.proof import NONCE_BYTES, PROOF_HEADER, ProofChecker, make_request
from underpass.guard.gates import forge
from underpass.http.messages import RequestHead, ResponseHead, lookup
from underpass.model.gates import parse_gate
from underpass.model.origin import parse_origin

KEY = bytes(range(32))
ASKED = Question(Task.FIRST, 1)
LONG = Question(Task.SILENT, 2, us=60_000_000)


def header(asked: object, *, key: bytes = KEY, name: str = "tools", late: float = 0.0) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return make_request(key, name, nonce=nonce, now=time.time() - late, measure=str(asked))


def request(value: bytes) -> RequestHead:
    return RequestHead(b"GET", b"/", b"tools.example.com", [(PROOF_HEADER, value)])


class Visitor:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.data = bytearray()
        self.over = asyncio.Event()
        self.aborted = ""
        self.room = 1 << 20

    def send_informational(self, head: ResponseHead) -> None: ...

    def send_head(self, head: ResponseHead, body: bytes = b"", *, end: bool = False) -> None:
        self.head = head
        self.data += body
        if end:
            self.over.set()

    def send_data(self, data: bytes) -> bool:
        self.data += data
        self.room -= len(data)
        return self.room > 0

    def send_trailers(self, trailers: Any) -> None: ...

    def send_end(self) -> None:
        self.over.set()

    def abort(self, code: str) -> None:
        self.aborted = code
        self.over.set()

    def stop(self, code: str) -> None: ...

    def drained(self, count: int) -> None: ...

    @property
    def is_measured(self) -> bool:
        return self.head is not None and bool(lookup(self.head.headers, b"underpass-measured"))


@pytest.fixture
async def house() -> Any:
    forged = forge([parse_gate("bearer")])
    where = parse_origin("http://127.0.0.1:9")
    settings = GatehouseSettings(where, where.kind, "tools", "one", KEY)
    made = Gatehouse(settings, forged.guard)
    yield made
    made.close()


async def test_the_owner_is_answered_past_the_gates_and_nothing_is_counted(house: Any) -> None:
    async with house.measure() as measurement:
        visitor = Visitor()
        house.open_http(visitor, request(header(ASKED)), Peer("203.0.113.9"))
        await asyncio.wait_for(visitor.over.wait(), 5)
        assert visitor.is_measured
        note = measurement.notes.find(ASKED)
        assert (note.sent, note.left, note.over > 0) == (len(visitor.data), False, True)
    assert house.statistics().http_exchanges == 0
    assert house.statistics().denied == 0


@pytest.mark.parametrize(
    "value",
    [
        header(ASKED, key=bytes(32)),
        header(ASKED, name="other"),
        header(ASKED, late=120),
        header(ASKED).replace(b"first", b"late1"),
        header(ASKED).partition(b".measure=")[0],
        header(ASKED).replace(b".measure=", b".deny="),
        b"v1.AAAA.measure=" + str(ASKED).encode(),
    ],
    ids=["key", "name", "late", "question", "bare", "purpose", "short"],
)
async def test_whoever_cannot_ask_is_an_ordinary_visitor(house: Any, value: bytes) -> None:
    async with house.measure():
        visitor = Visitor()
        house.open_http(visitor, request(value), Peer("203.0.113.9"))
        assert visitor.head is not None
        assert visitor.head.status == 401
        assert not visitor.is_measured


async def test_a_question_is_good_once(house: Any) -> None:
    async with house.measure():
        value = header(ASKED)
        first, second = Visitor(), Visitor()
        house.open_http(first, request(value), Peer(""))
        house.open_http(second, request(value), Peer(""))
        assert first.is_measured
        assert second.head is not None
        assert second.head.status == 401


async def test_without_a_measurement_even_the_owner_is_an_ordinary_visitor(house: Any) -> None:
    visitor = Visitor()
    house.open_http(visitor, request(header(ASKED)), Peer(""))
    assert visitor.head is not None
    assert visitor.head.status == 401


async def test_there_is_one_measurement_at_a_time(house: Any) -> None:
    async with house.measure() as first:
        assert first is not None
        async with house.measure() as second:
            assert second is None
        visitor = Visitor()
        house.open_http(visitor, request(header(ASKED)), Peer(""))
        assert visitor.is_measured
    async with house.measure() as third:
        assert third is not None


async def test_the_end_of_a_measurement_breaks_off_what_goes_on(house: Any) -> None:
    visitor = Visitor()
    async with house.measure():
        house.open_http(visitor, request(header(LONG)), Peer(""))
        assert not visitor.over.is_set()
    assert visitor.aborted == "measurement-over"


async def test_exchanges_are_bounded_in_number(house: Any) -> None:
    async with house.measure():
        visitors = [Visitor() for _ in range(MAX_AT_ONCE + 1)]
        for key, visitor in enumerate(visitors):
            asked = Question(Task.SILENT, key, us=60_000_000)
            house.open_http(visitor, request(header(asked)), Peer(""))
        assert all(visitor.is_measured for visitor in visitors[:-1])
        assert visitors[-1].head is not None
        assert visitors[-1].head.status == 503


async def test_no_more_is_sent_than_the_visitor_takes(house: Any) -> None:
    async with house.measure():
        visitor = Visitor()
        visitor.room = 100_000
        asked = Question(Task.DOWN, 1, size=10_000_000)
        exchange = house.open_http(visitor, request(header(asked)), Peer(""))
        for _ in range(20):
            await asyncio.sleep(0)
        assert 100_000 <= len(visitor.data) < 200_000
        visitor.room = 1 << 30
        exchange.resume_writing()
        await asyncio.wait_for(visitor.over.wait(), 5)
        assert bytes(visitor.data) == b"".join(body(asked))


async def test_a_visitor_who_leaves_is_noted_at_once(house: Any) -> None:
    async with house.measure() as measurement:
        visitor = Visitor()
        exchange = house.open_http(visitor, request(header(LONG)), Peer(""))
        exchange.visitor_left("visitor-left")
        note = measurement.notes.find(LONG)
        assert note.left
        assert note.ended.is_set()


async def test_the_straight_door_turns_strangers_away(house: Any) -> None:
    async with house.measure() as measurement:
        for value, status in ((header(ASKED), b"200"), (header(ASKED, key=bytes(32)), b"503")):
            reader, writer = await asyncio.open_connection("127.0.0.1", measurement.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nUnderpass-Proof: %b\r\n\r\n" % value)
            assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == status
            writer.close()
        port = measurement.port
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("task", Task)
def test_a_question_reads_back(task: Task) -> None:
    asked = Question(task, 7, 3, 1000, 40)
    assert Question.parse(str(asked)) == asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "first",
        "first;key=1;n=1;us=1",
        "first;key=1;n=1;us=1;size=1;more=1",
        "sleep;key=1;n=1;us=1;size=1",
        "first;key=1;n=-1;us=1;size=1",
        "first;key=1;n=\u0661;us=1;size=1",
        "first;key=1;n=1;us=1;size=",
        "events;key=1;n=1000001;us=0;size=1",
        "events;key=1;n=1000;us=22000000;size=1",
        "down;key=1;n=0;us=0;size=1073741825",
        "events;key=1;n=1000000;us=0;size=2000",
        "silent;key=1;n=0;us=21600000001;size=0",
    ],
)
def test_what_is_no_question_or_asks_for_too_much_is_refused(text: str) -> None:
    assert Question.parse(text) is None


def test_a_question_is_part_of_what_is_signed() -> None:
    checker = ProofChecker(KEY, "tools")
    value = header(ASKED)
    assert checker.accept(value.replace(b"key=1", b"key=2"), time.time()) is None
    accepted = checker.accept(value, time.time())
    assert accepted is not None
    assert (accepted.measure, accepted.foreign) == (str(ASKED), "")


def test_a_script_asks_the_clock_when_a_step_is_taken() -> None:
    times = iter((0, 5, 6, 7))
    steps = script(Question(Task.EVENTS, 1, n=2, us=10, size=2), lambda: next(times))
    assert next(steps) == Until(10_000)
    assert next(steps) == Send(b"id: 0\ndata: 5 %b\n\n" % filler(0, 2))
    assert next(steps) == Until(20_000)
    assert next(steps) == Send(b"id: 1\ndata: 6 %b\n\n" % filler(1, 2))
    assert list(steps) == [Close.END]


def test_a_broken_answer_never_comes_to_its_end() -> None:
    steps = list(script(Question(Task.BREAK, 1, us=10), lambda: 0))
    assert steps[-1] is Close.BREAK
    assert Close.END not in steps


def test_bodies_are_as_long_as_was_asked_and_differ_from_block_to_block() -> None:
    for size in (0, 1, 40, 65_536, 65_537, 300_000):
        for task in (Task.DOWN, Task.TEXT):
            assert len(b"".join(body(Question(task, 1, size=size)))) == size
    assert block(0, 64) != block(1, 64)
    assert filler(0, 100) != filler(1, 100)
