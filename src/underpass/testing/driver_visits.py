"""Visitors of the conformance suite: plain sockets, one exchange each, nothing between."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from underpass.testing.driver_bench import PATIENCE, DriverBench
from underpass.testing.origins.http import huge_part

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; of several with one name the last."""
    body: bytes


@asynccontextmanager
async def wire(bench: DriverBench, url: str) -> AsyncIterator[Wire]:
    """A visitor's connection, gone in the end."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await bench.connect(url)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def ask(
    bench: DriverBench,
    url: str,
    target: str = "/",
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    parts: int = 0,
) -> Answer:
    """One request; ``parts`` of 64 KiB are its body."""
    async with asyncio.timeout(PATIENCE), wire(bench, url) as (reader, writer):
        fields = {"Connection": "close", **(headers or {})}
        if parts:
            fields["Content-Length"] = str(parts * 65_536)
        writer.write(request_head(method, url, target, fields))
        for number in range(parts):
            writer.write(huge_part(number))
            await writer.drain()
        return await read_answer(reader)


def request_head(method: str, url: str, target: str, fields: Mapping[str, str]) -> bytes:
    """A request's head for the host of ``url``."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {urlsplit(url).netloc}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and fields of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines if ": " in line)
    return int(first.split()[1]), {name.lower(): value for name, value in fields.items()}


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """A whole answer, sized or chunked."""
    status, fields = await read_head(reader)
    if fields.get("transfer-encoding") == "chunked":
        body = b"".join([part async for part in chunks(reader)])
    else:
        body = await reader.readexactly(int(fields.get("content-length", 0)))
    return Answer(status, fields, body)


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a chunked body as they come."""
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readline()
    await reader.readline()


async def echo_over_websocket(
    bench: DriverBench, url: str, headers: Mapping[str, str], message: bytes
) -> bytes:
    """Send one binary message over a WebSocket; what came back (RFC 6455, by hand)."""
    async with asyncio.timeout(PATIENCE), wire(bench, url) as (reader, writer):
        key = base64.b64encode(os.urandom(16)).decode()
        asked = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            **headers,
        }
        writer.write(request_head("GET", url, "/", asked))
        status, fields = await read_head(reader)
        assert status == 101, (status, fields)
        accept = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        assert fields["sec-websocket-accept"] == base64.b64encode(accept).decode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(message))
        assert 126 <= len(message) < 65_536, "the test's own frame has a length of two bytes"
        writer.write(b"\x82\xfe" + len(message).to_bytes(2, "big") + mask + masked)
        first, length = await reader.readexactly(2)
        assert first == 0x82
        size = int.from_bytes(await reader.readexactly(2), "big") if length == 126 else length
        return await reader.readexactly(size)
