"""A hostile relay: heads and bodies that no honest edge would send get nowhere.

The gatehouse trusts no edge. Whatever it is handed, the origin's bytes are read by an independent
parser (h11): nothing has come, or one request, which is the one that was handed over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from itertools import product

import h11
import msgspec
from tests.gatehouse.conftest import DEADLINE, RecordingVisitor, raw_origin, request

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.ports import Peer
from underpass.http.messages import UNKNOWN_LENGTH, RequestHead, decode_request, encode_head

Make = Callable[..., Gatehouse]
PEER = Peer("203.0.113.9", 40_000, secure=True)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

BREAKS = (
    *(b"\r\n", b"\n", b"\r", b"\x00", b"\x0b", b"\x7f", b"\r\n\r\n" + SMUGGLED),
    *(b"\r\nX: y", b"\r\n x", b"\x01", b" HTTP/1.1\r\nA: b\r\n\r\n", b"\x85", b"\xe2\x80\xa8"),
)
NAMES = (
    *(
        b"",
        b" ",
        b":",
        b"a b",
        b"a:",
        b"\tX",
        b"X ",
        b"X\r\nY",
        b"Host",
        b"hOsT",
        b"Content-Length",
    ),
    *(b"content-length", b"Transfer-Encoding", b"transfer_encoding", b"Connection", b"Upgrade"),
    *(b"TE", b"Trailer", b"Keep-Alive", b"Expect", b"Proxy-Connection", b"X-Forwarded-For", b"X_Y"),
    *(b"Underpass-Proof", b"Forwarded", b"X-Real-IP", b"X_Forwarded_For", b"\xff", b"(a)", b"a,b"),
)
VALUES = (b"1", b"chunked", b"evil.example", b"", b" ", b"a\r\nb: c", b"a\nb", b"a\x00b", b"\x0b")


def heads() -> Iterator[RequestHead]:
    """Poisoned heads."""
    for poison in BREAKS:
        yield request(b"GET" + poison)
        yield request(poison + b"GET")
        yield request(target=b"/a" + poison)
        yield request(target=poison + b"/a")
        yield request(host=b"tools.example" + poison)
        yield request(headers=[(b"X", b"a" + poison + b"b")])
        yield request(headers=[(b"X" + poison, b"a")])
        yield request(headers=[(b"X", poison)])
        yield request(upgrade=b"websocket" + poison)
    for name, value in product(NAMES, VALUES):
        yield request(headers=[(name, value)])
        yield request(b"POST", headers=[(name, value)], body=5)
    targets = (
        b"",
        b"a",
        b"*",
        b"//evil/",
        b"http://evil/",
        b"/a b",
        b"/\\",
        b"?",
        b"#",
        b"evil:443",
    )
    for method, target in product((b"GET", b"CONNECT", b"OPTIONS", b"", b"G ET"), targets):
        yield request(method, target)
    for host in (b"", b"a b", b"a,b", b"a/b", b"a@b", b"a\r\nX: y", b"[::1", b"a:b:c"):
        yield request(host=host)
    for body in (-2, -1, 5, 1 << 70):
        yield request(b"POST", body=body)
        yield request(b"GET", body=body)
        yield request(b"HEAD", body=body, http10=True)
    yield request(headers=[(b"X%d" % number, b"a") for number in range(20_000)])
    yield request(headers=[(b"X", b"a" * (1 << 20))])
    yield request(target=b"/" + b"a" * (1 << 20))


def parsed(received: bytes) -> list[h11.Request | h11.Data | h11.EndOfMessage]:
    """What an independent server makes of ``received``; raises for what is no HTTP."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 24)
    connection.receive_data(received)
    events = []
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED:
            return events
        events.append(event)
        if isinstance(event, h11.EndOfMessage):
            rest, _ = connection.trailing_data
            assert rest == b"", f"a second request: {rest[:80]!r}"
            return events


