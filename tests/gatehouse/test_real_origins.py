"""Servers that people run, behind the gatehouse: uvicorn, websockets, and one that wants TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme
import uvicorn
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.gatehouse.conftest import RecordingVisitor, request

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.origin.source import choose, machine_addresses
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor, open_door
from underpass.guard.gates import forge
from underpass.model.gate_rules import parse_gates

Make = Callable[..., Gatehouse]
PEER = Peer("203.0.113.9", 40_000, secure=True)


class Application:
    """A small application and what happens in it."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.more = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/hello", self.hello, methods=["GET", "HEAD"]),
                Route("/echo", self.echo, methods=["POST"]),
                Route("/events", self.events),
                Route("/nothing", self.nothing),
                Route("/large", self.large),
            ]
        )

    async def hello(self, request: Request) -> Response:
        return PlainTextResponse(f"hello {request.headers['host']} {request.client.host}")

    async def echo(self, request: Request) -> Response:
        return Response(await request.body())

    async def nothing(self, request: Request) -> Response:
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            try:
                yield "data: one\n\n"
                await self.more.wait()
                yield "data: two\n\n"
                await asyncio.Event().wait()
            finally:
                self.left.set()

        return StreamingResponse(body(), media_type="text/event-stream")

    async def large(self, request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(256):
                yield bytes(65536)

        return StreamingResponse(body())


@contextlib.asynccontextmanager
async def serve(application: Application) -> AsyncIterator[int]:
    config = uvicorn.Config(
        application.app, port=0, log_level="error", lifespan="off", proxy_headers=False
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.force_exit = True
        await server.shutdown()


async def ask(gatehouse: Gatehouse, head, body: bytes = b"") -> RecordingVisitor:
    visitor = RecordingVisitor()
    exchange = gatehouse.open_http(visitor, head, PEER)
    if body:
        exchange.data_received(body)
    if head.body:
        exchange.end_received()
    await visitor.answer()
    return visitor


async def test_uvicorn_answers_requests_of_every_shape(make_gatehouse: Make):
    async with serve(Application()) as port:
        gatehouse = make_gatehouse(f"localhost:{port}")
        hello = await ask(gatehouse, request(target=b"/hello"))
        peer = choose(machine_addresses(), "127.0.0.1") or "127.0.0.1"
        assert hello.body == f"hello tools.example {peer}".encode()
        head = await ask(gatehouse, request(b"HEAD", b"/hello"))
        assert (head.head.status, bytes(head.body)) == (200, b"")
        assert head.head.body == len(hello.body)
        for size in (100_000, -1):
            echo = await ask(gatehouse, request(b"POST", b"/echo", body=size), b"x" * 100_000)
            assert echo.body == b"x" * 100_000
        nothing = await ask(gatehouse, request(target=b"/nothing"))
        assert (nothing.head.status, nothing.head.body) == (204, 0)
        large = await ask(gatehouse, request(target=b"/large"))
        assert len(large.body) == 256 * 65536
        assert gatehouse.statistics().dialled == 1


async def test_uvicorn_is_told_when_the_visitor_leaves(make_gatehouse: Make):
    application = Application()
    async with serve(application) as port:
        visitor = RecordingVisitor()
        gatehouse = make_gatehouse(f"localhost:{port}")
        exchange = gatehouse.open_http(visitor, request(target=b"/events"), PEER)
        await visitor.until(lambda visitor: visitor.body == b"data: one\n\n")
        application.more.set()
        await visitor.until(lambda visitor: visitor.body.endswith(b"data: two\n\n"))
        exchange.visitor_left("visitor-left")
        async with asyncio.timeout(1):
            await application.left.wait()


@contextlib.asynccontextmanager
async def websocket_through(
    make_gatehouse: Make, handler: Callable[[websockets.asyncio.server.ServerConnection], object]
) -> AsyncIterator[str]:
    async with websockets.asyncio.server.serve(handler, "127.0.0.1", 0) as server:
        gatehouse = make_gatehouse(f"{server.sockets[0].getsockname()[1]}")
        door = SocketDoor(gatehouse, DoorSettings(heartbeats=False, fin_departs=False))
        front = await open_door(door)
        try:
            yield f"ws://127.0.0.1:{front.sockets[0].getsockname()[1]}/chat"
        finally:
            front.close()
            door.close()


async def test_websocket_carries_messages_pings_and_its_close(make_gatehouse: Make):
    async def shout(socket: websockets.asyncio.server.ServerConnection) -> None:
        async for message in socket:
            if message == "bye":
                await socket.close(4001, "as you wish")
            else:
                await socket.send(message.upper())

    async with websocket_through(make_gatehouse, shout) as url:
        client = await websockets.asyncio.client.connect(url)
        async with asyncio.timeout(5):
            await (await client.ping())
            for message in ("hello", "x" * 500_000):
                await client.send(message)
                assert await client.recv() == message.upper()
            await client.send("bye")
            with pytest.raises(websockets.exceptions.ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (4001, "as you wish")


async def test_websocket_server_learns_that_the_visitor_is_gone(make_gatehouse: Make):
    gone = asyncio.Event()

    async def wait(socket: websockets.asyncio.server.ServerConnection) -> None:
        await socket.wait_closed()
        gone.set()

    async with websocket_through(make_gatehouse, wait) as url:
        client = await websockets.asyncio.client.connect(url)
        client.transport.abort()
        async with asyncio.timeout(1):
            await gone.wait()


async def test_origin_that_wants_tls_is_named_as_such(make_gatehouse: Make):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("no handshake can succeed")

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    server = await asyncio.start_server(never, "127.0.0.1", 0, ssl=context)
    try:
        gatehouse = make_gatehouse(f"{server.sockets[0].getsockname()[1]}")
        visitor = await ask(gatehouse, request())
        assert (visitor.head.status, visitor.field(b"Underpass-Error")) == (
            502,
            b"origin-speaks-tls",
        )
        found = await gatehouse.check_origin()
        assert (found.status, found.code) == ("failed", "origin-speaks-tls")
    finally:
        server.close()


SHOWS_PATH = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(environ["SCRIPT_NAME"] + "|" + environ["PATH_INFO"]).encode()]
"""


@contextlib.asynccontextmanager
async def gunicorn_on(path: Path) -> AsyncIterator[None]:
    """A gunicorn with its own defaults, which believes who comes by a Unix socket."""
    (path.parent / "shows_path.py").write_text(SHOWS_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}"),
            *("--chdir", str(path.parent), "--log-level", "error", "shows_path:app"),
            pass_fds=[listener.fileno()],
        )
        try:
            yield
        finally:
            process.terminate()
            await process.wait()


async def test_no_field_moves_the_path_that_gunicorn_serves(
    make_gatehouse: Make, tmp_path: Path
) -> None:
    gates, rules = parse_gates(["/open/*=open", "/admin=bearer"])
    guard = forge(gates, rules=rules).guard
    async with gunicorn_on(tmp_path / "g"):
        gatehouse = make_gatehouse(f"unix://{tmp_path / 'g'}", guard=guard)
        for name in (b"SCRIPT_NAME", b"Script_Name", b"PATH_INFO", b"X-Accept"):
            head = request(target=b"/open/admin", headers=[(name, b"/open")])
            seen = await ask(gatehouse, head)
            assert bytes(seen.body) == b"|/open/admin", name
