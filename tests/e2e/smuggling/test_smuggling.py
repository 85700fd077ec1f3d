"""Over two thousand ambiguous requests, through edge and gatehouse, to servers that people run.

Each origin sees nothing of a case, or exactly requests that the gate saw and let pass: the same
method, target, fields and body. Nothing that was smuggled along is ever seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.e2e.raw import ANSWER_SECONDS, send, send_all
from tests.e2e.smuggling.corpus import Case, cases
from tests.e2e.smuggling.servers import SERVERS, Server, serve

from underpass.assembly import OpenTunnel, open_tunnel
from underpass.gatehouse.gatehouse import Gatehouse
from underpass.http.messages import Headers, RequestHead
from underpass.model.options import OpenOptions
from underpass.model.spec import parse_spec

OURS = frozenset(
    {
        *("host", "authorization", "connection", "content-length", "transfer-encoding", "expect"),
        *("te", "trailer", "upgrade", "keep-alive", "x-forwarded-for", "x-forwarded-host"),
        *("x-forwarded-proto", "forwarded", "x-real-ip", "underpass-proof"),
    }
)
"""Fields that the gatehouse takes away or makes itself."""


@dataclass
class Passed:
    """One request as the gate saw it."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    length: int
    """Of the body as announced; -1: unknown."""
    upgrade: bytes
    body: bytearray = field(default_factory=bytearray)
    has_ended: bool = False

    @classmethod
    def of(cls, head: RequestHead) -> Passed:
        return cls(
            head.method.decode("latin-1"),
            head.target.decode("latin-1"),
            _comparable(head.headers),
            head.body,
            head.upgrade,
        )

    @property
    def is_whole(self) -> bool:
        """One that asks to change protocols ends only by its answer, but its body is known."""
        return self.has_ended or len(self.body) == self.length


class Watched:
    """An exchange, and what it was given."""

    def __init__(self, exchange: Any, passed: Passed) -> None:
        self._exchange = exchange
        self._passed = passed

    def data_received(self, data: bytes | memoryview) -> None:
        self._passed.body += data
        self._exchange.data_received(data)

    def end_received(self) -> None:
        self._passed.has_ended = True
        self._exchange.end_received()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)


def _comparable(headers: Headers) -> list[tuple[str, str]]:
    return sorted(
        (name.lower().decode("latin-1"), value.decode("latin-1").strip(" \t"))
        for name, value in headers
        if name.lower().decode("latin-1") not in OURS
    )


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RequestHead, Passed]]:
    """Every request that came to the gate, in order."""
    came: list[tuple[RequestHead, Passed]] = []
    open_http = Gatehouse.open_http

    def watched(self: Gatehouse, visitor: Any, head: RequestHead, peer: Any) -> Any:
        passed = Passed.of(head)
        came.append((head, passed))
        return Watched(open_http(self, visitor, head, peer), passed)

    monkeypatch.setattr(Gatehouse, "open_http", watched)
    return came


@pytest.fixture
def runtime() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="up-") as path:
        yield Path(path)


@asynccontextmanager
async def tunnel_to(server: Server, home: Path, runtime: Path) -> AsyncIterator[OpenTunnel]:
    options = OpenOptions(state_dir=home / "state", runtime_dir=runtime)
    tunnel = await open_tunnel(parse_spec(f"{server.port}"), options)
    try:
        yield tunnel
    finally:
        await tunnel.close()


async def send_corpus(port: int, corpus: tuple[Case, ...], token: bytes) -> list[bytes]:
    """Every case on a connection of its own; the answers."""
    authority = b"127.0.0.1:%d" % port
    wires = [case.bytes_for(number, authority, token) for number, case in enumerate(corpus)]
    return await send_all(port, wires)


def number_of(target: str) -> int:
    """Which case a target belongs to."""
    found = re.search(r"\d+", target)
    return int(found[0]) if found else -1


