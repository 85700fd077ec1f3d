"""The agent's own API: who is asked, and what is made of the answer."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from underpass.drivers.base import Counters
from underpass.drivers.ngrok.local_api import MAX_ANSWER, Carried, LocalApi, read_books


def test_the_books_of_both_kinds_of_agents_are_read() -> None:
    new = {"name": "underpass", "url": "https://a.ngrok.app", "upstream": {"url": "http://h:1"}}
    old = {"public_url": "tcp://1.tcp.ngrok.io:9", "config": {"addr": "127.0.0.1:1"}}
    metrics = {"conns": {"count": 3, "p50": 2541411}, "http": {"count": 2}}
    assert read_books({"endpoints": [{**new, "metrics": metrics}]}) == (
        Carried("https://a.ngrok.app", "http://h:1", Counters(connections=3, requests=2)),
    )
    assert read_books({"tunnels": [old]}) == (
        Carried("tcp://1.tcp.ngrok.io:9", "127.0.0.1:1", Counters()),
    )


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"tunnels": None},
        {"tunnels": "x"},
        {"tunnels": [None, 1, "x", []]},
        {"tunnels": [{"public_url": "javascript:alert(1)"}]},
        {"tunnels": [{"public_url": "https://a.example/../x"}]},
        {"endpoints": {"url": "https://a.example"}},
    ],
)
def test_strange_books_hold_nothing(answer: dict[str, object]) -> None:
    assert read_books(answer) == ()


def test_strange_counts_are_none() -> None:
    for metrics in (None, 1, {"conns": 1}, {"conns": {"count": "x"}}, {"http": {"count": -1}}):
        (carried,) = read_books({"tunnels": [{"public_url": "https://a.b", "metrics": metrics}]})
        assert carried.counters == Counters()


async def test_an_old_agent_says_what_it_carries_and_not_whether_it_is_online() -> None:
    books = {"tunnels": [{"public_url": "https://a.example"}]}
    async with agent({"/api/tunnels": json.dumps(books)}) as api:
        view = await api.look()
        assert [each.url for each in view.carried] == ["https://a.example"]
        assert view.online is None
        assert await api.is_online() is None


async def test_a_new_agent_says_both() -> None:
    books = {"endpoints": [{"url": "https://a.example"}]}
    answers = {"/api/endpoints": json.dumps(books), "/api/status": '{"status":"reconnecting"}'}
    async with agent(answers) as api:
        view = await api.look()
        assert [each.url for each in view.carried] == ["https://a.example"]
        assert view.online is False


@pytest.mark.parametrize("body", ["", "[]", "{", "x" * (MAX_ANSWER + 1)])
async def test_what_does_not_answer_as_an_agent_does_is_told(body: str) -> None:
    async with agent({"/api/tunnels": body}) as api:
        with pytest.raises(OSError, match="no agent's API"):
            await api.look()


async def test_nobody_there_is_told() -> None:
    async with agent({}) as api:
        pass
    with pytest.raises(OSError):
        await api.look()


def test_the_api_of_one_process_is_found_by_where_it_listens() -> None:
    lines = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); input()"
    )
    words = [sys.executable, "-c", lines]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        api = LocalApi.of_process(process.pid)
        process.kill()
    assert api is not None
    assert api.ports == (port,)
    assert LocalApi.of_process(2**22 + os.getpid()) is None


@asynccontextmanager
async def agent(answers: dict[str, str]) -> AsyncIterator[LocalApi]:
    """A server that answers these paths, and 404 for others."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = answers.get(head.split()[1].decode())
                status = "404 Not Found" if body is None else "200 OK"
                text = (body or "").encode()
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n".encode())
                writer.write(text)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield LocalApi(server.sockets[0].getsockname()[1])
