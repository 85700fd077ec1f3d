"""Origins that mean preflight ill: it ends in time, in bounded memory, and follows them nowhere."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import psutil
import pytest
from tests.e2e.preflight.test_imitations import Web, codes, look_at, serving

from underpass.gatehouse.preflight import look as looking

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(b"\0" * 50_000_000)


def endless(first: bytes, again: bytes) -> Serve:
    """Says ``first``, then ``again`` for as long as anybody listens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        with suppress(OSError):
            while True:
                writer.write(again)
                await writer.drain()

    return serve


def once(said: bytes) -> Serve:
    """Reads a request, says ``said`` and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        with suppress(OSError):
            writer.write(said)
            await writer.drain()
            writer.write_eof()
            await reader.read()

    return serve


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer of which a byte comes now and then."""
    with suppress(OSError):
        for byte in OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.2)  # that it is slow is the point


@asynccontextmanager
async def hosting(serve: Serve) -> AsyncIterator[int]:
    """``serve`` on a port; whatever it still says is broken off in the end."""
    saying: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        saying.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.transport.abort()

    async with serving(one) as port:
        yield port
        for task in saying:
            task.cancel()
        await asyncio.gather(*saying, return_exceptions=True)
        await asyncio.sleep(0)  # for the aborted transports


HOSTILE: dict[str, Serve] = {
    "a head without an end": endless(OK, b"X-Filler: " + b"x" * 1_000 + b"\r\n"),
    "a header line without an end": endless(OK + b"X-Filler: ", b"x" * 65_536),
    "a body without an end": endless(OK + b"\r\n", b"x" * 65_536),
    "chunks without an end": endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    ),
    "a chunk of a size that no memory has": endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffff\r\n", b"x" * 65_536
    ),
    "early answers without an end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "events without an end": endless(
        OK + b"Content-Type: text/event-stream\r\n\r\n", b"data: x\n\n" * 5_000
    ),
    "a body that unfolds": once(
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB
    ),
    "a drip": drip,
    "junk": once(bytes(range(256)) * 64),
    "a TLS alert": once(b"\x15\x03\x01\x00\x02\x02\x28"),
    "half a TLS handshake": once(b"\x16\x03\x03\xff\xff" + b"\x02" * 1_000),
    "deep JSON": once(OK + b"Content-Type: application/json\r\n\r\n" + b"[" * 60_000),
}


@pytest.mark.parametrize("origin", ["{}", "tcp://127.0.0.1:{}", "mcp+http://localhost:{}/mcp"])
@pytest.mark.parametrize("name", HOSTILE)
async def test_it_ends_in_time_and_in_bounded_memory(
    name: str, origin: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(looking, "LATE_SECONDS", 0.5)
    before = psutil.Process().memory_info().rss
    async with hosting(HOSTILE[name]) as port:
        looked = await look_at(origin.format(port), seconds=1.0)
    assert codes(looked) == []
    assert psutil.Process().memory_info().rss - before < 48 * 1024 * 1024


async def test_redirects_lead_to_no_other_host_and_not_round_and_round():
    metadata = b"to:http://169.254.169.254/latest/meta-data/iam/security-credentials/"
    web = Web({"/": metadata, "/latest/meta-data/iam/security-credentials/": metadata})
    async with serving(web) as port:
        looked = await look_at(str(port))
    assert codes(looked) == []
    # Once the page, then its path here: on the origin, wherever it says that it leads.
    asked = [each for each in web.asked if each.startswith("GET /latest/meta-data/iam")]
    assert len(asked) == 1
    assert looked.asked == len(web.asked)