def judge(
    corpus: tuple[Case, ...], server: Server, came: list[tuple[RequestHead, Passed]], token: bytes
) -> list[str]:
    """What the origin saw and should not have, a sentence each."""
    let_in: dict[int, list[Passed]] = {}
    for head, passed in came:
        credentials = [value for name, value in head.headers if name.lower() == b"authorization"]
        if credentials == [b"Bearer " + token]:
            let_in.setdefault(number_of(passed.target), []).append(passed)
    lines = {f"{it.method} {it.target} HTTP/1.1" for each in let_in.values() for it in each}
    wrong = [
        f"{server.name} was given what the gate had not seen: {line}"
        for line in server.complaints()
        if not any(f'request: "{known}"' in line for known in lines)
    ]
    for number, told in server.seen().items():
        name = corpus[number].name if 0 <= number < len(corpus) else "no case"
        expected = let_in.get(number, [])
        for kind in ("head", "whole"):
            candidates = list(expected)
            for request in (each for each in told if each["kind"] == kind):
                match = next((it for it in candidates if is_same(it, request, server.name)), None)
                if match is None:
                    wrong.append(f"{name}: the origin saw {request}, the gate {expected}")
                else:
                    candidates.remove(match)
    return wrong


def is_same(passed: Passed, seen: dict[str, Any], server: str) -> bool:
    """Whether the origin saw what the gate had seen."""
    if (passed.method, passed.target) != (seen["method"], seen["target"]):
        return False
    if seen["kind"] == "whole":
        digest = hashlib.sha256(passed.body).hexdigest()
        # Asked to change to what it does not know, it forgets the body.
        is_forgotten = server == "uvicorn-httptools" and passed.upgrade and not seen["length"]
        if not is_forgotten and not (passed.is_whole and seen["sha256"] == digest):
            return False
    fields = sorted(
        (name.lower(), value.strip(" \t"))
        for name, value in seen["headers"]
        if name.lower() not in OURS
    )
    if server == "gunicorn":  # WSGI joins fields of one name, and knows no underscores
        names = {name.replace("_", "-") for name, _ in passed.fields}
        return {name.replace("_", "-") for name, _ in fields} <= names
    if server == "nginx":  # it leaves out what it finds odd
        return set(fields) <= set(passed.fields)
    return fields == passed.fields


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SERVERS)
async def test_an_origin_sees_nothing_or_what_the_gate_let_in(
    name: str, gate: list[tuple[RequestHead, Passed]], tmp_path: Path, runtime: Path
) -> None:
    corpus = cases()
    assert len({case.wire for case in corpus}) > 2_000
    async with serve(tmp_path, name) as server, tunnel_to(server, tmp_path, runtime) as tunnel:
        assert tunnel.access.token is not None
        token = tunnel.access.token.reveal().encode()
        port = urlsplit(tunnel.url or "").port
        assert port is not None
        answers = await send_corpus(port, corpus, token)
        # The door still stands, and whoever is plain gets in.
        assert b"HTTP/1.1 200" in await send(port, plain(port, token))
        seen = server.seen()
        wrong = judge(corpus, server, gate, token)
    assert not [each for told in seen.values() for each in told if "smuggled" in each["target"]]
    assert wrong == [], f"{len(wrong)} wrong, such as:\n" + "\n".join(wrong[:20])
    # The test means something: many cases are refused, and some are plain after all.
    statuses = [answer[9:12] for answer in answers]
    assert statuses.count(b"400") > 1_000
    assert sum(bool(told) for told in seen.values()) > 100


def plain(port: int, token: bytes) -> bytes:
    """A request that nobody could misread."""
    head = b"GET /plain HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n" % port
    return head + b"Authorization: Bearer " + token + b"\r\n\r\n"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["uvicorn-httptools", "aiohttp"])
async def test_a_door_that_looks_at_the_first_head_alone_lets_them_in(
    name: str, tmp_path: Path
) -> None:
    """The control: without our care the same bytes reach the same servers."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
        with suppress(*gone):
            async with asyncio.timeout(ANSWER_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                if b"Bearer open-sesame" in head:
                    back, forth = await asyncio.open_connection("127.0.0.1", server.port)
                    try:
                        forth.write(head)
                        await asyncio.gather(pump(reader, forth), pump(back, writer))
                    finally:
                        forth.close()
        writer.close()

    corpus = cases()[::3]
    async with serve(tmp_path, name) as server:
        door = await asyncio.start_server(visit, "127.0.0.1", 0)
        async with door:
            port = door.sockets[0].getsockname()[1]
            await send_corpus(port, corpus, b"open-sesame")
        smuggled = [
            each for told in server.seen().values() for each in told if "smuggled" in each["target"]
        ]
    assert smuggled
