"""Fetching what strangers name: where we never go, and documents of clients when we do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme
from tests.gatehouse.conftest import raw_origin

from underpass.gatehouse.oauth.documents import Documents, DocumentUnusable
from underpass.gatehouse.oauth.fetch import Fetcher, FetchRefused
from underpass.gatehouse.oauth.names import MAX_AT_ONCE, LookUpFailed, look_up_name

NEVER = [
    "http://client.example.com/me",
    "ftp://client.example.com/me",
    "file:///etc/passwd",
    "https://",
    "https:///me",
    "https://user@client.example.com/me",
    "https://user:word@client.example.com/me",
    "https://client.example.com/me#part",
    "https://client.example.com:0/me",
    "https://client.example.com:99999/me",
    "https://client.example.com\\@evil.example.com/me",
    "https://client.example.com/\n",
    "https://caf\u00e9.example.com/me",
    "https://client.example.com/" + "x" * 2000,
    "//client.example.com/me",
    "javascript:alert(1)",
    "",
]

PRIVATE = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "2001:0:7f00:1::1",
    "::127.0.0.1",
    "::a9fe:a9fe",
    "fec0::1",
    "192.88.99.1",
]


@pytest.mark.parametrize("url", NEVER)
async def test_addresses_that_are_never_fetched(url: str):
    with pytest.raises(FetchRefused):
        await Fetcher().get(url)


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_inside_is_not_followed(address: str):
    asked: list[str] = []

    async def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.215.14", address]

    with pytest.raises(FetchRefused, match="not public"):
        await Fetcher(look_up=look_up).get("https://client.example.com/me")
    assert asked == ["client.example.com"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "0x7f000001", "127.1"])
async def test_this_machine_is_not_fetched_from_however_it_is_spelt(host: str):
    with pytest.raises(FetchRefused):
        await Fetcher().get(f"https://{host}/me")


@contextlib.asynccontextmanager
async def answering(*chunks: bytes, hold: bool = False) -> AsyncIterator[str]:
    """A server on loopback that answers each request with ``chunks``; its URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for chunk in chunks:
            writer.write(chunk)
        await writer.drain()
        if hold:
            await reader.read()

    async with raw_origin(handle) as origin:
        yield f"http://127.0.0.1:{origin.port}/client"


def answer(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_a_document_is_fetched_from_loopback_only_in_development():
    async with answering(answer(b'{"a": 1}')) as url:
        assert await Fetcher(loopback=True).get(url) == {"a": 1}
        with pytest.raises(FetchRefused):
            await Fetcher().get(url)


@pytest.mark.parametrize(
    "answered",
    [
        answer(b"{}", "302 Found", "Location: http://127.0.0.1:9/elsewhere"),
        answer(b"{}", "301 Moved", "Location: https://evil.example.com/"),
        answer(b"{}", "404 Not Found"),
        answer(b"{}", "500 Oops"),
        answer(b"<html>"),
        answer(b"[" * 20_000),
        answer(b"\xff\xfe"),
        answer(b'"' + b"x" * 40_000 + b'"'),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
        b"no HTTP at all\r\n\r\n",
        b"",
    ],
)
async def test_what_is_no_small_document_is_refused(answered: bytes):
    async with answering(answered) as url:
        with pytest.raises(FetchRefused):
            await Fetcher(loopback=True).get(url)


async def test_a_document_that_does_not_come_is_given_up():
    async with answering(hold=True) as url:
        with pytest.raises(FetchRefused, match="too long"):
            await Fetcher(loopback=True, seconds=0.05).get(url)


async def test_tls_is_verified(tmp_path: Any):
    authority = trustme.CA()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(served)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"7"))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=served)
    port = server.sockets[0].getsockname()[1]
    assert await Fetcher(loopback=True, tls=trusted).get(f"https://localhost:{port}/") == 7
    with pytest.raises(FetchRefused):
        await Fetcher(loopback=True).get(f"https://localhost:{port}/")
    server.close()


# Clients' documents.


async def test_a_client_is_who_its_document_says():
    async with served({"client_name": "Documented"}) as url:
        client = await Documents(Fetcher(loopback=True)).fetch(url)
    assert (client.client_id, client.name, client.origin) == (url, "Documented", "document")
    assert client.auth_method == "none"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "https://another.example.com/client"},
        {"client_id": None},
        {"client_secret": "x"},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": []},
        {"grant_types": ["client_credentials"]},
    ],
)
async def test_a_document_that_cannot_be_used_makes_no_client(changes: dict[str, Any]):
    documents = Documents(Fetcher(loopback=True))
    async with served(changes) as url:
        with pytest.raises(DocumentUnusable):
            await documents.fetch(url)
        # It is not asked for again at once, however often a stranger names it.
        with pytest.raises(DocumentUnusable):
            await documents.fetch(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://[",
        "https://[::1",
        "https://a:b/c",
        "https://exa mple.com/me",
        "https://bank.example,evil.example/me",
        "https://" + "a" * 60_000 + "/me",
    ],
)
async def test_what_is_no_address_is_no_client_and_is_not_remembered(url: str):
    documents = Documents(Fetcher(loopback=True))
    with pytest.raises(DocumentUnusable):
        await documents.fetch(url)
    assert documents.failures == 0


@pytest.mark.parametrize("path", ["", "/", "/a/../b", "/./a", "/a/%2e%2E/b", "/%2E/a"])
async def test_an_address_without_a_plain_path_is_no_client(path: str):
    with pytest.raises(DocumentUnusable):
        await Documents(Fetcher(loopback=True)).fetch(f"http://127.0.0.1:9{path}")


@contextlib.asynccontextmanager
async def served(changes: dict[str, Any]) -> AsyncIterator[str]:
    """A client's document on loopback that names its own address unless ``changes`` says so."""
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port = finder.getsockname()[1]
    url = f"http://127.0.0.1:{port}/client"
    told: dict[str, Any] = {"client_id": url, "redirect_uris": ["http://127.0.0.1/callback"]}
    body = json.dumps(
        {name: value for name, value in (told | changes).items() if value is not None}
    )

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(body.encode()))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    yield url
    server.close()
    await asyncio.sleep(0)


# Look-ups.


async def test_a_name_is_looked_up():
    assert "127.0.0.1" in await look_up_name("localhost", 443)


@pytest.mark.parametrize("name", ["does-not-exist.invalid", "a" * 70 + ".example"])
async def test_a_name_that_leads_nowhere_is_said_to(name: str):
    with pytest.raises(LookUpFailed):
        await look_up_name(name, 443)


async def test_slow_look_ups_are_few_and_hold_nothing_else_up(monkeypatch: pytest.MonkeyPatch):
    """A name server that never answers, and somebody who keeps asking it."""
    hold, begun = threading.Event(), threading.Semaphore(0)

    def slow(*words: object, **more: object) -> list[object]:
        begun.release()
        hold.wait(20)
        return []

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", slow)
        for _ in range(MAX_AT_ONCE):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await look_up_name("slow.example.com", 443)
        for _ in range(MAX_AT_ONCE):
            assert begun.acquire(timeout=5)
        with pytest.raises(LookUpFailed):
            await look_up_name("slow.example.com", 443)
        threads = [each for each in threading.enumerate() if each.name == "underpass look-up"]
        assert len(threads) == MAX_AT_ONCE
        assert all(each.daemon for each in threads), "they do not hold up the end of the process"
        # What others do in threads goes on.
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 5) == 7
        hold.set()
    for each in threads:
        await asyncio.to_thread(each.join, 5)
    assert await look_up_name("localhost", 443)
