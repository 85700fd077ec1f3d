"""What the gatehouse tells its observer: every exchange, as seen from outside, but proofs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.gatehouse.conftest import (
    DEADLINE,
    KEY,
    RecordingVisitor,
    answering,
    raw_origin,
    request,
    settle,
)
from websockets.frames import Frame, Opcode

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.proof import make_request
from underpass.guard.checks import BearerGate, Gate, IpGate
from underpass.guard.gates import Guard
from underpass.guard.outcomes import Deny, Later, NeedsBody, Outcome
from underpass.guard.secrets import hash_token, new_token
from underpass.http.messages import UNKNOWN_LENGTH, RequestHead
from underpass.model.origin import parse_origin
from underpass.observe.looking import Captures
from underpass.observe.meter import Meter
from underpass.observe.observer import Capture, Observer
from underpass.observe.quota import Quota
from underpass.observe.record import exchange_object
from underpass.observe.writer import CaptureWriter
from underpass.testing.canary import Canary

PEER = Peer("203.0.113.7", 4711)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Make = Callable[..., Gatehouse]


class Watch:
    """An observer and what it has written."""

    def __init__(self, directory: Path, quota: Quota, capture: Capture) -> None:
        self.path = directory / "captures.db"
        self.writer = CaptureWriter(self.path)
        self.meter = Meter(quota, unix=time.time())
        self.observer = Observer("tools", writer=self.writer, capture=capture, meter=self.meter)

    async def exchanges(self) -> list[dict[str, Any]]:
        """All that was recorded, oldest first."""
        await self.observer.flush()
        with Captures(self.path) as captures:
            keys = [outline.key for outline in captures.newest("tools", most=1000)]
            return [exchange_object(*captures.find(key)) for key in keys]


@pytest.fixture
async def make_watch(tmp_path: Path) -> AsyncIterator[Callable[..., Watch]]:
    """Makes one watch."""
    made: list[Watch] = []

    def make(quota: Quota | None = None, capture: Capture = Capture.FULL) -> Watch:
        made.append(Watch(tmp_path, quota or Quota(), capture))
        return made[-1]

    yield make
    for watch in made:
        await watch.observer.close()
        await watch.writer.close()


@pytest.fixture
async def make_house() -> AsyncIterator[Make]:
    """Makes observed gatehouses, closed at the end."""
    made: list[Gatehouse] = []

    def make(watch: Watch, origin: str, guard: Guard | None = None) -> Gatehouse:
        parsed = parse_origin(origin)
        settings = GatehouseSettings(parsed, parsed.kind, "tools", "i1", KEY)
        made.append(Gatehouse(settings, guard or Guard((), public=True), observer=watch.observer))
        return made[-1]

    yield make
    for house in made:
        house.close()
        await house.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> None:
    """A chunked request to its end."""
    await reader.readuntil(b"\r\n0\r\n\r\n")


async def test_an_exchange_is_recorded_as_the_visitor_saw_it(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    watch = make_watch()
    async with raw_origin(answering(OK)) as origin:
        visitor = RecordingVisitor()
        head = request(b"POST", b"/x?token=abc", headers=[(b"X-A", b"b")], body=5)
        exchange = make_house(watch, origin.text).open_http(visitor, head, PEER)
        exchange.data_received(b"hel")
        exchange.data_received(memoryview(b"lo"))
        exchange.end_received()
        assert await visitor.answer() == (200, b"ok")
        (seen,) = await watch.exchanges()
    assert (seen["method"], seen["target"], seen["status"]) == ("POST", "/x?token=[redacted]", 200)
    assert (seen["outcome"], seen["visitor"], seen["up"], seen["down"]) == (
        "complete",
        "203.0.113.7",
        5,
        2,
    )
    assert (seen["request"]["body"]["text"], seen["response"]["body"]["text"]) == ("hello", "ok")
    assert 0 <= seen["first"] <= seen["total"]
    assert watch.meter.total.requests == 1


async def test_a_denied_visitor_is_recorded_with_its_gate_and_no_credential(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    watch, token = make_watch(), new_token()
    guard = Guard([IpGate(["203.0.113.0/24"]), BearerGate(hash_token(token.reveal()))])
    async with raw_origin(answering(OK)) as origin:
        house = make_house(watch, origin.text, guard)
        wrong = request(headers=[(b"Authorization", b"Bearer " + b"nearly-right")])
        right = request(headers=[(b"Authorization", b"Bearer " + token.reveal().encode())])
        for head, peer in ((wrong, Peer("198.51.100.1")), (wrong, PEER), (right, PEER)):
            visitor = RecordingVisitor()
            house.open_http(visitor, head, peer)
            await visitor.answer()
        seen = await watch.exchanges()
    assert [(each["outcome"], each["gate"], each["status"]) for each in seen] == [
        ("denied", "ip", 403),
        ("denied", "bearer", 401),
        ("complete", "", 200),
    ]
    assert seen[2]["identity"] == "bearer"
    assert all(["Authorization", "[redacted]"] in each["request"]["headers"] for each in seen)
    assert set(watch.meter.visitors) == {"denied", "bearer"}


def late_body(verdict: Deny) -> Outcome:
    return NeedsBody(100, lambda body: verdict)


def late_answer(verdict: Deny) -> Outcome:
    async def wait() -> Outcome:
        return verdict

    return Later(wait)


class LateGate:
    """Refuses once it has the body, or after a while."""

    kind = "late"
    text = "late"

    def __init__(self, say: Callable[[Deny], Outcome]) -> None:
        self._say = say

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        return self._say(Deny(401, "gate-unauthenticated"))


@pytest.mark.parametrize("say", [late_body, late_answer])
@pytest.mark.parametrize("others", [0, 1])
async def test_a_verdict_that_comes_later_is_recorded_with_its_gate(
    make_house: Make,
    make_watch: Callable[..., Watch],
    say: Callable[[Deny], Outcome],
    others: int,
) -> None:
    watch = make_watch()
    gates: list[Gate] = [IpGate(["203.0.113.0/24"])] * others + [LateGate(say)]
    async with raw_origin(answering(OK)) as origin:
        house = make_house(watch, origin.text, Guard(gates))
        visitor = RecordingVisitor()
        house.open_http(visitor, request(), PEER).end_received()
        assert (await visitor.answer())[0] == 401
        (seen,) = await watch.exchanges()
    assert (seen["outcome"], seen["gate"]) == ("denied", "late")


async def test_proofs_are_neither_recorded_nor_metered(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    watch, token = make_watch(), new_token()
    guard = Guard([BearerGate(hash_token(token.reveal()))])
    async with raw_origin(answering(OK)) as origin:
        house = make_house(watch, origin.text, guard)
        value = make_request(KEY, "tools", nonce=bytes(16), now=time.time())
        stranger = [(b"User-Agent", b"underpass-prover")]
        for headers in ([(b"Underpass-Proof", value)], stranger):
            visitor = RecordingVisitor()
            house.open_http(visitor, request(headers=headers), PEER)
            await visitor.answer()
        assert house.statistics().proofs == 1
        assert await watch.exchanges() == []
        # Whoever shows anything besides is a visitor like any other.
        visitor = RecordingVisitor()
        curious = [*stranger, (b"Authorization", b"Bearer guess")]
        house.open_http(visitor, request(headers=curious), PEER)
        await visitor.answer()
        assert [each["outcome"] for each in await watch.exchanges()] == ["denied"]
    assert watch.meter.total.requests == 1


async def test_a_proof_on_a_byte_stream_is_forgotten(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    watch = make_watch()
    house = make_house(watch, "tcp://127.0.0.1:9")
    prefix = house.arm_probe()
    visitor = RecordingVisitor()
    exchange = house.open_bytes(visitor, PEER)
    exchange.data_received(prefix)
    await visitor.until(lambda seen: seen.ended)
    exchange.end_received()
    assert await watch.exchanges() == []
    assert watch.meter.total.requests == 0


async def test_a_byte_stream_is_counted_and_its_bytes_are_not_kept(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.write_eof()

    watch = make_watch()
    async with raw_origin(echo) as origin:
        visitor = RecordingVisitor()
        exchange = make_house(watch, f"tcp://{origin.text}").open_bytes(visitor, PEER)
        exchange.data_received(b"canary")
        exchange.end_received()
        await visitor.until(lambda seen: seen.ended)
        (seen,) = await watch.exchanges()
    assert (seen["kind"], seen["outcome"], seen["up"], seen["down"]) == ("tcp", "complete", 6, 6)
    assert seen["request"]["body"] == {"cut": True, "opaque": "bytes", "text": ""}


async def test_events_and_a_break_are_recorded(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n"

    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + chunks)
        await writer.drain()
        await reader.read()

    watch = make_watch()
    async with raw_origin(events) as origin:
        visitor = RecordingVisitor()
        exchange = make_house(watch, origin.text).open_http(visitor, request(), PEER)
        await visitor.until(lambda seen: seen.body)
        exchange.visitor_left("visitor-left")
        (seen,) = await watch.exchanges()
    assert (seen["kind"], seen["outcome"], seen["code"]) == ("events", "broken", "visitor-left")
    assert [part["text"] for part in seen["response"]["body"]["parts"]] == ["data: a\n\n"]


async def test_frames_of_a_websocket_are_recorded_both_ways(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    upgraded = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    upgraded += b"Connection: Upgrade\r\n\r\n"
    hello = Frame(Opcode.TEXT, b"hello").serialize(mask=False)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(upgraded + hello)
        await reader.read()

    watch = make_watch()
    async with raw_origin(serve) as origin:
        visitor = RecordingVisitor()
        head = request(upgrade=b"websocket")
        exchange = make_house(watch, origin.text).open_http(visitor, head, PEER)
        await visitor.until(lambda seen: seen.body)
        exchange.data_received(Frame(Opcode.TEXT, b'{"token": "x"}').serialize(mask=True))
        exchange.end_received()
        await visitor.until(lambda seen: seen.ended)
        (seen,) = await watch.exchanges()
    assert (seen["kind"], seen["status"], seen["outcome"]) == ("websocket", 101, "complete")
    assert [part["text"] for part in seen["response"]["body"]["parts"]] == ["hello"]
    assert [part["text"] for part in seen["request"]["body"]["parts"]] == [
        '{"token": "[redacted]"}'
    ]


async def test_quota_reached_is_answered_and_says_when_to_come_back(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    watch = make_watch(Quota(requests_a_minute=1))
    async with raw_origin(answering(OK)) as origin:
        house = make_house(watch, origin.text)
        answers = []
        for _ in range(2):
            visitor = RecordingVisitor()
            house.open_http(visitor, request(), PEER)
            answers.append((await visitor.answer())[0])
    assert answers == [200, 429]
    assert visitor.field(b"Underpass-Error") == b"quota-reached"
    assert 58 <= int(visitor.field(b"Retry-After") or 0) <= 61
    assert [each["outcome"] for each in await watch.exchanges()] == ["complete", "answered"]


async def test_a_replay_reaches_the_origin_with_its_mark_and_past_the_gates(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    heads: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        heads.append(await reader.readexactly(5))
        writer.write(OK)
        await reader.read()

    watch = make_watch()
    guard = Guard([BearerGate(hash_token(new_token().reveal()))])
    async with raw_origin(note) as origin:
        house = make_house(watch, origin.text, guard)
        forged = [(b"Underpass-Replay", b"forged")]
        head = request(b"POST", b"/hooks", headers=forged, body=5)
        tape = await house.replay(head, b"hello", of="1m83whq5s3w2f", seconds=DEADLINE)
        (seen,) = await watch.exchanges()
    assert tape.response is not None
    assert heads[1] == b"hello"
    assert heads[0].count(b"Underpass-Replay: ") == 1
    assert b"\r\nUnderpass-Replay: 1m83whq5s3w2f\r\n\r\n" in heads[0]
    assert (seen["identity"], seen["replay_of"], seen["status"]) == ("owner", "1m83whq5s3w2f", 200)


async def test_a_replay_that_is_not_answered_ends_in_time(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    watch = make_watch()
    async with raw_origin(silent) as origin:
        house = make_house(watch, origin.text)
        tape = await house.replay(request(), b"", of="1m83whq5s3w2f", seconds=0.05)
        await origin.until(lambda seen: seen.closed)
    assert (tape.outcome, tape.code, tape.response) == ("broken", "replay-over", None)


async def test_heads_only_keeps_no_byte_of_a_body(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    watch = make_watch(capture=Capture.HEADS)
    async with raw_origin(answering(OK)) as origin:
        visitor = RecordingVisitor()
        make_house(watch, origin.text).open_http(visitor, request(), PEER)
        await visitor.answer()
        (seen,) = await watch.exchanges()
    assert seen["response"]["body"] == {"cut": True, "opaque": "heads only", "text": ""}
    assert seen["down"] == 2


async def test_an_exchange_that_goes_on_is_written_down_before_it_ends(
    make_house: Make, make_watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("underpass.observe.observer.TICK_SECONDS", 0.01)

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
        await reader.read()

    watch = make_watch()
    async with raw_origin(half) as origin:
        visitor = RecordingVisitor()
        exchange = make_house(watch, origin.text).open_http(visitor, request(), PEER)
        await visitor.until(lambda seen: seen.body)
        async with asyncio.timeout(DEADLINE):
            while not (seen := await watch.exchanges()) or not seen[0]["down"]:
                await settle()
        assert (seen[0]["outcome"], seen[0]["response"]["body"]["text"]) == ("open", "ha")
        exchange.visitor_left("visitor-left")
        (seen,) = [await watch.exchanges()]
    assert [each["outcome"] for each in seen] == ["broken"]


async def test_no_canary_is_in_the_raw_bytes_of_the_file_or_its_log(
    make_house: Make, make_watch: Callable[..., Watch]
) -> None:
    """Secrets at every place where visitors and origins put them, in all shapes of messages."""
    canary = Canary()
    planted = [canary.plant(f"place {number}") for number in range(14)]
    secret = [each.encode() for each in planted]
    token = new_token()
    canary.watch_for("the credential that passed", token.reveal())
    guard = Guard([BearerGate(hash_token(token.reveal()))])
    body = b'{"a": [{"password": "%b"}], "t": "{\\"api_key\\": \\"%b\\"}"}' % (secret[0], secret[1])
    answer = b'data: {"access_token":\ndata: "%b"}\n\ndata: {"secret": "%b' % (secret[2], secret[3])
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: a=%b\r\n"
        b"X-Session-Token: %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    ) % (secret[4], secret[5], len(answer))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in (head, answer[:30], answer[30:50], answer[50:]):
            writer.write(part)
            await writer.drain()

    watch = make_watch()
    async with raw_origin(serve) as origin:
        house = make_house(watch, origin.text, guard)
        for fields in (
            [(b"Authorization", b"Bearer " + token.reveal().encode())],
            [(b"Underpass-Token", token.reveal().encode())],
        ):
            visitor = RecordingVisitor()
            sent = [
                *fields,
                (b"Cookie", b"session=" + secret[6]),
                (b"X-Api-Key", secret[7]),
                (b"X-Note", b"see https://bob:%b@db.test/" % secret[8]),
                (b"Content-Type", b"application/json"),
            ]
            target = b"/cb?code=%b&to%%6ben=%b&q=%%7B%%22pin%%22%%3A%%22%b%%22%%7D" % (
                secret[9],
                secret[10],
                secret[11],
            )
            asked = request(b"POST", target, headers=sent, body=UNKNOWN_LENGTH)
            exchange = house.open_http(visitor, asked, PEER)
            for at in range(0, len(body), 7):
                exchange.data_received(body[at : at + 7])
            exchange.end_received()
            await visitor.until(lambda seen: seen.ended or seen.aborted)
            form = [*fields, (b"Content-Type", b"application/x-www-form-urlencoded")]
            visitor = RecordingVisitor()
            asked = request(b"POST", b"/", headers=form, body=UNKNOWN_LENGTH)
            exchange = house.open_http(visitor, asked, PEER)
            exchange.data_received(b"user=bob&client_secret=" + secret[12])
            exchange.data_received(b"&pass%77ord=" + secret[13])
            exchange.end_received()
            await visitor.until(lambda seen: seen.ended or seen.aborted)
        seen = await watch.exchanges()
        assert len(seen) == 4
        files = sorted(watch.path.parent.glob("captures.db*"))
        assert len(files) >= 2
        assert canary.scan(files=files, processes=False) == []
        raw = b"".join(path.read_bytes() for path in files)
    assert b"bob" in raw  # the control: what is no secret is there in plain
    assert b"X-Session-Token" in raw
