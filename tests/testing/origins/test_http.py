from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest

from underpass.testing.origins import HttpOrigin, huge_part, huge_sha256


class Client:
    """One connection spoken by h11, a parser that the origin does not use."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(h11.CLIENT)

    async def ask(
        self, method: str, target: str, *fields: tuple[str, str], body: bytes = b""
    ) -> Any:
        """Status and body of the answer; 1xx statuses come first, in a list."""
        if self.http.our_state is h11.DONE:
            self.http.start_next_cycle()
        headers = [("Host", "origin.test"), *fields]
        if body:
            headers.append(("Content-Length", str(len(body))))
        self.send(h11.Request(method=method, target=target, headers=headers))
        if body:
            self.send(h11.Data(data=body))
        self.send(h11.EndOfMessage())
        informational, status, received = [], 0, b""
        while not isinstance(event := await self.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.InformationalResponse):
                informational.append(event.status_code)
            elif isinstance(event, h11.Response):
                status = event.status_code
            else:
                received += event.data
        return [*informational, status], received

    def send(self, event: Any) -> None:
        self.writer.write(self.http.send(event) or b"")

    async def next_event(self) -> Any:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(65536))
        return event


@asynccontextmanager
async def client_of(origin: HttpOrigin) -> AsyncIterator[Client]:
    if origin.unix:
        reader, writer = await asyncio.open_unix_connection(origin.unix)
    else:
        reader, writer = await asyncio.open_connection(origin.host, origin.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def test_the_echo_says_what_it_got() -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        status, body = await client.ask(
            "POST", "/a?b=c", ("X-Twice", "1"), ("x-twice", "2"), body=b"hi"
        )
        assert (status, json.loads(body)) == (
            [200],
            {
                "method": "POST",
                "target": "/a?b=c",
                "headers": [
                    ["Host", "origin.test"],
                    ["X-Twice", "1"],
                    ["x-twice", "2"],
                    ["Content-Length", "2"],
                ],
                "trailers": [],
                "body_length": 2,
                "body_sha256": hashlib.sha256(b"hi").hexdigest(),
            },
        )
        assert origin.requests[0].all("x-TWICE") == ["1", "2"]
        assert origin.url == f"http://127.0.0.1:{origin.port}"


async def test_a_connection_serves_several_requests_and_a_head() -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        assert (await client.ask("GET", "/status/503"))[0] == [503]
        assert await client.ask("HEAD", "/anything") == ([200], b"")
        assert (await client.ask("GET", "/anything"))[0] == [200]
        assert (origin.accepted, len(origin.requests)) == (1, 3)


async def test_trailers_are_kept_apart_from_headers() -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        client.writer.write(
            b"POST / HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"
        )
        seen = await origin.arrivals.get()
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 200")
        assert seen.trailers == [("X-Sum", "42")]
        assert seen.all("x-sum") == []
        assert seen.body_length == 5


async def test_expect_gets_its_continue_before_the_body() -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        client.writer.write(
            b"POST / HTTP/1.1\r\nHost: o\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert await client.reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        await client.reader.readline()
        client.writer.write(b"hi")
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 200")


async def test_an_unreadable_request_is_answered_400_and_closed() -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        assert (await client.reader.read()).startswith(b"HTTP/1.1 400")


async def test_events_come_in_number_and_order() -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        status, body = await client.ask("GET", "/sse?events=1000")
        assert status == [200]
        assert body.decode() == "".join(f"id: {n}\ndata: event {n}\n\n" for n in range(1000))


async def test_each_event_leaves_when_it_is_due() -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        client.send(
            h11.Request(method="GET", target="/sse?events=2&interval=60", headers=[("Host", "o")])
        )
        client.send(h11.EndOfMessage())
        assert isinstance(await client.next_event(), h11.Response)
        assert (await client.next_event()).data == b"id: 0\ndata: event 0\n\n"


@pytest.mark.parametrize(
    "path", ["/hang", "/sse?interval=60", "/slow?head=60", "/slow?interval=60"]
)
@pytest.mark.parametrize("goodbye", ["end", "reset"])
async def test_a_departure_is_noticed_at_once(path: str, goodbye: str) -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        client.writer.write(f"GET {path} HTTP/1.1\r\nHost: o\r\n\r\n".encode())
        seen = await origin.arrivals.get()
        assert not seen.is_departed
        if goodbye == "end":
            client.writer.write_eof()
        else:
            client.writer.transport.abort()
        async with asyncio.timeout(5):
            await seen.departed.wait()


async def test_an_answered_visitor_has_not_departed() -> None:
    async with HttpOrigin() as origin:
        async with client_of(origin) as client:
            assert (await client.ask("GET", "/slow?parts=2"))[1] == b"part 0\npart 1\n"
        await origin.wait_idle()
        assert not origin.requests[0].is_departed


@pytest.mark.parametrize("sized", [0, 1])
async def test_a_huge_body_is_complete(sized: int) -> None:
    size = 1_000_001
    async with HttpOrigin() as origin, client_of(origin) as client:
        _, body = await client.ask("GET", f"/huge?bytes={size}&sized={sized}")
        assert len(body) == size
        assert hashlib.sha256(body).hexdigest() == huge_sha256(size)
        assert body.startswith(huge_part(0) + huge_part(1))


async def test_a_huge_body_waits_for_its_reader() -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        client.writer.write(b"GET /huge HTTP/1.1\r\nHost: o\r\n\r\n")
        seen = await origin.arrivals.get()
        await client.reader.readline()
        client.writer.transport.abort()
        async with asyncio.timeout(10):
            await seen.departed.wait()


async def test_a_broken_answer_ends_in_a_reset() -> None:
    async with HttpOrigin() as origin, client_of(origin) as client:
        client.writer.write(b"GET /break?bytes=100 HTTP/1.1\r\nHost: o\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_the_origin_serves_a_unix_socket(tmp_path: Path) -> None:
    async with (
        HttpOrigin(unix=str(tmp_path / "origin.sock")) as origin,
        client_of(origin) as client,
    ):
        assert (await client.ask("GET", "/"))[0] == [200]
        assert origin.url == f"unix://{tmp_path}/origin.sock"
