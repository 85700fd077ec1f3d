"""Pages of our own: an application behind the gatehouse's doors, bounded on every side."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.gatehouse.conftest import KEY, RecordingVisitor, request, settle

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.gatehouse.inner_app import MAX_AT_ONCE, MAX_OF_NETWORK, InnerApp
from underpass.gatehouse.inner_exchange import MAX_BODY
from underpass.gatehouse.ports import Peer
from underpass.guard.gates import Guard, IpGate
from underpass.http.messages import UNKNOWN_LENGTH
from underpass.model.origin import Kind, parse_origin

PEER = Peer("203.0.113.7", 4711, secure=True)


class Site:
    """Pages whose application is the test's."""

    def __init__(self, app: Any, admitted: str = "203.0.113.7") -> None:
        self.app = app
        self.urls: list[str] = []
        self._admitted = admitted

    def takes(self, target: bytes) -> bool:
        return target.startswith(b"/own")

    def admits(self, address: str) -> bool:
        return address == self._admitted

    def rebase(self, public_url: str) -> None:
        self.urls.append(public_url)


def inner(app: Any, seconds: float = 5.0) -> InnerApp:
    return InnerApp(Site(app), asyncio.get_running_loop(), seconds=seconds)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    headers = [(b"content-length", b"%d" % len(body)), (b"x-path", scope["raw_path"])]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def test_an_application_gets_the_request_and_answers_it():
    app, visitor = inner(echo), RecordingVisitor()
    exchange = app.open(visitor, request(b"POST", b"/own/x?y=1", body=6), PEER)
    exchange.data_received(b"abc")
    exchange.data_received(memoryview(b"def"))
    exchange.end_received()
    assert await visitor.answer() == (200, b"abcdef")
    assert visitor.field(b"x-path") == b"/own/x"
    assert visitor.head is not None
    assert visitor.head.body == 6
    assert visitor.drained_bytes == 6
    await app.wait_closed()


async def test_the_scope_says_who_calls_and_how():
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    served, visitor = inner(app), RecordingVisitor()
    served.open(visitor, request(b"GET", b"/own/%C3%A4?q=%20", headers=[(b"X-A", b"b")]), PEER)
    await visitor.answer()
    (scope,) = seen
    assert (scope["path"], scope["query_string"]) == ("/own/ä", b"q=%20")
    assert (scope["scheme"], scope["client"]) == ("https", ("203.0.113.7", 4711))
    assert scope["headers"] == [(b"host", b"tools.example"), (b"x-a", b"b")]


async def test_a_head_request_gets_no_body():
    served, visitor = inner(echo), RecordingVisitor()
    served.open(visitor, request(b"HEAD", b"/own"), PEER)
    assert await visitor.answer() == (200, b"")