async def test_poisoned_heads_reach_no_origin_as_anything_else(make_gatehouse: Make) -> None:
    received: dict[int, bytearray] = {}

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = received[len(received)] = bytearray()
        while b"\r\n\r\n" not in mine:
            if not (data := await reader.read(1 << 20)):
                return
            mine += data
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        while data := await reader.read(1 << 20):
            mine += data

    corpus = list(heads())
    assert len(corpus) > 600
    reached = 0
    for number, head in enumerate(corpus):
        received.clear()
        async with raw_origin(record) as origin:
            house = make_gatehouse(origin.text)
            visitor = RecordingVisitor()
            exchange = house.open_http(visitor, head, PEER)
            if head.body:
                exchange.data_received(b"hello")
            exchange.end_received()
            await visitor.until(lambda visitor: visitor.ended or visitor.aborted)
            house.close()
            await house.wait_closed()
        reached += bool(received)
        for bytes_seen in received.values():
            assert b"/smuggled HTTP" not in bytes_seen.partition(b"\r\n\r\n")[0], (number, head)
            events = parsed(bytes(bytes_seen))
            for event in events:
                if isinstance(event, h11.Request):
                    assert (event.method, event.target) == (head.method, head.target), head
                    names = [name for name, _ in event.headers]
                    assert names.count(b"host") == 1
                    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
                    sent = {name.lower() for name, _ in head.headers}
                    ours = {b"host", b"content-length", b"transfer-encoding", b"connection"}
                    ours |= {b"upgrade", b"x-forwarded-for", b"x-forwarded-proto"}
                    assert set(names) <= sent | ours | {b"x-forwarded-host", b"forwarded"}
    # Most are refused here; those that a server may be given have come to one.
    assert 50 < reached < len(corpus) // 2


async def test_bodies_that_are_not_as_long_as_announced_break_off(make_gatehouse: Make) -> None:
    whole: list[bytes] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 5" in head
        whole.append(await reader.readexactly(6))

    async with raw_origin(record) as origin:
        for body in (b"hello" + SMUGGLED, b"hello!", b"hell"):
            visitor = RecordingVisitor()
            house = make_gatehouse(origin.text)
            exchange = house.open_http(visitor, request(b"POST", body=5), PEER)
            exchange.data_received(body)
            exchange.end_received()
            await visitor.until(lambda visitor: visitor.aborted or visitor.ended)
        await origin.until(lambda origin: origin.closed == origin.accepted)
    assert whole == []


def test_what_is_no_head_at_all_is_not_decoded() -> None:
    good = encode_head(request(headers=[(b"X", b"y")]))
    refused = 0
    for at in range(len(good)):
        for byte in (0x00, 0x80, 0xC0, 0xC1, 0xDE, 0xFF):
            poisoned = good[:at] + bytes((byte,)) + good[at + 1 :]
            try:
                decode_request(poisoned)
            except msgspec.DecodeError:
                refused += 1
    assert refused > 50


async def test_what_comes_behind_the_last_chunk_is_no_next_request(make_gatehouse: Make) -> None:
    seen, whole = bytearray(), asyncio.Event()

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readuntil(b"0\r\n\r\n"))
        whole.set()
        with contextlib.suppress(ConnectionError):
            seen.extend(await reader.read(65536))

    async with raw_origin(record) as origin:
        visitor = RecordingVisitor()
        exchange = make_gatehouse(origin.text).open_http(
            visitor, request(b"POST", body=UNKNOWN_LENGTH), PEER
        )
        exchange.data_received(b"hello")
        exchange.end_received()
        await asyncio.wait_for(whole.wait(), DEADLINE)
        exchange.data_received(b"x\r\n" + SMUGGLED)
        await origin.until(lambda origin: origin.closed == origin.accepted)
    assert seen.endswith(b"5\r\nhello\r\n0\r\n\r\n")
    assert visitor.aborted == "body-length-wrong"
