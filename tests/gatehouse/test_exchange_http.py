"""One exchange with a real origin: what comes in goes out, whole or visibly broken, never twice."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.gatehouse.conftest import RecordingVisitor, answering, raw_origin, request, settle

from underpass.gatehouse.books import ExchangeRecord
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.ports import Peer

Make = Callable[..., Gatehouse]
PEER = Peer("203.0.113.9", 40_000, secure=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_small_answer_comes_as_one_message(make_gatehouse: Make):
    async with raw_origin(answering(OK)) as origin:
        visitor = RecordingVisitor()
        make_gatehouse(origin.text).open_http(visitor, request(), PEER)
        assert await visitor.answer() == (200, b"ok")
        assert visitor.stopped is None


async def test_connection_is_kept_and_used_again(make_gatehouse: Make):
    async with raw_origin(answering(OK, OK, OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        for _ in range(3):
            visitor = RecordingVisitor()
            gatehouse.open_http(visitor, request(), PEER)
            assert await visitor.answer() == (200, b"ok")
        assert origin.accepted == 1
        numbers = gatehouse.statistics()
        assert (numbers.http_exchanges, numbers.dialled, numbers.reused) == (3, 1, 2)
        assert (numbers.connections, numbers.idle, numbers.open_http) == (1, 1, 0)
        assert numbers.bytes_down == 6


async def test_stale_connection_is_found_before_a_byte_is_written(make_gatehouse: Make):
    seen: list[bytes] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await writer.drain()

    async with raw_origin(once) as origin:
        gatehouse = make_gatehouse(origin.text)
        for number in range(3):
            visitor = RecordingVisitor()
            gatehouse.open_http(visitor, request(target=b"/%d" % number), PEER)
            assert await visitor.answer() == (200, b"ok")
            await origin.until(lambda origin, number=number: origin.closed == number + 1)
        assert [head.split()[1] for head in seen] == [b"/0", b"/1", b"/2"]


async def test_origin_sees_the_head_without_claims_and_with_our_stamp(make_gatehouse: Make):
    heads: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await reader.read()

    async with raw_origin(keep) as origin:
        visitor = RecordingVisitor()
        head = request(
            target=b"/a?b=c",
            headers=[
                (b"Accept", b"*/*"),
                (b"X-Forwarded-For", b"10.0.0.1"),
                (b"X-Real-IP", b"10.0.0.1"),
                (b"Underpass-Proof", b"v1.forged"),
                (b"Mcp-Param-New", b"kept"),
            ],
        )
        make_gatehouse(origin.text).open_http(visitor, head, PEER)
        await visitor.answer()
    assert heads[0].split(b"\r\n") == [
        b"GET /a?b=c HTTP/1.1",
        b"Host: tools.example",
        b"Accept: */*",
        b"Mcp-Param-New: kept",
        b"X-Forwarded-For: 203.0.113.9",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: tools.example",
        b'Forwarded: for=203.0.113.9;host="tools.example";proto=https',
        b"",
        b"",
    ]


async def test_origin_cannot_speak_for_a_gate(make_gatehouse: Make):
    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 401 Unauthorized\r\nUnderpass-Error: gate-unauthenticated\r\n"
            b"UNDERPASS-PROOF-ANSWER: v1.forged\r\nWWW-Authenticate: Bearer\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        await reader.read()

    async with raw_origin(pretend) as origin:
        visitor = RecordingVisitor()
        make_gatehouse(origin.text).open_http(visitor, request(), PEER)
        await visitor.answer()
    assert visitor.head is not None
    assert (visitor.head.status, visitor.head.headers) == (401, [(b"WWW-Authenticate", b"Bearer")])


async def test_small_upload_is_one_write(make_gatehouse: Make):
    got: list[bytes] = []

    async def first_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            got.append(await reader.read(65536))
            writer.write(OK)
        await reader.read()

    async with raw_origin(first_read) as origin:
        gatehouse = make_gatehouse(origin.text)
        for body in (5, -1):
            visitor = RecordingVisitor()
            exchange = gatehouse.open_http(visitor, request(b"POST", body=body), PEER)
            exchange.data_received(memoryview(b"hello"))
            exchange.end_received()
            assert await visitor.answer() == (200, b"ok")
            assert visitor.drained_bytes == 5
    assert got[0].endswith(b"Content-Length: 5\r\n\r\nhello")
    assert got[1].endswith(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


async def test_trailers_of_an_answer_pass_and_those_of_a_request_end_here(make_gatehouse: Make):
    got: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"
        )
        await reader.read()

    async with raw_origin(handle) as origin:
        visitor = RecordingVisitor()
        head = request(b"POST", body=-1, te_trailers=True)
        exchange = make_gatehouse(origin.text).open_http(visitor, head, PEER)
        exchange.data_received(b"xyz")
        exchange.trailers_received([(b"X-Check", b"1")])
        exchange.end_received()
        assert await visitor.answer() == (200, b"abc")
        assert visitor.trailers == [(b"X-Sum", b"6")]
    assert got == [b"3\r\nxyz\r\n0\r\n\r\n"]


async def test_expect_continue_is_the_origins_to_answer(make_gatehouse: Make):
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Expect: 100-continue" in head
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(4)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)
        await reader.read()

    async with raw_origin(handle) as origin:
        visitor = RecordingVisitor()
        head = request(b"PUT", body=4, expect_continue=True)
        exchange = make_gatehouse(origin.text).open_http(visitor, head, PEER)
        await visitor.until(lambda visitor: visitor.informational)
        assert visitor.informational[0].status == 100
        exchange.data_received(b"body")
        exchange.end_received()
        assert await visitor.answer() == (200, b"body")


async def test_expectation_refused_stops_the_upload(make_gatehouse: Make):
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
    async with raw_origin(answering(refusal)) as origin:
        visitor = RecordingVisitor()
        head = request(b"PUT", body=1 << 30, expect_continue=True)
        make_gatehouse(origin.text).open_http(visitor, head, PEER)
        assert await visitor.answer() == (413, b"")
        assert visitor.stopped == "answer-complete"
        await origin.until(lambda origin: origin.closed)


async def test_informational_heads_are_passed_on_but_not_to_http10(make_gatehouse: Make):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with raw_origin(answering(hints + OK, hints + OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        for http10, expected in ((False, [103]), (True, [])):
            visitor = RecordingVisitor()
            gatehouse.open_http(visitor, request(http10=http10), PEER)
            assert await visitor.answer() == (200, b"ok")
            assert [head.status for head in visitor.informational] == expected


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n"),
        (b"POST", b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_answers_without_a_body_leave_the_connection_usable(
    make_gatehouse: Make, method: bytes, answer: bytes
):
    async with raw_origin(answering(answer, OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        visitor = RecordingVisitor()
        gatehouse.open_http(visitor, request(method), PEER)
        status, body = await visitor.answer()
        assert (status, body) == (int(answer[9:12]), b"")
        visitor = RecordingVisitor()
        gatehouse.open_http(visitor, request(), PEER)
        assert await visitor.answer() == (200, b"ok")
        assert origin.accepted == 1


async def test_bytes_after_an_answer_cost_the_connection(make_gatehouse: Make):
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
    async with raw_origin(answering(OK + poison)) as origin:
        gatehouse = make_gatehouse(origin.text)
        visitor = RecordingVisitor()
        gatehouse.open_http(visitor, request(), PEER)
        assert await visitor.answer() == (200, b"ok")
        await origin.until(lambda origin: origin.closed)
        assert gatehouse.statistics().idle == 0


async def test_bytes_on_a_kept_connection_cost_it_too(make_gatehouse: Make):
    speak = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await speak.wait()
        writer.write(OK)
        await reader.read()

    async with raw_origin(handle) as origin:
        gatehouse = make_gatehouse(origin.text)
        visitor = RecordingVisitor()
        gatehouse.open_http(visitor, request(), PEER)
        await visitor.answer()
        speak.set()
        await origin.until(lambda origin: origin.closed)


async def test_answer_that_ends_with_the_connection_is_whole(make_gatehouse: Make):
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")

    async with raw_origin(handle) as origin:
        visitor = RecordingVisitor()
        make_gatehouse(origin.text).open_http(visitor, request(), PEER)
        assert await visitor.answer() == (200, b"all of it")
        assert visitor.head is not None
        assert visitor.head.body == -1


async def test_answer_cut_short_is_broken_off(make_gatehouse: Make):
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour")

    records: list[ExchangeRecord] = []
    async with raw_origin(handle) as origin:
        visitor = RecordingVisitor()
        gatehouse = make_gatehouse(origin.text, on_exchange=records.append)
        gatehouse.open_http(visitor, request(), PEER)
        await visitor.until(lambda visitor: visitor.aborted)
        assert (visitor.aborted, bytes(visitor.body), visitor.ended) == (
            "origin-broke",
            b"four",
            False,
        )
        await origin.until(lambda origin: origin.closed)
        await settle()
        assert gatehouse.statistics().connections == 0
    assert [(record.status, record.code, record.completed) for record in records] == [
        (200, "origin-broke", None)
    ]


async def test_origin_that_refuses_is_away(make_gatehouse: Make):
    async with raw_origin(answering()) as origin:
        pass
    records: list[ExchangeRecord] = []
    visitor = RecordingVisitor()
    gatehouse = make_gatehouse(origin.text, on_exchange=records.append)
    exchange = gatehouse.open_http(visitor, request(b"POST", body=-1), PEER)
    exchange.data_received(b"part")
    status, _ = await visitor.answer()
    assert (status, visitor.field(b"Underpass-Error")) == (503, b"origin-away")
    assert visitor.field(b"Retry-After") is not None
    assert visitor.stopped == "origin-away"
    assert [(record.status, record.code) for record in records] == [(503, "origin-away")]


async def test_origin_that_closes_before_its_head_is_away_and_asked_once(make_gatehouse: Make):
    asked: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(65536))

    async with raw_origin(handle) as origin:
        visitor = RecordingVisitor()
        gatehouse = make_gatehouse(origin.text)
        gatehouse.open_http(visitor, request(b"POST"), PEER)
        status, _ = await visitor.answer()
        assert (status, visitor.field(b"Underpass-Error")) == (503, b"origin-away")
        await settle()
        assert gatehouse.statistics().connections == 0
    assert [head[:5] for head in asked if not head.startswith(b"\x16")] == [b"POST "]


async def test_origin_that_speaks_no_http_is_malformed(make_gatehouse: Make):
    async with raw_origin(answering(b"220 mail.example ESMTP\r\n\r\n")) as origin:
        visitor = RecordingVisitor()
        make_gatehouse(origin.text).open_http(visitor, request(), PEER)
        status, _ = await visitor.answer()
        assert (status, visitor.field(b"Underpass-Error")) == (502, b"origin-malformed")


async def test_visitor_that_leaves_takes_the_origins_connection_along(make_gatehouse: Make):
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await reader.read()

    async with raw_origin(handle) as origin:
        visitor = RecordingVisitor()
        exchange = make_gatehouse(origin.text).open_http(visitor, request(), PEER)
        await visitor.until(lambda visitor: visitor.body)
        exchange.visitor_left("visitor-left")
        async with asyncio.timeout(1):
            await origin.until(lambda origin: origin.closed)


async def test_visitor_that_leaves_during_the_dial_is_forgotten(make_gatehouse: Make):
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        visitor = RecordingVisitor()
        exchange = gatehouse.open_http(visitor, request(), PEER)
        exchange.visitor_left("visitor-left")
        other = RecordingVisitor()
        gatehouse.open_http(other, request(), PEER)
        assert await other.answer() == (200, b"ok")
        assert visitor.head is None


async def test_events_pass_at_once(make_gatehouse: Make):
    turn = asyncio.Queue[bytes]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        while event := await turn.get():
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        writer.write(b"0\r\n\r\n")

    async with raw_origin(handle) as origin:
        visitor = RecordingVisitor()
        make_gatehouse(origin.text).open_http(visitor, request(), PEER)
        await visitor.until(lambda visitor: visitor.head)
        for number in range(20):
            event = b"data: %d\n\n" % number
            turn.put_nowait(event)
            await visitor.until(lambda visitor, event=event: visitor.body.endswith(event))
        turn.put_nowait(b"")
        await visitor.answer()


async def test_slow_visitor_holds_the_origin_back(make_gatehouse: Make):
    size = 32 * 1024 * 1024
    written = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        part = bytes(65536)
        while written < size:
            writer.write(part)
            await writer.drain()
            written += len(part)

    async with raw_origin(handle) as origin:
        visitor = RecordingVisitor(room=100_000)
        exchange = make_gatehouse(origin.text).open_http(visitor, request(), PEER)
        await visitor.until(lambda visitor: visitor.room <= 0)
        assert len(visitor.body) <= 100_000
        for _ in range(5):
            before = len(visitor.body)
            visitor.room = 10_000
            exchange.resume_writing()
            await visitor.until(lambda visitor: visitor.room <= 0)
            assert len(visitor.body) - before <= 10_000
        assert written < size
        visitor.room = 1 << 30
        exchange.resume_writing()
        assert (await visitor.answer())[0] == 200
        assert len(visitor.body) == size


async def test_slow_origin_holds_the_visitor_back(make_gatehouse: Make):
    go = asyncio.Event()
    size = 16 * 1024 * 1024

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        await reader.readexactly(size)
        writer.write(OK)
        await reader.read()

    async with raw_origin(handle) as origin:
        visitor = RecordingVisitor()
        gatehouse = make_gatehouse(origin.text)
        exchange = gatehouse.open_http(visitor, request(b"PUT", body=size), PEER)
        part = bytes(256 * 1024)
        sent = 0
        while sent < size:
            exchange.data_received(part)
            sent += len(part)
            with_deadline = asyncio.timeout(0.3)
            try:
                async with with_deadline:
                    await visitor.until(lambda visitor, sent=sent: visitor.drained_bytes == sent)
            except TimeoutError:
                break
        assert sent < size, "the kernel's buffers are smaller than this"
        go.set()
        while sent < size:
            exchange.data_received(part)
            sent += len(part)
            await visitor.until(lambda visitor, sent=sent: visitor.drained_bytes == sent)
        exchange.end_received()
        assert await visitor.answer() == (200, b"ok")
        assert visitor.drained_bytes == size
        assert gatehouse.statistics().bytes_up == size


@pytest.mark.parametrize(("claimed", "sent"), [(3, b"four"), (5, b"four"), (0, b"four")])
async def test_body_of_another_length_breaks_the_exchange(
    make_gatehouse: Make, claimed: int, sent: bytes
):
    async with raw_origin(answering()) as origin:
        visitor = RecordingVisitor()
        gatehouse = make_gatehouse(origin.text)
        exchange = gatehouse.open_http(visitor, request(b"POST", body=claimed), PEER)
        exchange.data_received(sent)
        exchange.end_received()
        assert visitor.aborted == "body-length-wrong"


async def test_head_that_no_reader_judged_is_refused(make_gatehouse: Make):
    async with raw_origin(answering(OK)) as origin:
        gatehouse = make_gatehouse(origin.text)
        for head in (
            request(target=b"http://169.254.169.254/"),
            request(target=b"//evil.example/"),
            request(headers=[(b"A", b"b\r\nX-Evil: 1")]),
            request(headers=[(b"Content-Length", b"5")]),
            request(headers=[(b"Bad Name", b"1")]),
            request(host=b"a@b"),
            request(b"CONNECT"),
        ):
            visitor = RecordingVisitor()
            gatehouse.open_http(visitor, head, PEER)
            status, _ = await visitor.answer()
            assert (status, visitor.field(b"Underpass-Error")) == (400, b"head-invalid")
        assert origin.accepted == 0


async def test_unix_socket_is_an_origin_too(make_gatehouse: Make, tmp_path):
    path = tmp_path / "o.sock"
    async with raw_origin(answering(OK), unix=path):
        visitor = RecordingVisitor()
        make_gatehouse(f"unix://{path}").open_http(visitor, request(), PEER)
        assert await visitor.answer() == (200, b"ok")


async def test_hundred_exchanges_at_once_get_their_own_answers(make_gatehouse: Make):
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target) + target)

    async with raw_origin(echo) as origin:
        gatehouse = make_gatehouse(origin.text)
        visitors = [RecordingVisitor() for _ in range(100)]
        for number, visitor in enumerate(visitors):
            gatehouse.open_http(visitor, request(target=b"/%d" % number), PEER)
        for number, visitor in enumerate(visitors):
            assert await visitor.answer() == (200, b"/%d" % number)


async def test_answer_given_before_the_upload_is_read_reaches_the_visitor(make_gatehouse: Make):
    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!")
        await writer.drain()  # and then it closes on unread bytes: a reset follows the answer

    async with raw_origin(impatient) as origin:
        gatehouse = make_gatehouse(origin.text)
        for _ in range(10):
            visitor = RecordingVisitor()
            exchange = gatehouse.open_http(visitor, request(b"PUT", body=1 << 30), PEER)
            sent = 0
            while not visitor.ended and not visitor.aborted:
                exchange.data_received(bytes(65536))
                sent += 65536
                await visitor.until(
                    lambda visitor, sent=sent: visitor.ended or visitor.drained_bytes == sent
                )
            assert (visitor.head.status, bytes(visitor.body)) == (413, b"no!")
            assert visitor.stopped == "answer-complete"


async def test_answer_may_come_byte_by_byte(make_gatehouse: Make):
    answer = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
    )

    async def slice_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for index in range(len(answer)):
            writer.write(answer[index : index + 1])
            await asyncio.sleep(0)
        await reader.read()

    async with raw_origin(slice_up) as origin:
        for room in (1 << 30, 1):
            visitor = RecordingVisitor(room=room)
            exchange = make_gatehouse(origin.text).open_http(visitor, request(), PEER)
            while not visitor.ended:
                await visitor.until(lambda visitor: visitor.room <= 0 or visitor.ended)
                visitor.room = room
                exchange.resume_writing()
            assert [head.status for head in visitor.informational] == [103]
            assert bytes(visitor.body) == b"abcde"
            assert visitor.trailers == [(b"X-Sum", b"5")]


@pytest.fixture
def http_server() -> Iterator[int]:
    """Python's own http.server: HTTP/1.0, every answer ends with its connection."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from http.server")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body[::-1])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


async def test_http_server_of_the_standard_library(make_gatehouse: Make, http_server: int):
    gatehouse = make_gatehouse(f"localhost:{http_server}")
    visitor = RecordingVisitor()
    gatehouse.open_http(visitor, request(), PEER)
    assert await visitor.answer() == (200, b"from http.server")
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, request(b"POST", body=3), PEER)
    exchange.data_received(b"abc")
    exchange.end_received()
    assert await visitor.answer() == (200, b"cba")


async def test_a_body_that_breaks_off_ends_in_a_reset_at_the_origin(make_gatehouse: Make):
    """Servers that count on the end of the stream must not take half a body for a whole one."""
    ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    half_way = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nhalf")
        half_way.set()
        try:
            ended.set_result(await reader.read())
        except ConnectionResetError as error:
            ended.set_result(error)

    async with raw_origin(handle) as origin:
        exchange = make_gatehouse(origin.text).open_http(
            RecordingVisitor(), request(b"POST", body=8), PEER
        )
        exchange.data_received(b"half")
        async with asyncio.timeout(5.0):
            await half_way.wait()
            exchange.visitor_left("visitor-left")
            assert isinstance(await ended, ConnectionResetError)