@pytest.mark.parametrize("declared", [MAX_BODY + 1, UNKNOWN_LENGTH])
async def test_a_body_has_an_end(declared: int):
    served, visitor = inner(echo), RecordingVisitor()
    exchange = served.open(visitor, request(b"POST", b"/own", body=declared), PEER)
    if declared == UNKNOWN_LENGTH:
        for _ in range(MAX_BODY // 8192 + 1):
            exchange.data_received(bytes(8192))
    assert (await visitor.answer())[0] == 413
    assert visitor.stopped
    await served.wait_closed()


async def test_an_answer_waits_for_room():
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(4):
            await send({"type": "http.response.body", "body": bytes(100), "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body", "body": b""})

    served, visitor = inner(app), RecordingVisitor(room=150)
    exchange = served.open(visitor, request(b"GET", b"/own"), PEER)
    await visitor.until(lambda visitor: len(visitor.body) == 200)
    await settle()
    assert sent == [0]
    visitor.room = 1 << 20
    exchange.resume_writing()
    assert await visitor.answer() == (200, bytes(400))


async def test_a_visitor_who_leaves_ends_the_work():
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    served, visitor = inner(app), RecordingVisitor()
    exchange = served.open(visitor, request(b"GET", b"/own"), PEER)
    await settle()
    exchange.visitor_left("visitor-gone")
    async with asyncio.timeout(5):
        await ended.wait()
    assert visitor.aborted == "visitor-gone"
    await served.wait_closed()


async def test_an_application_may_wait_for_the_visitors_leaving():
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        try:
            heard.append((await receive())["type"])
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    served, visitor = inner(app), RecordingVisitor()
    exchange = served.open(visitor, request(b"GET", b"/own"), PEER)
    await settle()
    assert heard == ["http.request"]
    exchange.visitor_left("visitor-gone")
    await served.wait_closed()
    assert heard[1] in ("http.disconnect", "cancelled")


async def test_a_failing_application_is_a_503_and_no_word_of_why(caplog: Any):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("a secret detail")

    served, visitor = inner(app), RecordingVisitor()
    served.open(visitor, request(b"GET", b"/own"), PEER)
    status, body = await visitor.answer()
    assert (status, b"secret" in body) == (503, False)
    assert "a page of our own failed" in caplog.text


async def test_an_answer_that_breaks_off_cannot_look_complete(caplog: Any):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError

    served, visitor = inner(app), RecordingVisitor()
    served.open(visitor, request(b"GET", b"/own"), PEER)
    await visitor.until(lambda visitor: visitor.aborted)
    assert not visitor.ended


async def test_an_application_that_takes_too_long_is_given_up(caplog: Any):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    served, visitor = inner(app, seconds=0.01), RecordingVisitor()
    served.open(visitor, request(b"GET", b"/own"), PEER)
    assert (await visitor.answer())[0] == 503


async def test_not_more_than_so_many_are_served_at_once():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    served = inner(app)
    for number in range(MAX_AT_ONCE):
        peer = Peer(f"198.51.100.{number}")
        served.open(RecordingVisitor(), request(b"GET", b"/own"), peer)
    visitor = RecordingVisitor()
    served.open(visitor, request(b"GET", b"/own"), PEER)
    assert (await visitor.answer())[0] == 503
    served.close()
    await served.wait_closed()


async def test_one_network_cannot_keep_everybody_out():
    """Bodies that are sent slowly, as many as it likes."""
    served = inner(echo)
    visitors = [RecordingVisitor() for _ in range(MAX_OF_NETWORK + 1)]
    for number, slow in enumerate(visitors):
        served.open(slow, request(b"POST", b"/own", body=6), Peer(f"2001:db8::{number:x}"))
    assert (await visitors[-1].answer())[0] == 503
    visitor = RecordingVisitor()
    served.open(visitor, request(b"GET", b"/own"), PEER)
    assert (await visitor.answer())[0] == 200
    served.close()
    await served.wait_closed()


@pytest.mark.parametrize("value", [b"a\r\nX: y", b"a\nX: y", b"a\0"])
async def test_an_application_cannot_break_a_field(value: bytes, caplog: Any):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 302, "headers": [(b"x", value)]})
        await send({"type": "http.response.body", "body": b""})

    served, visitor = inner(app), RecordingVisitor()
    served.open(visitor, request(b"GET", b"/own"), PEER)
    assert (await visitor.answer())[0] == 503
    assert "line break" in caplog.text
    await served.wait_closed()


def house(site: Site) -> Gatehouse:
    settings = GatehouseSettings(
        origin=parse_origin("127.0.0.1:9"), kind=Kind.HTTP, name="t", instance="i", proof_key=KEY
    )
    made = Gatehouse(settings, Guard([IpGate(["203.0.113.0/24"])]), pages=site)
    made.set_public_urls(["https://tools.example"])
    return made


@pytest.mark.parametrize(
    ("target", "host", "address", "status"),
    [
        (b"/own/page", b"tools.example", "203.0.113.7", 200),
        (b"/own/page", b"evil.example", "203.0.113.7", 421),
        (b"/own/page", b"tools.example", "198.51.100.1", 403),
        (b"/other", b"tools.example", "198.51.100.1", 403),
    ],
)
async def test_pages_stand_behind_the_same_door(
    target: bytes, host: bytes, address: str, status: int
):
    site = Site(echo)
    gatehouse, visitor = house(site), RecordingVisitor()
    gatehouse.open_http(visitor, request(b"GET", target, host=host), Peer(address))
    assert (await visitor.answer())[0] == status
    assert site.urls == ["https://tools.example"]
    gatehouse.close()
    await gatehouse.wait_closed()
