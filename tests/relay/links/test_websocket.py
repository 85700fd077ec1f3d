"""Links over WebSocket, against real ``websockets`` servers and clients."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.client import ClientProtocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from underpass.relay.links.websocket import LINK_PATH, MAX_MESSAGE, WebSocketShell
from underpass.relay.protocol.greeting import greeting_frame
from underpass.relay.protocol.records import Challenge

CHALLENGE = Challenge(relay="relay.example.com", nonce=b"n" * 32, now=1.0)


class Inner(asyncio.Protocol):
    """What the shell carries: notes, and may be waited for."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.body = bytearray()
        self.calls: list[str] = []
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.body += data
        self._note("data")

    def connection_lost(self, exc: Exception | None) -> None:
        self._note("lost")

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def dial(inner: asyncio.Protocol, port: int) -> None:
    """Put ``inner`` on a WebSocket to a server on that port."""
    ws = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}{LINK_PATH}"), max_size=MAX_MESSAGE)
    ws.send_request(ws.connect())
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[None] = loop.create_future()
    await loop.create_connection(lambda: WebSocketShell(ws, inner, opened), "127.0.0.1", port)
    async with asyncio.timeout(5):
        await opened


class Door(asyncio.Protocol):
    """A port that answers the WebSocket request and hands over to a shell, as the edge does."""

    def __init__(self, inner: asyncio.Protocol) -> None:
        self.inner = inner
        self.ws = ServerProtocol(max_size=MAX_MESSAGE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.ws.receive_data(data)
        for request in self.ws.events_received():
            self.ws.send_response(self.ws.accept(request))  # type: ignore[arg-type]
            shell = WebSocketShell(self.ws, self.inner)
            self.transport.set_protocol(shell)
            shell.connection_made(self.transport)


Handler = Callable[[ServerConnection], Awaitable[None]]


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_bytes_go_to_a_real_server_and_back() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        inner = Inner()
        await dial(inner, server.sockets[0].getsockname()[1])
        inner.transport.write(b"one")
        inner.transport.writelines([b"two", memoryview(b"three")])
        await inner.until(lambda: len(inner.body) == 11)
        assert bytes(inner.body) == b"onetwothree"
        inner.transport.close()
        await inner.until(lambda: inner.calls[-1] == "lost")
        assert inner.calls.count("made") == inner.calls.count("lost") == 1


async def test_large_write_is_cut_into_messages_that_the_other_end_takes() -> None:
    sizes: list[int] = []

    async def note(connection: ServerConnection) -> None:
        async for message in connection:
            sizes.append(len(message))
            await connection.send(message)

    data = os.urandom(3 * MAX_MESSAGE + 17)
    async with serve(note, "127.0.0.1", 0, max_size=MAX_MESSAGE) as server:
        inner = Inner()
        await dial(inner, server.sockets[0].getsockname()[1])
        inner.transport.writelines([data[:1_000_000], data[1_000_000:2_000_000], data[2_000_000:]])
        await inner.until(lambda: len(inner.body) == len(data))
        assert bytes(inner.body) == data
        assert max(sizes) <= MAX_MESSAGE
        inner.transport.close()
        await inner.until(lambda: inner.calls[-1] == "lost")


async def test_empty_messages_mean_nothing(line) -> None:
    async def say(connection: ServerConnection) -> None:
        await connection.send(b"")
        await connection.send(greeting_frame(CHALLENGE)[:5])
        await connection.send(b"")
        await connection.send(greeting_frame(CHALLENGE)[5:])
        await connection.wait_closed()

    async with serve(say, "127.0.0.1", 0) as server:
        link = line.connector.link()
        line.links.append(link)
        await dial(link, server.sockets[0].getsockname()[1])
        host = line.connector.host
        await host.until(lambda: host.greetings)
        assert host.greetings[0][1] == CHALLENGE
        link.close()
        await host.until(lambda: host.lost)


async def test_text_message_ends_the_link() -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send("words")
        await connection.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as server:
        inner = Inner()
        await dial(inner, server.sockets[0].getsockname()[1])
        await inner.until(lambda: inner.calls[-1] == "lost")
        assert inner.body == b""


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 404 Not Found\r\n\r\n", b"no HTTP at all\r\n\r\n", b""]
)
async def test_answer_that_is_no_websocket_fails_the_dial(answer: bytes) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        inner = Inner()
        with pytest.raises(ConnectionError):
            await dial(inner, server.sockets[0].getsockname()[1])
        assert inner.calls == []


async def test_real_client_is_served() -> None:
    inner = Inner()
    server = await asyncio.get_running_loop().create_server(lambda: Door(inner), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}{LINK_PATH}") as client:
            await client.send(b"question")
            await inner.until(lambda: inner.body == b"question")
            inner.transport.write(b"answer")
            assert await client.recv() == b"answer"
            pong = await client.ping()
            async with asyncio.timeout(5):
                await pong
        await inner.until(lambda: inner.calls[-1] == "lost")


async def test_message_over_the_limit_ends_the_link() -> None:
    inner = Inner()
    server = await asyncio.get_running_loop().create_server(lambda: Door(inner), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}{LINK_PATH}") as client:
            await client.send(bytes(MAX_MESSAGE + 1))
            with pytest.raises(websockets.ConnectionClosed):
                await client.recv()
        await inner.until(lambda: inner.calls[-1] == "lost")
        assert inner.body == b""


async def test_lane_goes_on_from_a_websocket_to_another(line) -> None:
    loop = asyncio.get_running_loop()
    data = os.urandom(1_500_000)

    async def attach() -> None:
        line.generation += 1
        mine, theirs = line.relay.link(), line.connector.link()
        line.links += [mine, theirs]
        server = await loop.create_server(lambda: Door(mine), "127.0.0.1", 0)
        async with server:
            await dial(theirs, server.sockets[0].getsockname()[1])
        told = line.connector.lane.received
        line.connector.runner.drop_link()
        answer = line.relay.lane.received
        generation = line.generation
        line.relay.runner.attach(mine, generation=generation, peer_received=told, peer_credit=65536)
        line.connector.runner.attach(
            theirs, generation=generation, peer_received=answer, peer_credit=65536
        )

    await attach()
    mine, theirs = await line.open()
    position = 0
    while position < len(data):
        room = min(mine.stream.room, len(data) - position)
        resumed = mine.resumed
        goes_on = mine.stream.send_data(data[position : position + room])
        position += room
        if position > 500_000 and line.generation == 1:
            await attach()
        if not goes_on:
            await mine.until(lambda resumed=resumed: mine.resumed > resumed)
    mine.stream.send_end()
    await theirs.until(lambda: theirs.ended)
    assert bytes(theirs.body) == data
    assert line.generation == 2
